"""Hold our clock to another one: ``python tools/cross_check.py`` writes reports/cross_check.md.

pyperf times the very same calls in processes of its own, with its own calibration, warm-up and
rounds. The medians of at least `ENOUGH` rows must agree within `AGREE_WITHIN`, or this fails.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

import pyperf

from xent_numba.measurement.case import Case
from xent_numba.measurement.compare import compare
from xent_numba.measurement.participant import Participant
from xent_numba.results import machine
from xent_numba.results.files import write

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


def by_us(name: str, operation: str, dtype: str, size: int) -> float:
    """Median seconds of a call, as ``xent-numba compare`` finds it."""
    case = Case.of(operation, "gaussian", size, dtype, None, "sum")
    one = Participant.of(name, machine.usable_cpus())
    found = compare({case: [one]}, baseline=name, control="", budget=BUDGET, command="")
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
    rows = []
    for row in ROWS:
        # In turn, in new processes each time: neither a machine that drifts nor a process that is
        # faster than another of the same for as long as it lives is a disagreement of clocks.
        turns = [(by_us(*row), by_pyperf(*row)) for _ in range(TURNS)]
        ours, other = (statistics.median(times) for times in zip(*turns, strict=True))
        rows.append((*row, ours, other, ours / other - 1))
    described, commit = machine.fingerprint(), machine.commit()
    made = (
        f"`python tools/cross_check.py` at {commit.get('commit', 'no commit')[:10]}"
        f"{' (modified)' if commit.get('modified') else ''} on {described['cpu']}, "
        f"pyperf {pyperf.__version__}."
    )
    lines = [
        "# The same calls by another clock",
        "",
        f"Medians of {TURNS} turns of `xent-numba compare` and of pyperf, one after the other, all",
        f"in processes of their own. Agreed is what differs by {AGREE_WITHIN:.0%} at most.",
        "`numpy_stable` allocates in every call, which costs each process its own; a million",
        "samples are shared by threads, of which the slower one counts. The others do neither. By",
        made,
        "",
        "| implementation | operation | samples | compare, µs | pyperf, µs | difference | agreed |",
        "| --- | --- | ---: | ---: | ---: | ---: | --- |",
    ]
    for name, operation, dtype, size, ours, other, difference in rows:
        agreed = "yes" if abs(difference) <= AGREE_WITHIN else "NO"
        lines.append(
            f"| {name} | {operation} {dtype} | {size:,} | {ours * 1e6:.1f} | {other * 1e6:.1f} | "
            f"{difference:+.1%} | {agreed} |"
        )
    write(ROOT / "reports" / "cross_check.md", "\n".join([*lines, ""]))
    content = {"commit": commit, "cpu": described["cpu"], "rows": rows}
    write(ROOT / "reports" / "cross_check.json", json.dumps(content, indent=1) + "\n")
    print("\n".join(lines))  # noqa: T201
    return int(sum(abs(row[-1]) <= AGREE_WITHIN for row in rows) < ENOUGH)


if __name__ == "__main__":
    sys.exit(main())
