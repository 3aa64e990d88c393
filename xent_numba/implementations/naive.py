"""Plain Python: the textbook formulas, one sample at a time.

Python computes in double precision whatever the input, and its `math` functions raise where IEEE
arithmetic would return an infinity.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from dataclasses import replace
from math import exp, inf, log

import numpy as np
from numpy import ndarray

from xent_numba.known_failures import CLIFFS, KnownFailure
from xent_numba.reduction import per_sample
from xent_numba.registry import implements

#: Largest errors where nothing is lost. One rounding to float32 hides those of double precision.
_SIGMOID_ULP = {"float32": 0.51, "float64": 3.0}
_PROBABILITY_ULP = {"float32": 0.51, "float64": 5.0}
_LOSS_ULP = {"float32": 1.5, "float64": 12.0}
_GRADIENT_ULP = {"float32": 0.6, "float64": 8.0}
#: From where on errors pass those: log(1 + e^-m), log(1 + e^s) - s, and log(1 - p).
_LOST = {"float32": 20.0, "float64": 2.0}
_CANCELLED = {"float32": 17.6, "float64": 1.5}
_SMALL = {"float32": 1e-9, "float64": 0.1}
_OVERFLOW, _MAX = CLIFFS["float64"].overflow, CLIFFS["float64"].largest

_RAISES_BELOW = KnownFailure("exp raises OverflowError", -_MAX, -_OVERFLOW)
_RAISES_ABOVE = KnownFailure("exp raises OverflowError", _OVERFLOW, _MAX)


def _probability_failures() -> Iterator[KnownFailure]:
    yield KnownFailure("log(0) raises ValueError", 0.0, 0.0)
    yield KnownFailure("log(0) raises ValueError", 1.0, 1.0)
    for dtype, small in _SMALL.items():
        yield KnownFailure("1 - p loses digits of p", 0.0, small, 0.0, dtype)


def _logistic_failures() -> Iterator[KnownFailure]:
    yield replace(_RAISES_BELOW, label=1.0)
    yield replace(_RAISES_ABOVE, label=-1.0)
    for dtype, lost in _LOST.items():
        reason, vanished = "1 + exp(-m) loses the tail", CLIFFS[dtype].vanishes(_LOSS_ULP[dtype])
        yield KnownFailure(reason, lost, vanished, 1.0, dtype)
        yield KnownFailure(reason, -vanished, -lost, -1.0, dtype)


def _with_logits_failures() -> Iterator[KnownFailure]:
    yield _RAISES_ABOVE
    yield KnownFailure("0 inf and inf - inf are NaN", inf, inf)
    yield KnownFailure("0 inf is NaN", -inf, -inf, 0.0)
    for dtype, lost in _LOST.items():
        cancelled, vanished = _CANCELLED[dtype], CLIFFS[dtype].vanishes(_LOSS_ULP[dtype])
        yield KnownFailure("1 + exp(s) loses the tail", -vanished, -lost, 0.0, dtype)
        yield KnownFailure("log(1 + exp(s)) - s cancels", cancelled, vanished, 1.0, dtype)


def _total(values: ndarray) -> float:
    total = 0.0
    for value in values.ravel().tolist():
        total += value
    return total


_each_sample = functools.partial(per_sample, total=_total)


def _each(formula: Callable[..., float], *arrays: ndarray) -> ndarray:
    columns = (array.ravel().tolist() for array in arrays)
    values = [formula(*sample) for sample in zip(*columns, strict=True)]
    return np.array(values, np.float64).reshape(arrays[0].shape)


@implements(
    "sigmoid",
    formulation="textbook",
    max_ulp=_SIGMOID_ULP,
    known_failures=(_RAISES_BELOW,),
)
@per_sample
def sigmoid(scores: ndarray) -> ndarray:
    """1 / (1 + exp(-s))."""
    return _each(lambda s: 1 / (1 + exp(-s)), scores)


@implements(
    "binary_cross_entropy",
    formulation="textbook",
    max_ulp=_PROBABILITY_ULP,
    known_failures=tuple(_probability_failures()),
)
@_each_sample
def binary_cross_entropy(probabilities: ndarray, labels: ndarray) -> ndarray:
    """-[y log p + (1 - y) log(1 - p)]."""
    return _each(lambda p, y: -(y * log(p) + (1 - y) * log(1 - p)), probabilities, labels)


@implements(
    "logistic_loss",
    formulation="textbook",
    max_ulp=_LOSS_ULP,
    known_failures=tuple(_logistic_failures()),
)
@_each_sample
def logistic_loss(scores: ndarray, labels: ndarray) -> ndarray:
    """log(1 + exp(-y s))."""
    return _each(lambda s, y: log(1 + exp(-y * s)), scores, labels)


@implements(
    "binary_cross_entropy_with_logits",
    formulation="textbook",
    max_ulp=_LOSS_ULP,
    known_failures=tuple(_with_logits_failures()),
)
@_each_sample
def binary_cross_entropy_with_logits(scores: ndarray, labels: ndarray) -> ndarray:
    """log(1 + exp(s)) - y s."""
    return _each(lambda s, y: log(1 + exp(s)) - y * s, scores, labels)


@implements(
    "logistic_loss_and_grad",
    formulation="textbook",
    max_ulp=_LOSS_ULP,
    max_ulp_gradient=_SIGMOID_ULP,
    known_failures=(*_logistic_failures(), _RAISES_BELOW, _RAISES_ABOVE),
)
@_each_sample
def logistic_loss_and_grad(scores: ndarray, labels: ndarray) -> tuple[ndarray, ndarray]:
    """log(1 + exp(-y s)) and -y / (1 + exp(y s))."""
    loss = _each(lambda s, y: log(1 + exp(-y * s)), scores, labels)
    return loss, _each(lambda s, y: -y / (1 + exp(y * s)), scores, labels)


@implements(
    "binary_cross_entropy_with_logits_and_grad",
    formulation="textbook",
    max_ulp=_LOSS_ULP,
    max_ulp_gradient=_GRADIENT_ULP,
    known_failures=(*_with_logits_failures(), _RAISES_BELOW),
)
@_each_sample
def binary_cross_entropy_with_logits_and_grad(
    scores: ndarray, labels: ndarray
) -> tuple[ndarray, ndarray]:
    """log(1 + exp(s)) - y s and 1 / (1 + exp(-s)) - y."""
    loss = _each(lambda s, y: log(1 + exp(s)) - y * s, scores, labels)
    return loss, _each(lambda s, y: 1 / (1 + exp(-s)) - y, scores, labels)
