"""The roofline: how far bandwidth and arithmetic let an operation go, and how far it goes.

S. Williams, A. Waterman and D. Patterson, *Roofline: an insightful visual performance model for
multicore architectures*, Commun. ACM 52 (2009), 65-76. Operations are counted in the assembly of
the loop that runs. Two ceilings lie over an operation besides the memory's: fused multiply-adds
alone, and its own mix of instructions, which is the same kernel on data that fit into caches.
"""

from __future__ import annotations

import dataclasses
import functools
import timeit
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from xent_numba import registry
from xent_numba.codegen import assembly
from xent_numba.kernels.cpu import memory_limit, peak
from xent_numba.measurement import binding
from xent_numba.measurement.case import Case
from xent_numba.results import machine, store

#: The loop that each operation runs here, as `assembly.LOOPS` has it: losses summed, int8 labels.
LOOPS = {
    "sigmoid": "sigmoids",
    "binary_cross_entropy": "sum of cross entropies",
    "logistic_loss": "sum of logistic losses",
    "logistic_loss_and_grad": "gradients",
}
IN_CACHE = 2**16
"""Samples; twice as many take longer by what the mix of instructions allows, less the launch."""
IN_MEMORY = 2**24
LINKS = 500_000
"""Of each chain of fused multiply-adds: a millisecond, beside which a launch is nothing."""
ROUNDS = 41


@dataclass(frozen=True, slots=True)
class Point:
    """One operation under its roof.

    Attributes
    ----------
    operation, dtype : str
        What is computed; losses are summed, labels int8.
    flops, bytes : float
        For each sample: operations on floats in the loop's assembly, a fused multiply-add as two;
        and what has to be moved.
    seconds, seconds_in_cache, seconds_of_memory : float
        For each sample, on all threads: from memory; of the instructions alone; and of a kernel
        that moves the same bytes from and to memory, with next to no arithmetic.
    """

    operation: str
    dtype: str
    flops: float
    bytes: float
    seconds: float
    seconds_in_cache: float
    seconds_of_memory: float


@dataclass(frozen=True, slots=True)
class Roofline:
    """What was measured.

    Attributes
    ----------
    threads : int
        That all ran on.
    peaks : dict of str to float
        Operations a second of fused multiply-adds, by dtype.
    points : list of Point
        Operations.
    """

    threads: int
    peaks: dict[str, float]
    points: list[Point]


ROOFLINE = store.Kind("roofline", 1, Roofline)


def measure(in_memory: int = IN_MEMORY, rounds: int = ROUNDS) -> Roofline:
    """Time everything in turn, and count; the times are the best of all rounds."""
    threads = machine.usable_cpus()
    calls: dict[Any, Callable[[], Any]] = {}
    for dtype in assembly.SUFFIXES:
        lines = np.full((threads, peak.flops(1, 1, np.dtype(dtype)) // 2), -0.5, dtype)
        calls[dtype] = functools.partial(peak.chains, lines, LINKS)
        for operation in LOOPS:
            for size in (IN_CACHE, 2 * IN_CACHE, in_memory):
                case = Case.of(operation, "gaussian", size, dtype, "int8", "sum")
                inputs = case.arguments()
                entry = case.table_entry
                calls[case] = binding.bind(registry.get("numba_parallel"), case, inputs)
                if size == in_memory:
                    limit = memory_limit.bind(inputs, entry.labels is None, entry.gradient)
                    calls["memory", case] = limit
    taken: dict[Any, list[float]] = {name: [] for name in calls}
    for _ in range(rounds):
        for name, call in calls.items():
            taken[name] += timeit.repeat(call, number=1, repeat=3)
    # A ceiling is what is possible: the best of all.
    seconds = {name: min(times) for name, times in taken.items()}
    peaks = {
        dtype: peak.flops(LINKS, threads, np.dtype(dtype)) / seconds[dtype]
        for dtype in assembly.SUFFIXES
    }
    large = [case for case in seconds if isinstance(case, Case) and case.size == in_memory]
    return Roofline(threads, peaks, [_point(seconds, case) for case in large])


def _point(seconds: dict[Any, float], case: Case) -> Point:
    small, twice = (
        seconds[dataclasses.replace(case, size=size)] for size in (IN_CACHE, 2 * IN_CACHE)
    )
    return Point(
        case.operation,
        case.dtype,
        assembly.code(LOOPS[case.operation], case.dtype).flops,
        case.bytes_moved / case.size,
        seconds[case] / case.size,
        (twice - small) / IN_CACHE,
        seconds["memory", case] / case.size,
    )
