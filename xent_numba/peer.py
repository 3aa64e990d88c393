"""What the adapters of other libraries share: availability, threads, tensors, known failures."""

from __future__ import annotations

import functools
import os
from collections.abc import Callable
from importlib import util
from typing import Any

import numpy as np
from numpy import ndarray

from xent_numba.known_failures import CLIFFS, KnownFailure
from xent_numba.operations import Call
from xent_numba.reduction import evaluate
from xent_numba.results.machine import usable_cpus

_FLUSHED = "the result is flushed to zero where it would be subnormal: exp(-s) overflows"
_CLAMPED = "the logarithm is clamped to at least -100"
_CANCELS = "the tail of label 0 is lost: s - log g(s) cancels"
_GRADIENT_CANCELS = "the gradient's tail of label 1 is lost: g(s) - 1 cancels"
_INFINITE = "an infinite score times 0, or divided by itself, is NaN"

#: Of a sigmoid that is written 1 / (1 + exp(-s)).
SIGMOID_FLUSHED = tuple(
    KnownFailure(_FLUSHED, -at.vanishes(3), -at.overflow, dtype=dtype)
    for dtype, at in CLIFFS.items()
)
#: Of torch.nn.functional.binary_cross_entropy, eager or compiled.
TORCH_CLAMPED = (
    KnownFailure(_CLAMPED, 0.0, 3.7e-44, label=1.0, dtype="float32"),
    KnownFailure(_CLAMPED, 0.0, 3.72e-44, label=1.0, dtype="float64"),
    KnownFailure(_CLAMPED, 1.0, 1.0, label=0.0),
    KnownFailure("the loss is -0.0", 1.0, 1.0, label=1.0),
)
#: Of torch.nn.functional.binary_cross_entropy_with_logits, eager or compiled.
TORCH_WITH_LOGITS = (
    *(
        KnownFailure(_CANCELS, -at.vanishes(8), -1.5, label=0.0, dtype=dtype)
        for dtype, at in CLIFFS.items()
    ),
    KnownFailure(_INFINITE, -np.inf, -np.inf, label=0.0),
    KnownFailure(_INFINITE, np.inf, np.inf, label=1.0),
    KnownFailure(_INFINITE, -np.inf, -np.inf, label=1.0),
)
#: Of the same with its gradient.
TORCH_WITH_LOGITS_AND_GRAD = (
    *TORCH_WITH_LOGITS,
    *(
        KnownFailure(_GRADIENT_CANCELS, 1.5, at.vanishes(8), label=1.0, dtype=dtype)
        for dtype, at in CLIFFS.items()
    ),
)


def missing(package: str, install: str) -> str | None:
    """Say what to install where `package` cannot be found; nothing is imported."""
    if util.find_spec(package) is None:
        return f"{package} is not installed: pip install {install}"
    return None


def threads() -> int:
    """Return the number of threads every library gets: the one that Numba takes."""
    return int(os.environ.get("NUMBA_NUM_THREADS") or usable_cpus())


def tensor(array: ndarray) -> Any:
    """Share memory with torch where it can, which is not so for read-only or reversed arrays."""
    import torch

    return torch.from_numpy(np.require(array, requirements=["C", "A", "W"]))


def reducer(reduction: str, *weights: ndarray) -> Callable[[ndarray], Any]:
    """Return what NumPy makes of an array of losses, by weights where there are some."""
    if not weights:
        plain: dict[str, Callable[[ndarray], Any]]
        plain = {"none": np.asarray, "sum": np.sum, "mean": np.mean}
        return plain[reduction]
    if reduction == "mean":
        return functools.partial(np.average, weights=weights[0])

    def weighted(losses: ndarray) -> Any:
        np.multiply(losses, weights[0], losses)
        return losses if reduction == "none" else losses.sum()

    return weighted


def reduce_weighted(values: Any, reduction: str, *weights: Any) -> Any:
    """Reduce losses of NumPy's kind, by weights where there are some, in their own library."""
    weighted = values * weights[0] if weights else values
    if reduction == "none":
        return weighted
    if weights and reduction == "mean":
        return weighted.sum() / weights[0].sum()
    return weighted.sum() if reduction == "sum" else weighted.mean()


def evaluate_bound(
    call: Call, bind: Callable[[str, tuple[ndarray, ...], str], Callable[[], Any]]
) -> Any:
    """Evaluate a call by what ``bind(operation, inputs, "none")`` gives for flat arrays."""

    def values(*inputs: ndarray) -> ndarray:
        flat = tuple(array.ravel() for array in inputs)
        bound = bind(call.operation.name, flat, "none")
        return np.asarray(bound()).reshape(inputs[0].shape)

    return evaluate(call, values)


def bind_filled(
    fill: Callable[..., ndarray], inputs: tuple[ndarray, ...], reduction: str
) -> Callable[[], Any]:
    """Bind ``fill(first, labels, out)`` to contiguous arrays of one dtype, `out` allocated once."""
    arrays = [np.ascontiguousarray(array, inputs[0].dtype) for array in inputs]
    out, given = np.empty_like(arrays[0]), arrays[:2]
    reduce = reducer(reduction, *arrays[2:])
    return lambda: reduce(fill(*given, out))
