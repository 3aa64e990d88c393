"""Numba 0.61 with Intel's SVML, the last that has it: math functions in a loop become its vectors.

It needs an interpreter of its own, with the package ``icc_rt``; ``docs/compare.md`` says how
``xent-numba compare`` is told of it.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from typing import Any

import numpy as np
from numba import config, njit, prange
from numpy import ndarray

from xent_numba.peer import reducer
from xent_numba.reduction import per_sample
from xent_numba.registry import implements

_ULP = {"float32": 4, "float64": 4}


DISTRIBUTION = "numba"


def unavailable() -> str | None:
    """See `registry`."""
    if not getattr(config, "USING_SVML", False):
        return (
            "this Numba has no SVML: XENT_PYTHON_NUMBA_SVML names an interpreter whose Numba is "
            "0.61 and has icc_rt, for xent-numba compare"
        )
    return None


@functools.cache
def _compiled(operation: str) -> Callable[..., None]:
    @njit(parallel=True, error_model="numpy")
    def sigmoids(scores, one, out):  # type: ignore[no-untyped-def]
        for i in prange(scores.size):
            s = scores[i]
            e = math.exp(-abs(s))
            out[i] = (one if s >= 0 else e) / (one + e)

    @njit(parallel=True, error_model="numpy")
    def losses(scores, labels, zero, out):  # type: ignore[no-untyped-def]
        for i in prange(scores.size):
            margin = labels[i] * scores[i]
            out[i] = max(-margin, zero) + math.log1p(math.exp(-abs(margin)))

    return {"sigmoid": sigmoids, "logistic_loss": losses}[operation]


def bind(operation: str, inputs: tuple[ndarray, ...], reduction: str) -> Callable[[], Any]:
    """See `registry`."""
    arrays = [np.ascontiguousarray(array, inputs[0].dtype) for array in inputs]
    number = arrays[0].dtype.type(1 if operation == "sigmoid" else 0)
    out, compute, given = np.empty_like(arrays[0]), _compiled(operation), arrays[:2]
    reduce = reducer(reduction, *arrays[2:])

    def call() -> Any:
        compute(*given, number, out)
        return reduce(out)

    return call


@implements("sigmoid", formulation="stable", max_ulp=_ULP)
@per_sample
def sigmoid(scores: ndarray) -> ndarray:
    """(1 or e) / (1 + e), e = math.exp(-|s|)."""
    flat: ndarray = bind("sigmoid", (scores.ravel(),), "none")()
    return flat.reshape(scores.shape)


@implements("logistic_loss", formulation="stable", max_ulp=_ULP)
@per_sample
def logistic_loss(scores: ndarray, labels: ndarray) -> ndarray:
    """max(-y s, 0) + math.log1p(math.exp(-|s|))."""
    flat: ndarray = bind("logistic_loss", (scores.ravel(), labels.ravel()), "none")()
    return flat.reshape(scores.shape)
