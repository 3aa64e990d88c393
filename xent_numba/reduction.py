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
        computed = values(first, labels.astype(first.dtype, copy=False))
        losses, gradients = computed if operation.gradient else (computed, None)
        weights, scale = _weights(call, total)
        if gradients is not None:
            grad_out[...] = gradients * weights / scale
        if reduction == "none":
            out[...] = losses * weights
            return out
        return _quotient(losses * weights, scale, total)


def _weights(call: Call, total: Total) -> tuple[Any, Any]:
    """What multiplies the losses and gradients, float64, and what divides them.

    A mean takes its weights times the power of two that brings the largest one near 1, which is
    exact and cancels: neither their sum nor w L can overflow, nor be lost where weights are tiny.
    """
    if call.sample_weight is None:
        return 1, call.first.size if call.reduction == "mean" else 1
    weights = call.sample_weight.astype(np.float64)
    if call.reduction != "mean":
        return weights, 1
    weights = np.ldexp(weights, -np.frexp(weights.max())[1])
    scale = total(weights)
    if not scale > 0:
        raise_bad_weight_sum(scale)
    return weights, scale


def _quotient(values: ndarray, scale: Any, total: Total) -> Any:
    """Return the sum over `scale`, also where that is finite and the sum itself is not."""
    result = total(values) / scale
    if np.isinf(result) and np.isfinite(values).all():
        exponent = values.size.bit_length()
        wide = np.ldexp(values.astype(np.float64), -exponent)
        result = np.ldexp(total(wide) / scale, exponent)
    return result
