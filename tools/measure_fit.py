"""How long a fit takes with our loss and with scikit-learn's: ``python tools/measure_fit.py``.

Writes the figures into ``reports/logistic_regression.md`` and ``.json``.
"""

from __future__ import annotations

import json
import runpy
import statistics
import sys
from pathlib import Path

import numpy as np

from xent_numba.results import machine
from xent_numba.results.files import write
from xent_numba.workloads import flights

ROOT = Path(__file__).parent.parent
REPORT = ROOT / "reports" / "logistic_regression.json"
PAGE = REPORT.with_suffix(".md")
BEGIN, END = "<!-- tools/measure_fit.py writes from here -->", "<!-- to here -->"
ROUNDS = 5


def measure() -> dict[str, object]:
    """Fit in turn, after one fit of few flights, which compiles."""
    example = runpy.run_path(str(ROOT / "examples" / "flights_logistic_regression.py"))
    table = flights.read()
    columns = flights.design_matrix(table)
    example["fit"](columns[:1000], table.late[:1000])
    seconds: dict[str, list[float]] = {"xent_numba": [], "scikit-learn": []}
    difference = 0.0
    for _ in range(ROUNDS):
        ours = example["fit"](columns, table.late)
        theirs = example["fit_with_sklearn"](columns, table.late)
        seconds["xent_numba"].append(ours.seconds)
        seconds["scikit-learn"].append(theirs.seconds)
        apart = np.abs(ours.coefficients / theirs.coefficients - 1)
        difference = max(difference, float(apart.max()))
    described = machine.fingerprint()
    return {
        "flights": len(columns),
        "columns": columns.shape[1],
        "seconds": seconds,
        "largest_relative_difference": difference,
        "cpu": described["cpu"],
        "versions": described["versions"],
        "commit": machine.commit(),
    }


def page(found: dict[str, object]) -> str:
    """Return the figures as a page."""
    seconds, commit = found["seconds"], found["commit"]
    assert isinstance(seconds, dict)
    assert isinstance(commit, dict)
    lines = [
        "# A fit of real flights",
        "",
        "| loss and gradient by | seconds of a fit, median | fastest | slowest |",
        "| --- | ---: | ---: | ---: |",
    ]
    for name, times in seconds.items():
        middle = statistics.median(times)
        lines.append(f"| {name} | {middle:.2f} | {min(times):.2f} | {max(times):.2f} |")
    at = commit.get("commit", "no commit")[:10] + " (modified)" * bool(commit.get("modified"))
    return "\n".join(
        [
            *lines,
            "",
            f"{found['flights']:,} flights, {found['columns']} columns, {ROUNDS} fits in turn. No",
            f"coefficient differs by more than {found['largest_relative_difference']:.1e} of",
            f"itself. By `python tools/measure_fit.py` at {at} on {found['cpu']}.",
            "",
        ]
    )


def main() -> None:
    """Measure and write both."""
    found = measure()
    write(REPORT, json.dumps(found, indent=1) + "\n")
    write(PAGE, page(found))
    print(page(found))  # noqa: T201


if __name__ == "__main__":
    sys.exit(main())
