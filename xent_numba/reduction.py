"""Weights and reduction for implementations that do not fuse them into their pass.

They declare what one sample costs, on whole arrays; the value checks, the weights and the reduction
are added here, each as a pass of its own. That is what such code does in practice.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy import ndarray

from xent_numba.operations import Call
from xent_numba.validation import check_values, raise_bad_weight_sum

Total = Callable[[ndarray], Any]


def per_sample(values: Callable[..., Any], total: Total = np.sum) -> Callable[[Call], Any]:
    """Turn ``values(first)`` or ``values(first, labels)`` into an implementation."""

    @functools.wraps(values)
    def compute(call: Call) -> Any:
        return evaluate(call, values, total)

    return compute


def evaluate(call: Call, values: Callable[..., Any], total: Total = np.sum) -> Any:
    """Check the values, compute each sample, weigh and reduce.

    Parameters
    ----------
    call : Call
        What is asked for.
    values : callable
        Computes the sigmoid or losses from the scores or probabilities, and from labels of the same
        dtype (negating an unsigned label would wrap); losses and gradients, as a tuple, for an
        operation with a gradient.
    total : callable, default numpy.sum
        How the implementation adds up an array.

    Returns
    -------
    array or scalar
        `call.out`, or the sum or mean.
    """
    operation, first, labels, sample_weight, reduction, out, grad_out = call
    with np.errstate(all="ignore"):
        if labels is None:
            out[...] = values(first)
            return out
        check_values(operation, first, labels, sample_weight)
        scale = _scale(call, total)
        losses = values(first, labels.astype(first.dtype, copy=False))
        weight = 1 if sample_weight is None else sample_weight
        if operation.gradient:
            losses, gradients = losses
            grad_out[...] = gradients * weight / scale
        if reduction == "none":
            out[...] = losses * weight
            return out
        return total(losses * weight) / scale


def _scale(call: Call, total: Total) -> Any:
    """What a reduced loss is divided by."""
    if call.reduction != "mean":
        return 1
    if call.sample_weight is None:
        return call.first.size
    scale = total(call.sample_weight)
    if not 0 < scale < np.inf:
        raise_bad_weight_sum(scale)
    return scale
