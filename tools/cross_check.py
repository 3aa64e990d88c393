"""Hold our clock to another one: ``python tools/cross_check.py`` writes reports/cross_check.md.

pyperf times the very same calls in processes of its own, with its own calibration, warm-up and
rounds. The medians of at least `ENOUGH` rows must agree within `AGREE_WITHIN`, or this fails.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

import pyperf

from xent_numba.measurement.case import Case
from xent_numba.measurement.compare import Plan, compare
from xent_numba.measurement.participant import Participant
from xent_numba.results import machine, store, table
from xent_numba.results.files import write
from xent_numba.results.provenance import Provenance
from xent_numba.results.table import Table

ROOT = Path(__file__).parent.parent
AGREE_WITHIN = 0.05
TURNS = 5
BUDGET = 1.0
PROCESSES = 2
ENOUGH = 3
#: The first three neither allocate nor wait for other threads. Of the others, the fourth allocates:
#: what that costs depends on the state of the heap, which every process has its own of; and the
#: fifth takes as long as the slower of its threads.
ROWS = (
    ("numba_parallel", "logistic_loss", "float32", 2**14),
    ("numba_parallel", "sigmoid", "float64", 2**14),
    ("scipy_special", "sigmoid", "float64", 2**16),
    ("numpy_stable", "logistic_loss", "float32", 2**16),
    ("numba_parallel", "logistic_loss", "float32", 2**20),
)
SETUP = """
from xent_numba import registry
from xent_numba.measurement import binding
from xent_numba.measurement.case import Case
case = Case.of({operation!r}, "gaussian", {size}, {dtype!r}, None, "sum")
call = binding.bind(registry.get({name!r}), case, case.arguments())
call()
"""


@dataclass(frozen=True, slots=True)
class Row:
    """One call, by both clocks.

    Attributes
    ----------
    implementation, operation, dtype : str
        What was called.
    size : int
        Number of samples.
    compare, pyperf : float
        Median seconds of a call.
    difference : float
        Of the first from the second, relative to it.
    """

    implementation: str
    operation: str
    dtype: str
    size: int
    compare: float
    pyperf: float
    difference: float

    @property
    def agreed(self) -> bool:
        """Whether both say the same."""
        return abs(self.difference) <= AGREE_WITHIN


@dataclass(frozen=True, slots=True)
class CrossCheck:
    """All of them, and the version of pyperf."""

    pyperf: str
    rows: list[Row]


CROSS_CHECK = store.Kind("cross-check", 1, CrossCheck)


def by_us(name: str, operation: str, dtype: str, size: int) -> float:
    """Median seconds of a call, as ``xent-numba compare`` finds it."""
    case = Case.of(operation, "gaussian", size, dtype, None, "sum")
    one = Participant.of(name, machine.usable_cpus())
    found = compare({case: [one]}, Plan(name, "", BUDGET), command="")
    (row,) = (row for row in found.content.rows if row.implementation == name)
    assert row.seconds is not None, row.preparation
    return row.seconds.value


def by_pyperf(name: str, operation: str, dtype: str, size: int) -> float:
    """Median seconds of a call, as pyperf finds it."""
    setup = SETUP.format(name=name, operation=operation, dtype=dtype, size=size)
    with tempfile.TemporaryDirectory() as folder:
        result = Path(folder) / "result.json"
        subprocess.run(
            [
                *(sys.executable, "-m", "pyperf", "timeit", "--quiet", "--copy-env"),
                *("--processes", str(PROCESSES), "--output", str(result)),
                *("--setup", setup, "call()"),
            ],
            check=True,
        )
        median: float = pyperf.Benchmark.load(str(result)).median()
    return median


def main() -> int:
    """Time every row with both, and write what came out."""
    provenance = Provenance.now("python tools/cross_check.py")
    rows = []
    for row in ROWS:
        # In turn, in new processes each time: neither a machine that drifts nor a process that is
        # faster than another of the same for as long as it lives is a disagreement of clocks.
        turns = [(by_us(*row), by_pyperf(*row)) for _ in range(TURNS)]
        ours, other = (statistics.median(times) for times in zip(*turns, strict=True))
        rows.append(Row(*row, ours, other, ours / other - 1))
    found = CrossCheck(pyperf.__version__, rows)
    store.write(ROOT / "reports" / "cross_check.json", CROSS_CHECK, provenance, found)
    write(ROOT / "reports" / "cross_check.md", page(provenance, found))
    print(page(provenance, found))  # noqa: T201
    return int(sum(row.agreed for row in rows) < ENOUGH)


def page(provenance: Provenance, found: CrossCheck) -> str:
    """Return the times as a page."""
    heads = ("implementation", "operation", "samples", "compare, µs", "pyperf, µs", "difference")
    rows = [
        (
            row.implementation,
            f"{row.operation} {row.dtype}",
            f"{row.size:,}",
            f"{row.compare * 1e6:.1f}",
            f"{row.pyperf * 1e6:.1f}",
            f"{row.difference:+.1%}",
            "yes" if row.agreed else "NO",
        )
        for row in found.rows
    ]
    return table.page(
        "The same calls by another clock",
        f"Medians of {TURNS} turns of `xent-numba compare` and of pyperf, one after the other, "
        f"all\nin processes of their own. Agreed is what differs by {AGREE_WITHIN:.0%} at most.\n"
        "`numpy_stable` allocates in every call, which costs each process its own; a million\n"
        "samples are shared by threads, of which the slower one counts. The others do neither.",
        table.markdown(Table((*heads, "agreed"), rows, right=range(2, 6))),
        f"pyperf {found.pyperf}; {provenance}",
    )


if __name__ == "__main__":
    sys.exit(main())
