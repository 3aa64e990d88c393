"""NumPy: the textbook formulas on whole arrays.

Two things break them. exp overflows beyond the logarithm of the largest number; and 1 + e^-m rounds
off digits of e^-m, in the end all of them, which matters until e^-m itself is next to nothing.
"""

from __future__ import annotations

from collections.abc import Iterator
from math import inf

import numpy as np
from numpy import ndarray

from xent_numba.known_failures import CLIFFS, KnownFailure
from xent_numba.reduction import per_sample
from xent_numba.registry import implements

_SIGMOID_ULP = {"float32": 4.0, "float64": 3.0}
_PROBABILITY_ULP = {"float32": 7.0, "float64": 5.0}
_LOSS_ULP = {"float32": 12.0, "float64": 12.0}
#: From where on errors pass `_LOSS_ULP`: log(1 + e^-m), and log(1 + e^s) - s.
_LOST, _CANCELLED = 2.0, 1.5
_MAX = CLIFFS["float64"].largest


def _sigmoid_failures() -> Iterator[KnownFailure]:
    for dtype, at in CLIFFS.items():
        vanished = at.vanishes(_SIGMOID_ULP[dtype])
        yield KnownFailure(
            "exp(-s) overflows: 0 for a subnormal", -vanished, -at.overflow, dtype=dtype
        )


def _logistic_failures() -> Iterator[KnownFailure]:
    for dtype, at in CLIFFS.items():
        vanished = at.vanishes(_LOSS_ULP[dtype])
        lost, infinite = "1 + exp(-m) loses the tail", "exp(-m) overflows"
        yield KnownFailure(lost, _LOST, vanished, 1.0, dtype)
        yield KnownFailure(lost, -vanished, -_LOST, -1.0, dtype)
        yield KnownFailure(infinite, -_MAX, -at.overflow, 1.0, dtype)
        yield KnownFailure(infinite, at.overflow, _MAX, -1.0, dtype)


def _with_logits_failures() -> Iterator[KnownFailure]:
    yield KnownFailure("log(1 + exp(s)) - s cancels, then overflows", _CANCELLED, inf, 1.0)
    yield KnownFailure("0 inf is NaN", -inf, -inf, 0.0)
    for dtype, at in CLIFFS.items():
        vanished = at.vanishes(_LOSS_ULP[dtype])
        yield KnownFailure("1 + exp(s) loses the tail", -vanished, -_LOST, 0.0, dtype)
        yield KnownFailure("exp(s) overflows", at.overflow, inf, 0.0, dtype)


_PROBABILITY_FAILURES = (
    KnownFailure("1 - p loses digits of p, and 0 log 0 is NaN", 0.0, 0.1, 0.0),
    KnownFailure("0 log 0 is NaN", 1.0, 1.0, 1.0),
)


@implements(
    "sigmoid",
    formulation="textbook",
    max_ulp=_SIGMOID_ULP,
    known_failures=tuple(_sigmoid_failures()),
)
@per_sample
def sigmoid(scores: ndarray) -> ndarray:
    """1 / (1 + exp(-s))."""
    return 1 / (1 + np.exp(-scores))


@implements(
    "binary_cross_entropy",
    formulation="textbook",
    max_ulp=_PROBABILITY_ULP,
    known_failures=_PROBABILITY_FAILURES,
)
@per_sample
def binary_cross_entropy(probabilities: ndarray, labels: ndarray) -> ndarray:
    """-[y log p + (1 - y) log(1 - p)]."""
    return -(labels * np.log(probabilities) + (1 - labels) * np.log(1 - probabilities))


@implements(
    "logistic_loss",
    formulation="textbook",
    max_ulp=_LOSS_ULP,
    known_failures=tuple(_logistic_failures()),
)
@per_sample
def logistic_loss(scores: ndarray, labels: ndarray) -> ndarray:
    """log(1 + exp(-y s))."""
    return np.log(1 + np.exp(-labels * scores))


@implements(
    "binary_cross_entropy_with_logits",
    formulation="textbook",
    max_ulp=_LOSS_ULP,
    known_failures=tuple(_with_logits_failures()),
)
@per_sample
def binary_cross_entropy_with_logits(scores: ndarray, labels: ndarray) -> ndarray:
    """log(1 + exp(s)) - y s."""
    return np.log(1 + np.exp(scores)) - labels * scores


@implements(
    "logistic_loss_and_grad",
    formulation="textbook",
    max_ulp=_LOSS_ULP,
    max_ulp_gradient=_LOSS_ULP,
    known_failures=tuple(_logistic_failures()),
)
@per_sample
def logistic_loss_and_grad(scores: ndarray, labels: ndarray) -> tuple[ndarray, ndarray]:
    """log(1 + exp(-y s)) and -y / (1 + exp(y s))."""
    loss = np.log(1 + np.exp(-labels * scores))
    return loss, -labels / (1 + np.exp(labels * scores))


@implements(
    "binary_cross_entropy_with_logits_and_grad",
    formulation="textbook",
    max_ulp=_LOSS_ULP,
    max_ulp_gradient=_LOSS_ULP,
    known_failures=tuple(_with_logits_failures()),
)
@per_sample
def binary_cross_entropy_with_logits_and_grad(
    scores: ndarray, labels: ndarray
) -> tuple[ndarray, ndarray]:
    """log(1 + exp(s)) - y s and 1 / (1 + exp(-s)) - y."""
    loss = np.log(1 + np.exp(scores)) - labels * scores
    return loss, 1 / (1 + np.exp(-scores)) - labels
