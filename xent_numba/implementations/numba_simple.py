"""Numba as one writes it first: njit, parallel, fastmath, and the math module.

``math.exp`` and ``math.log1p`` are calls of the C library, one sample at a time: the compiler
cannot make vectors of them. log1p keeps the tail that log(1 + e) loses; nothing keeps e^-m from
overflowing.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from numba import prange
from numpy import ndarray

from xent_numba.kernels.cpu import threads
from xent_numba.kernels.cpu.caching import kernel
from xent_numba.known_failures import CLIFFS, KnownFailure
from xent_numba.reduction import per_sample
from xent_numba.registry import implements

_ULP = {"float32": 4.0, "float64": 4.0}
_MAX = CLIFFS["float64"].largest


def _sigmoid_failures(sign: float, label: float | None = None) -> Iterator[KnownFailure]:
    """Where g is 0 and should be subnormal, for scores of this sign."""
    for dtype, at in CLIFFS.items():
        low, high = sorted((sign * at.overflow, sign * at.vanishes(_ULP[dtype])))
        yield KnownFailure("exp overflows: 0 for a subnormal", low, high, label, dtype)


def _loss_failures(negative: float) -> Iterator[KnownFailure]:
    for dtype, at in CLIFFS.items():
        yield KnownFailure("exp overflows", -_MAX, -at.overflow, 1.0, dtype)
        yield KnownFailure("exp overflows", at.overflow, _MAX, negative, dtype)


def _loss_and_gradient_failures(negative: float) -> Iterator[KnownFailure]:
    yield from _loss_failures(negative)
    yield from _sigmoid_failures(1, label=1.0)
    yield from _sigmoid_failures(-1, label=negative)


unavailable = threads.unavailable


def _compile(function: Callable[..., Any]) -> Callable[..., Any]:
    """Compile for all threads, and for one where a process or a moment has no more."""
    serial, parallel = (
        kernel(
            f"simple_{function.__name__}_{threads_taken}",
            parallel=threads_taken == "parallel",
            fastmath=True,
            error_model="python",
        )(function)
        for threads_taken in ("serial", "parallel")
    )
    return functools.wraps(function)(functools.partial(threads.launch, serial, parallel))


@implements(
    "sigmoid", formulation="textbook", max_ulp=_ULP, known_failures=tuple(_sigmoid_failures(-1))
)
@per_sample
@_compile
def sigmoid(scores: ndarray) -> ndarray:
    """1 / (1 + exp(-s))."""
    s = scores.ravel()
    out = np.empty_like(s)
    for i in prange(s.size):
        out[i] = 1 / (1 + math.exp(-s[i]))
    return out.reshape(scores.shape)


@implements(
    "binary_cross_entropy",
    formulation="textbook",
    max_ulp=_ULP,
    known_failures=(KnownFailure("-log 1 is -0", 1.0, 1.0, 1.0),),
)
@per_sample
@_compile
def binary_cross_entropy(probabilities: ndarray, labels: ndarray) -> ndarray:
    """-[y log p + (1 - y) log1p(-p)], a class of weight zero left out."""
    p, y = probabilities.ravel(), labels.ravel()
    out = np.empty_like(p)
    for i in prange(p.size):
        out[i] = 0
        if y[i] > 0:
            out[i] -= y[i] * math.log(p[i])
        if y[i] < 1:
            out[i] -= (1 - y[i]) * math.log1p(-p[i])
    return out.reshape(probabilities.shape)


@implements(
    "logistic_loss",
    formulation="textbook",
    max_ulp=_ULP,
    known_failures=tuple(_loss_failures(-1.0)),
)
@per_sample
@_compile
def logistic_loss(scores: ndarray, labels: ndarray) -> ndarray:
    """log1p(exp(-y s))."""
    s, y = scores.ravel(), labels.ravel()
    out = np.empty_like(s)
    for i in prange(s.size):
        out[i] = math.log1p(math.exp(-y[i] * s[i]))
    return out.reshape(scores.shape)


@implements(
    "binary_cross_entropy_with_logits",
    formulation="textbook",
    max_ulp=_ULP,
    known_failures=tuple(_loss_failures(0.0)),
)
@per_sample
@_compile
def binary_cross_entropy_with_logits(scores: ndarray, labels: ndarray) -> ndarray:
    """Return y log1p(exp(-s)) + (1 - y) log1p(exp(s)), a class of weight zero left out."""
    s, y = scores.ravel(), labels.ravel()
    out = np.empty_like(s)
    for i in prange(s.size):
        out[i] = 0
        if y[i] > 0:
            out[i] += y[i] * math.log1p(math.exp(-s[i]))
        if y[i] < 1:
            out[i] += (1 - y[i]) * math.log1p(math.exp(s[i]))
    return out.reshape(scores.shape)


@implements(
    "logistic_loss_and_grad",
    formulation="textbook",
    max_ulp=_ULP,
    max_ulp_gradient=_ULP,
    known_failures=tuple(_loss_and_gradient_failures(-1.0)),
)
@per_sample
@_compile
def logistic_loss_and_grad(scores: ndarray, labels: ndarray) -> tuple[ndarray, ndarray]:
    """The loss, and -y / (1 + exp(y s))."""
    s, y = scores.ravel(), labels.ravel()
    out, gradient = np.empty_like(s), np.empty_like(s)
    for i in prange(s.size):
        margin = y[i] * s[i]
        out[i] = math.log1p(math.exp(-margin))
        gradient[i] = -y[i] / (1 + math.exp(margin))
    return out.reshape(scores.shape), gradient.reshape(scores.shape)


@implements(
    "binary_cross_entropy_with_logits_and_grad",
    formulation="textbook",
    max_ulp=_ULP,
    max_ulp_gradient=_ULP,
    known_failures=tuple(_loss_and_gradient_failures(0.0)),
)
@per_sample
@_compile
def binary_cross_entropy_with_logits_and_grad(
    scores: ndarray, labels: ndarray
) -> tuple[ndarray, ndarray]:
    """The loss, and (1 - y) / (1 + exp(-s)) - y / (1 + exp(s))."""
    s, y = scores.ravel(), labels.ravel()
    out, gradient = np.empty_like(s), np.empty_like(s)
    for i in prange(s.size):
        down, up = math.exp(-s[i]), math.exp(s[i])
        out[i] = 0
        if y[i] > 0:
            out[i] += y[i] * math.log1p(down)
        if y[i] < 1:
            out[i] += (1 - y[i]) * math.log1p(up)
        gradient[i] = (1 - y[i]) / (1 + down) - y[i] / (1 + up)
    return out.reshape(scores.shape), gradient.reshape(scores.shape)
