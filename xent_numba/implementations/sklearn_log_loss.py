"""scikit-learn: sklearn.metrics.log_loss, the metric itself with all that it checks.

It takes classes for labels: before the clock, a sample with a soft label y is entered as two, one
of each class, by the weights y and 1 - y. Losses of single samples, which it does not give, are its
formula.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy import ndarray

from xent_numba.known_failures import KnownFailure
from xent_numba.operations import OPERATIONS, Call
from xent_numba.peer import missing
from xent_numba.reduction import per_sample
from xent_numba.registry import implements

_CLIPPED = "probabilities are clipped to [eps, 1 - eps]"
_EPS = {dtype: float(np.finfo(dtype).eps) for dtype in ("float32", "float64")}


DISTRIBUTION = "scikit-learn"


def unavailable() -> str | None:
    """See `registry`."""
    return missing("sklearn", "'xent-numba[bench]'")


def bind(operation: str, inputs: tuple[ndarray, ...], reduction: str) -> Callable[[], Any]:
    """See `registry`."""
    from sklearn.metrics import log_loss

    arrays = [np.ascontiguousarray(array, inputs[0].dtype) for array in inputs]
    if reduction == "none":
        weights = arrays[2] if len(arrays) > 2 else None
        out = np.empty_like(arrays[0])
        given = Call(OPERATIONS[operation], arrays[0], arrays[1], weights, out=out)
        return lambda: binary_cross_entropy(given)
    probabilities, classes, weights = _entered(*arrays)
    options = {"normalize": reduction == "mean", "sample_weight": weights, "labels": [0, 1]}
    # As Python's float it comes, whatever it was computed in.
    return lambda: arrays[0].dtype.type(log_loss(classes, probabilities, **options))


def _entered(
    probabilities: ndarray, labels: ndarray, weights: ndarray | None = None
) -> tuple[ndarray, ndarray, ndarray | None]:
    """Return probabilities, classes and weights such that all labels are hard."""
    classes = labels.astype(np.int64)
    if (classes == labels).all():
        return probabilities, classes, weights
    both = np.concatenate([labels, 1 - labels])
    doubled = both if weights is None else both * np.tile(weights, 2)
    return np.tile(probabilities, 2), np.repeat([1, 0], labels.size), doubled


@implements(
    "binary_cross_entropy",
    formulation="textbook",
    max_ulp={"float32": 7, "float64": 5},
    known_failures=(
        KnownFailure("1 - p loses digits of p", 0.0, 0.1, 0.0),
        *(
            KnownFailure(_CLIPPED, low, high, label, dtype)
            for dtype, eps in _EPS.items()
            for label, low, high in (
                (1.0, 0.0, eps),
                (0.0, 1 - eps / 2, 1.0),
                (1.0, 1 - eps / 2, 1.0),
            )
        ),
    ),
)
@per_sample
def binary_cross_entropy(p: ndarray, y: ndarray) -> ndarray:
    """sklearn.metrics.log_loss(y, p); of single samples -(xlogy(1 - y, 1 - p) + xlogy(y, p))."""
    from scipy.special import xlogy

    eps = np.finfo(p.dtype).eps
    negative, positive = np.clip(1 - p, eps, 1 - eps), np.clip(p, eps, 1 - eps)
    return np.asarray(-(xlogy(1 - y, negative) + xlogy(y, positive)))
