"""How the error of a sum grows with the number of its terms.

Every implementation reduces the same losses, as it is timed: with the reduction of its own library
where it has one. The truth is the sum of the true losses of those very inputs, added without any
rounding, as `math.fsum` does: its error is that of one loss, see `reference.BOUND`.
"""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any, Self

import numpy as np
from numpy import ndarray

import xent_numba
from xent_numba import registry
from xent_numba.accuracy import reference
from xent_numba.accuracy.runs import together
from xent_numba.accuracy.workers import Workers, WorkersLostError
from xent_numba.operations import OPERATIONS
from xent_numba.results import store
from xent_numba.results.provenance import Provenance

#: The operation that every implementation computes, on scores of N(0, 4^2) and random labels.
OPERATION = "binary_cross_entropy_with_logits"
REDUCTIONS = ("sum", "mean")
#: The longest that a call may take, and the most memory of a process: what is likely to need more
#: is left out.
SECONDS, BYTES = 10.0, 4 << 30

#: Inputs that are drawn together; with it, the first n of more inputs are the same.
BLOCK = 1 << 20

Progress = Callable[[str, int, int], None]


@dataclass(frozen=True, slots=True)
class SumError:
    """The error of one reduced loss.

    Attributes
    ----------
    implementation, dtype, reduction : str
        What was computed.
    size : int
        Number of samples.
    error : float
        Relative error.
    run : int
        Index of the run that found it, in `SumErrors.runs`.
    """

    implementation: str
    dtype: str
    reduction: str
    size: int
    error: float
    run: int = 0


@dataclass(frozen=True, slots=True)
class SumErrors:
    """The errors of many reduced losses.

    Attributes
    ----------
    rows : list of SumError
        What was measured.
    omitted : dict of str to str
        Why the larger sizes of an implementation and dtype are missing.
    runs : list of Provenance
        Where the rows come from.
    """

    rows: list[SumError] = field(default_factory=list)
    omitted: dict[str, str] = field(default_factory=dict)
    runs: list[Provenance] = field(default_factory=list)

    def updated(self, newer: Self) -> Self:
        """Return what both found; the newer one alone of an implementation and dtype in both."""
        rows, origins = together(self, newer, lambda row: _whose(row.implementation, row.dtype))
        again = {_whose(row.implementation, row.dtype) for row in newer.rows}
        reasons = {whose: why for whose, why in self.omitted.items() if whose not in again}
        return type(self)(rows, reasons | newer.omitted, origins)


def _whose(implementation: str, dtype: str) -> str:
    """The key of `SumErrors.omitted`."""
    return f"{implementation}, {dtype}"


SUM_ERRORS = store.Kind("errors of sums", 2, SumErrors)


def measure(
    implementations: list[str],
    dtypes: list[str],
    decades: int,
    *,
    workers: Callable[[], AbstractContextManager[Workers]],
    progress: Progress = lambda what, done, parts: None,
) -> SumErrors:
    """Measure the errors of sums and means over 10^3 samples and more.

    Parameters
    ----------
    implementations, dtypes : list of str
        Names; an implementation that cannot run here is left out.
    decades : int
        The largest number of samples is 10^decades.
    workers : callable
        Makes a context with fresh `Workers`: each implementation gets processes of its own, whose
        memory is its own.
    progress : callable
        Called with what is being done, and the number of finished parts and of all.

    Returns
    -------
    SumErrors
    """
    sizes = tuple(10**k for k in range(3, decades + 1))
    names = [
        name
        for name in implementations
        if OPERATION in registry.get(name).operations and not registry.get(name).unavailable()
    ]
    found = SumErrors()
    parts = len(dtypes) * (1 + len(names))
    for at, dtype in enumerate(dtypes):
        progress(f"true sums, {dtype}", at * (1 + len(names)), parts)
        with workers() as together:
            exact = true_sums(sizes, dtype, together)
        for done, name in enumerate(names, 1):
            progress(f"sums, {name}, {dtype}", at * (1 + len(names)) + done, parts)
            results, reason = _reduce_apart(workers, name, dtype, sizes)
            if reason:
                found.omitted[_whose(name, dtype)] = reason
            for (size, reduction), value in results.items():
                true = exact[size] / (size if reduction == "mean" else 1)
                off = abs(Fraction(value) - true) / true if math.isfinite(value) else math.inf
                found.rows.append(SumError(name, dtype, reduction, size, float(off)))
    return found


