"""scikit-learn: HalfBinomialLoss, the compiled loss of its linear models and boosted trees."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy import ndarray

from xent_numba.known_failures import CLIFFS, KnownFailure
from xent_numba.peer import missing, threads
from xent_numba.reduction import per_sample
from xent_numba.registry import implements

_CANCELS = "the tail of label 1 is lost: log(1 + exp(s)) - s cancels"
_INFINITE = "an infinite score times 0, or minus itself, is NaN"


DISTRIBUTION = "scikit-learn"


def unavailable() -> str | None:
    """See `registry`."""
    return missing("sklearn", "'xent-numba[bench]'")


def bind(operation: str, inputs: tuple[ndarray, ...], reduction: str) -> Callable[[], Any]:
    """See `registry`."""
    scores, labels, *weights = (np.ascontiguousarray(array, inputs[0].dtype) for array in inputs)
    out, grad_out = np.empty_like(scores), np.empty_like(scores)
    divisor = 1 if reduction != "mean" else weights[0].sum() if weights else scores.size

    def reduced() -> Any:
        return out if reduction == "none" else out.sum() / divisor

    def losses() -> Any:
        _fill_losses(scores, labels, out, *weights)
        return reduced()

    def losses_and_gradients() -> tuple[Any, ndarray]:
        _fill_losses_and_gradients(scores, labels, out, grad_out, *weights)
        if divisor != 1:
            np.divide(grad_out, divisor, grad_out)
        return reduced(), grad_out

    return losses_and_gradients if operation.endswith("_and_grad") else losses


@functools.cache
def _loss() -> Any:
    from sklearn._loss import HalfBinomialLoss

    return HalfBinomialLoss()


def _flat(array: ndarray) -> ndarray:
    return np.require(array, requirements=["C", "A"]).ravel()


def _fill_losses(
    scores: ndarray, labels: ndarray, out: ndarray, weights: ndarray | None = None
) -> ndarray:
    _loss().loss(labels, scores, weights, out, threads())
    return out


def _fill_losses_and_gradients(
    scores: ndarray,
    labels: ndarray,
    out: ndarray,
    grad_out: ndarray,
    weights: ndarray | None = None,
) -> None:
    _loss().loss_gradient(labels, scores, weights, out, grad_out, threads())


@implements(
    "binary_cross_entropy_with_logits",
    formulation="stable",
    max_ulp={"float32": 3, "float64": 10},
    known_failures=(
        KnownFailure(_CANCELS, 18.0, CLIFFS["float32"].vanishes(3), label=1.0, dtype="float32"),
        KnownFailure(_CANCELS, 1.5, CLIFFS["float64"].vanishes(10), label=1.0, dtype="float64"),
        KnownFailure(_INFINITE, -np.inf, -np.inf, label=0.0),
        KnownFailure(_INFINITE, np.inf, np.inf),
    ),
)
@per_sample
def binary_cross_entropy_with_logits(scores: ndarray, labels: ndarray) -> ndarray:
    """sklearn._loss.HalfBinomialLoss().loss(y, s)."""
    s, y = _flat(scores), _flat(labels)
    return _fill_losses(s, y, np.empty_like(s)).reshape(scores.shape)


@implements(
    "binary_cross_entropy_with_logits_and_grad",
    formulation="stable",
    max_ulp={"float32": 1, "float64": 12},
    max_ulp_gradient={"float32": 1, "float64": 3},
    known_failures=(
        KnownFailure(_CANCELS, 18.0, 33.5, label=1.0, dtype="float64"),
        KnownFailure(_INFINITE, -np.inf, -np.inf, label=0.0),
        KnownFailure(_INFINITE, np.inf, np.inf, label=1.0),
    ),
)
@per_sample
def binary_cross_entropy_with_logits_and_grad(
    scores: ndarray, labels: ndarray
) -> tuple[ndarray, ndarray]:
    """sklearn._loss.HalfBinomialLoss().loss_gradient(y, s)."""
    s, y = _flat(scores), _flat(labels)
    loss, gradient = np.empty_like(s), np.empty_like(s)
    _fill_losses_and_gradients(s, y, loss, gradient)
    return loss.reshape(scores.shape), gradient.reshape(scores.shape)
