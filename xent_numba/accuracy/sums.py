"""How the error of a sum grows with the number of its terms.

Every implementation reduces the same losses, as it is timed: with the reduction of its own library
where it has one. The truth is the sum of the true losses of those very inputs, added without any
rounding, as `math.fsum` does: its error is that of one loss, see `reference.BOUND`.
"""

from __future__ import annotations

import json
import math
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import Executor
from dataclasses import asdict, dataclass
from fractions import Fraction
from typing import Any, Self

import numpy as np
from numpy import ndarray

import xent_numba
from xent_numba import registry
from xent_numba.accuracy import reference

#: The operation that every implementation computes, on scores of N(0, 4^2) and random labels.
OPERATION = "binary_cross_entropy_with_logits"
REDUCTIONS = ("sum", "mean")
#: So long may a call take, and so much memory a process: what is likely to need more is left out.
SECONDS, BYTES = 10.0, 4 << 30

#: Inputs that are drawn together; with it, the first n of more inputs are the same.
BLOCK = 1 << 20
_HALF = 1 << 27


class ExactSum:
    """Adds doubles without rounding: whole numbers of 2^-1128, the halves of each double apart."""

    def __init__(self) -> None:
        self._total: Counter[int] = Counter()

    def add(self, values: ndarray) -> None:
        """Add finite doubles.

        A half of a double has 27 bits, so that 2^20 of them add up exactly in a double.
        """
        for start in range(0, values.size, BLOCK):
            fractions, exponents = np.frexp(values[start : start + BLOCK])
            scaled = fractions * float(_HALF)
            high = np.floor(scaled)
            low = (scaled - high) * float(_HALF)
            shifted = exponents + 1074
            for half, offset in ((high, 27), (low, 0)):
                sums = np.bincount(shifted, half)
                for exponent in np.flatnonzero(sums):
                    self._total[int(exponent) + offset] += int(sums[exponent])

    @property
    def exact(self) -> Fraction:
        """The sum."""
        total = sum(count << exponent for exponent, count in self._total.items())
        return Fraction(total, 1 << (1074 + 54))


@dataclass(frozen=True, slots=True)
class Reduced:
    """The error of one reduced loss.

    Attributes
    ----------
    implementation, dtype, reduction : str
        What was computed.
    size : int
        Over how many samples.
    error : float
        Relative error.
    """

    implementation: str
    dtype: str
    reduction: str
    size: int
    error: float


@dataclass(frozen=True, slots=True)
class Sums:
    """Errors, and what they were made with.

    Attributes
    ----------
    rows : list of Reduced
        What was measured.
    omitted : dict of str to str
        Why the larger sizes of an implementation and dtype are missing.
    origin : dict
        Command, commit, machine and versions.
    """

    rows: list[Reduced]
    omitted: dict[str, str]
    origin: dict[str, Any]

    def to_json(self) -> str:
        """Everything, for a file."""
        return json.dumps(asdict(self), indent=1) + "\n"

    @classmethod
    def from_json(cls, text: str) -> Self:
        """Read back what `to_json` wrote."""
        document = json.loads(text)
        rows = [Reduced(**row) for row in document["rows"]]
        return cls(rows, document["omitted"], document["origin"])


