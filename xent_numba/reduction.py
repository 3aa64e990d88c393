"""Weights and reduction for implementations that do not fuse them into their pass.

They declare what one sample costs, on whole arrays; the decorators here add the value checks, the
weights and the reduction, each as a pass of its own. That is what such code does in practice.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy import ndarray

from xent_numba.operations import OPERATIONS
from xent_numba.validation import raise_bad_value, raise_bad_weight_sum

Total = Callable[[ndarray], Any]


def elementwise(values: Callable[[ndarray], ndarray]) -> Callable[..., ndarray]:
    """Turn ``values(scores)`` into an implementation of an operation without labels."""

    @functools.wraps(values)
    def compute(scores: ndarray, *, out: ndarray) -> ndarray:
        with np.errstate(all="ignore"):
            out[...] = values(scores)
        return out

    return compute


def from_losses(
    operation: str, total: Total = np.sum
) -> Callable[[Callable[[ndarray, ndarray], ndarray]], Callable[..., Any]]:
    """Turn ``losses(first, labels)`` into an implementation of a loss.

    Labels arrive in the dtype of the first argument: negating an unsigned label would wrap.

    Parameters
    ----------
    operation : str
        Name of the operation, whose value checks apply.
    total : callable, default numpy.sum
        How the implementation adds up an array.
    """

    def decorate(losses: Callable[[ndarray, ndarray], ndarray]) -> Callable[..., Any]:
        @functools.wraps(losses)
        def compute(
            first: ndarray,
            labels: ndarray,
            *,
            sample_weight: ndarray | None,
            reduction: str,
            out: ndarray | None,
        ) -> Any:
            raise_bad_value(OPERATIONS[operation], first, labels, sample_weight)
            scale = _scale(first, sample_weight, reduction, total)
            with np.errstate(all="ignore"):
                values = losses(first, labels.astype(first.dtype, copy=False))
                return _reduce(values, sample_weight, scale, reduction, out, total)

        return compute

    return decorate


def from_losses_and_gradients(
    operation: str, total: Total = np.sum
) -> Callable[[Callable[[ndarray, ndarray], tuple[ndarray, ndarray]]], Callable[..., Any]]:
    """Turn ``losses_and_gradients(scores, labels)`` into an implementation; see `from_losses`."""

    def decorate(
        losses_and_gradients: Callable[[ndarray, ndarray], tuple[ndarray, ndarray]],
    ) -> Callable[..., Any]:
        @functools.wraps(losses_and_gradients)
        def compute(
            scores: ndarray,
            labels: ndarray,
            *,
            sample_weight: ndarray | None,
            reduction: str,
            out: ndarray | None,
            grad_out: ndarray,
        ) -> Any:
            raise_bad_value(OPERATIONS[operation], scores, labels, sample_weight)
            scale = _scale(scores, sample_weight, reduction, total)
            with np.errstate(all="ignore"):
                values, gradients = losses_and_gradients(
                    scores, labels.astype(scores.dtype, copy=False)
                )
                if sample_weight is not None:
                    gradients = gradients * sample_weight
                grad_out[...] = gradients / scale
                return _reduce(values, sample_weight, scale, reduction, out, total)

        return compute

    return decorate


def _scale(first: ndarray, sample_weight: ndarray | None, reduction: str, total: Total) -> Any:
    """What a reduced loss is divided by."""
    if reduction != "mean":
        return 1
    if sample_weight is None:
        return first.size
    with np.errstate(over="ignore"):
        scale = total(sample_weight)
    if not 0 < scale < np.inf:
        raise_bad_weight_sum(scale)
    return scale


def _reduce(
    values: ndarray,
    sample_weight: ndarray | None,
    scale: Any,
    reduction: str,
    out: ndarray | None,
    total: Total,
) -> Any:
    if sample_weight is not None:
        values = values * sample_weight
    if out is not None:
        out[...] = values
        return out
    return total(values) / scale