_Results = tuple[dict[tuple[int, str], float], str | None]
"""Reduced losses by size and reduction, and why larger sizes are missing."""


def _reduce_apart(
    workers: Callable[[], AbstractContextManager[Workers]],
    name: str,
    dtype: str,
    sizes: tuple[int, ...],
) -> _Results:
    try:
        with workers() as one:
            ((_, found),) = one.results(_reduce, [(name, dtype, sizes)])
    except WorkersLostError:
        return {}, "its process died"
    return found


def true_sums(sizes: tuple[int, ...], dtype: str, workers: Workers) -> dict[int, Fraction]:
    """The exact sums of the true losses of the first inputs, by the number of these."""
    # Blocks, and the first part of one where a size ends inside.
    blocks = {
        size: [(i, min(BLOCK, size - i * BLOCK), dtype) for i in range(-(-size // BLOCK))]
        for size in sizes
    }
    parts = sorted({part for of_size in blocks.values() for part in of_size})
    sums = {parts[place]: found for place, found in workers.results(_true_sum_of_block, parts)}
    return {size: sum((sums[b] for b in of_size), Fraction(0)) for size, of_size in blocks.items()}


def _true_sum_of_block(block: int, size: int, dtype: str) -> Fraction:
    scores, labels = (array[:size] for array in _draw(block, dtype))
    parts = reference.samples(OPERATIONS[OPERATION], scores, labels).doubles()
    return sum(map(exact_sum, parts), Fraction(0))


def exact_sum(values: ndarray) -> Fraction:
    """The sum of finite doubles: `math.fsum` of them, and of what it has rounded away."""
    total, remaining = Fraction(0), values.tolist()
    while part := math.fsum(remaining):
        total += Fraction(part)
        remaining.append(-part)
    return total


def draw(size: int, dtype: str) -> tuple[ndarray, ndarray]:
    """Scores of N(0, 4^2), and labels of int8."""
    scores, labels = np.empty(size, dtype), np.empty(size, np.int8)
    for start in range(0, size, BLOCK):
        for whole, drawn in zip((scores, labels), _draw(start // BLOCK, dtype), strict=True):
            part = whole[start : start + BLOCK]
            part[:] = drawn[: part.size]
    return scores, labels


def _draw(block: int, dtype: str) -> tuple[ndarray, ndarray]:
    rng = np.random.default_rng(block)
    return (4 * rng.standard_normal(BLOCK)).astype(dtype), rng.integers(0, 2, BLOCK, np.int8)


def _reduce(name: str, dtype: str, sizes: tuple[int, ...]) -> _Results:
    implementation = registry.get(name)
    results: dict[tuple[int, str], float] = {}
    imported = 0
    for size in sizes:
        inputs = draw(size, dtype)
        seconds = 0.0
        for reduction in REDUCTIONS:
            call = _bound(implementation, inputs, reduction)
            value, taken = _timed(call)
            if 10 * taken > SECONDS:
                # The first call may have compiled, which more samples would not repeat.
                value, taken = _timed(call)
            results[size, reduction] = value
            seconds = max(seconds, taken)
        if size < sizes[-1]:
            if 10 * seconds > SECONDS:
                return results, f"{10 * size:,} samples would take more than {SECONDS:g} s a call"
            imported = imported or _memory()
            if 10 * (_memory() - imported) > BYTES:
                return results, f"{10 * size:,} samples would take more than {BYTES >> 30} GiB"
    return results, None


def _bound(
    implementation: registry.Implementation, inputs: tuple[ndarray, ndarray], reduction: str
) -> Callable[[], Any]:
    if bound := implementation.bound(OPERATION, inputs, reduction):
        return lambda: implementation.on_host(bound())
    function = getattr(xent_numba, OPERATION)
    return lambda: function(*inputs, reduction=reduction, implementation=implementation.name)


def _timed(call: Callable[[], Any]) -> tuple[float, float]:
    """The value, and the seconds it took."""
    before = time.perf_counter()
    value = float(call())
    return value, time.perf_counter() - before


def _memory() -> int:
    """Most memory that this process ever had, in bytes."""
    if sys.platform == "win32":
        import psutil

        return int(psutil.Process().memory_info().peak_wset)
    import resource

    unit = 1 if sys.platform == "darwin" else 1024
    return unit * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
