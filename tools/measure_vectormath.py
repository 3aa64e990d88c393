"""What a result of `vectormath` costs beside other ways: ``python tools/measure_vectormath.py``.

Writes ``reports/vectormath.md`` and ``.json``, in some two minutes, on one thread.
"""

from __future__ import annotations

import itertools
import sys
import timeit
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT))

from benchmarks.common import DTYPES  # noqa: E402
from benchmarks.more import vectormath  # noqa: E402
from xent_numba.results import store, table  # noqa: E402
from xent_numba.results.files import write  # noqa: E402
from xent_numba.results.provenance import Provenance  # noqa: E402
from xent_numba.results.table import Code, Table  # noqa: E402

REPORT = ROOT / "reports" / "vectormath.json"
SIZE, ROUNDS, SECONDS = 10_000, 51, 0.005


@dataclass(frozen=True, slots=True)
class Cost:
    """Nanoseconds a result of one function in one dtype.

    Attributes
    ----------
    function, dtype : str
        What is computed.
    nanoseconds : dict of str to list of float
        By way, one for each round.
    """

    function: str
    dtype: str
    nanoseconds: dict[str, list[float]]


@dataclass(frozen=True, slots=True)
class Costs:
    """Of every function in every dtype, for arrays of `size` numbers."""

    size: int
    rows: list[Cost]


COSTS = store.Kind("costs of vectormath", 1, Costs)


def measure(
    functions: Iterable[str] = tuple(vectormath.FUNCTIONS),
    ways: Iterable[str] = tuple(vectormath.WAYS),
    rounds: int = ROUNDS,
    seconds: float = SECONDS,
) -> Costs:
    """Time all ways in turn, round by round."""
    rows = []
    for function, dtype in itertools.product(functions, DTYPES):
        timers = {}
        for way in ways:
            try:
                call = vectormath.prepare(function, way, dtype, SIZE)
            except NotImplementedError:
                continue  # what is not installed has an empty column
            timer = timeit.Timer(call)
            timers[way] = timer, max(1, int(seconds / min(timer.repeat(3, 1))))
        found: dict[str, list[float]] = {way: [] for way in timers}
        for _ in range(rounds):
            for way, (timer, number) in timers.items():
                found[way].append(timer.timeit(number) / number / SIZE * 1e9)
        rows.append(Cost(function, dtype, found))
    return Costs(SIZE, rows)


def markdown(found: store.Stored[Costs]) -> str:
    """Return the fastest rounds as a table."""
    costs = found.content
    ways = list(dict.fromkeys(way for row in costs.rows for way in row.nanoseconds))
    rows = []
    for row in costs.rows:
        fastest = {way: min(times) for way, times in row.nanoseconds.items()}
        least = min(time for way, time in fastest.items() if way != "vectormath")
        rows.append(
            [
                Code(row.function),
                row.dtype,
                *(f"{fastest[way]:.2f}" if way in fastest else "" for way in ways),
                f"{least / fastest['vectormath']:.2f}",
            ]
        )
    return table.page(
        "What a result costs",
        f"Nanoseconds a result, one thread, arrays of {costs.size:,} numbers of N(0, 4²), for the "
        "logarithms of their exponentials: the fastest of the rounds in which all take turns. "
        "`vectormath` and `math` are loops that Numba compiles, the others the library's own call; "
        "`numpy` has no sigmoid, and gets its formula.",
        table.markdown(Table(["function", "dtype", *ways, "fastest other / ours"], rows)),
        "Made by `python tools/measure_vectormath.py`.",
        str(found.provenance),
    )


def main() -> None:
    """Measure, and write."""
    provenance = Provenance.now("python tools/measure_vectormath.py")
    found = store.Stored(provenance, measure())
    store.write(REPORT, COSTS, provenance, found.content)
    write(REPORT.with_suffix(".md"), markdown(found))


if __name__ == "__main__":
    main()
