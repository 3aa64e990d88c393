"""From how many samples on threads pay.

``python tools/measure_crossover.py`` writes ``reports/crossover.md`` and ``.json``.

Serial and parallel kernels take turns on the same arrays. Below the crossover a parallel launch
costs more than it saves; ``kernels/cpu/threads.py`` has the figure that is used.
"""

from __future__ import annotations

import functools
import itertools
import statistics
import timeit
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from xent_numba.implementations import numba_parallel
from xent_numba.kernels.cpu import teams, threads
from xent_numba.results import machine, store, table
from xent_numba.results.files import write
from xent_numba.results.provenance import Provenance
from xent_numba.results.table import Table

REPORT = Path(__file__).parents[1] / "reports" / "crossover.json"
SIZES = tuple(2**k for k in range(11, 19))
ROUNDS = 41


@dataclass(frozen=True, slots=True)
class Row:
    """Microseconds of a call, on one thread and on all."""

    samples: int
    dtype: str
    serial: float
    parallel: float


@dataclass(frozen=True, slots=True)
class Crossover:
    """Times, the number of threads, and from how many samples on the kernels use them."""

    threads: int
    parallel_from: int
    rows: list[Row]


CROSSOVER = store.Kind("crossover", 1, Crossover)


def medians(dtype: str, size: int) -> tuple[float, float]:
    """Microseconds of a serial and of a parallel logistic loss, summed."""
    rng = np.random.default_rng(1)
    scores = rng.normal(0, 4, size).astype(dtype)
    labels = rng.choice(np.array([-1, 1], dtype), size)
    *_, whole = numba_parallel.KERNELS["logistic_loss"]
    nothing = np.empty(0, dtype)
    arguments = (scores, labels, None, nothing, None, ((1.0, 1.0, 0.0), False), np.empty(0))
    taken: list[list[float]] = [[], []]
    for turn in range(ROUNDS + 3):
        for team, times in zip((teams.ALONE, threads.team()), taken, strict=True):
            call = functools.partial(whole, *arguments, team)
            seconds = min(timeit.repeat(call, number=3, repeat=2)) / 3
            if turn >= 3:
                times.append(seconds)
    serial, parallel = (statistics.median(times) * 1e6 for times in taken)
    return serial, parallel


def measure() -> Crossover:
    """Time every size."""
    rows = [
        Row(size, dtype, *medians(dtype, size))
        for size in SIZES
        for dtype in ("float32", "float64")
    ]
    return Crossover(machine.usable_cpus(), threads.PARALLEL_FROM, rows)


def page(provenance: Provenance, found: Crossover) -> str:
    """Return the times as a page."""
    dtypes = dict.fromkeys(row.dtype for row in found.rows)
    heads = ["samples", *(head for dtype in dtypes for head in (f"{dtype}, serial", "parallel"))]
    cells = [
        [f"{size:,}", *(f"{time:.1f}" for row in rows for time in (row.serial, row.parallel))]
        for size, rows in itertools.groupby(found.rows, lambda row: row.samples)
    ]
    return table.page(
        "Where threads begin to pay",
        f"Microseconds of one call of the logistic loss, summed, on one thread and on "
        f"{found.threads}: medians\nof {ROUNDS} rounds in turn. `kernels/cpu/threads.py` uses "
        f"{found.parallel_from:,}: at half of that two threads gain\nmicroseconds, and a launch of "
        "more, which costs more, is not measured.",
        table.markdown(Table(heads, cells, right=range(len(heads)))),
        str(provenance),
    )


def main() -> None:
    """Measure and write both."""
    provenance, found = Provenance.now("python tools/measure_crossover.py"), measure()
    store.write(REPORT, CROSSOVER, provenance, found)
    write(REPORT.with_suffix(".md"), page(provenance, found))
    print(page(provenance, found))  # noqa: T201


if __name__ == "__main__":
    main()