def measure(
    implementations: list[str],
    dtypes: list[str],
    decades: int,
    *,
    executor: Callable[[], Any],
    origin: dict[str, Any],
    report: Callable[[str, int, int], None] = lambda what, done, parts: None,
) -> Sums:
    """Measure the errors of sums and means over 10^3 samples and more.

    Parameters
    ----------
    implementations, dtypes : list of str
        Names; an implementation that cannot run here is left out.
    decades : int
        The largest number of samples is 10^decades.
    executor : callable
        Makes a context with a fresh pool of processes, see `sweep.processes`: each implementation
        gets processes of its own, whose memory is its own.
    origin : dict
        Kept with the result.
    report : callable
        Called with what is being done, and how many parts of how many are finished.

    Returns
    -------
    Sums
    """
    sizes = [10**k for k in range(3, decades + 1)]
    names = [
        name
        for name in implementations
        if OPERATION in registry.get(name).operations and not registry.get(name).unavailable()
    ]
    rows: list[Reduced] = []
    omitted: dict[str, str] = {}
    for at, dtype in enumerate(dtypes):
        report(f"true sums, {dtype}", at * (1 + len(names)), len(dtypes) * (1 + len(names)))
        with executor() as pool:
            exact = true_sums(sizes, dtype, pool)
        for done, name in enumerate(names, 1):
            parts = at * (1 + len(names)) + done, len(dtypes) * (1 + len(names))
            report(f"sums, {name}, {dtype}", *parts)
            with executor() as pool:
                results, reason = pool.submit(_reduce, name, dtype, sizes).result()
            if reason:
                omitted[f"{name}, {dtype}"] = reason
            for (size, reduction), value in results.items():
                true = exact[size] / (size if reduction == "mean" else 1)
                rows.append(Reduced(name, dtype, reduction, size, _relative_error(value, true)))
    return Sums(rows, omitted, origin)


def _relative_error(value: float, true: Fraction) -> float:
    return float(abs(Fraction(value) - true) / true) if math.isfinite(value) else math.inf


def true_sums(sizes: list[int], dtype: str, pool: Executor) -> dict[int, Fraction]:
    """The exact sums of the true losses of the first so many inputs."""
    # Blocks, and the first part of one where a size ends inside.
    parts = {
        (block, min(BLOCK, size - block * BLOCK))
        for size in sizes
        for block in range(-(-size // BLOCK))
    }
    futures = {part: pool.submit(_true_sum_of_block, *part, dtype) for part in sorted(parts)}
    sums = {part: future.result() for part, future in futures.items()}
    return {
        size: sum(
            (sums[block, min(BLOCK, size - block * BLOCK)] for block in range(-(-size // BLOCK))),
            Fraction(0),
        )
        for size in sizes
    }


def _true_sum_of_block(block: int, size: int, dtype: str) -> Fraction:
    total = ExactSum()
    for losses in true_losses(*(array[:size] for array in _draw(block, dtype))):
        total.add(losses)
    return total.exact


def true_losses(scores: ndarray, labels: ndarray) -> Iterator[ndarray]:
    """The true losses as doubles, and for float64 what is left of them."""
    curves = reference.of_scores(np.abs(scores))
    right = (scores >= 0) == (labels == 1)
    yield np.where(right, curves.right.values, curves.wrong.values)
    if scores.dtype == np.float64:
        rests = [c.rest / c.scales[0] / c.scales[1] for c in (curves.right, curves.wrong)]
        yield np.where(right, *rests)


def draw(size: int, dtype: str) -> tuple[ndarray, ndarray]:
    """Scores of N(0, 4^2), and labels of int8."""
    scores, labels = np.empty(size, dtype), np.empty(size, np.int8)
    for start in range(0, size, BLOCK):
        some_scores, some_labels = _draw(start // BLOCK, dtype)
        stop = min(start + BLOCK, size)
        scores[start:stop], labels[start:stop] = (
            some_scores[: stop - start],
            some_labels[: stop - start],
        )
    return scores, labels


def _draw(block: int, dtype: str) -> tuple[ndarray, ndarray]:
    rng = np.random.default_rng(block)
    return (4 * rng.standard_normal(BLOCK)).astype(dtype), rng.integers(0, 2, BLOCK, np.int8)


def _reduce(
    name: str, dtype: str, sizes: list[int]
) -> tuple[dict[tuple[int, str], float], str | None]:
    """Reduced losses by size and reduction, and why larger sizes are missing."""
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
    if bind := getattr(implementation.module, "bind", None):
        bound: Callable[[], Any] = bind(OPERATION, inputs, reduction)
        return bound
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
