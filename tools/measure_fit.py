"""How long a fit takes with our loss and with scikit-learn's: ``python tools/measure_fit.py``.

Writes the figures into ``reports/logistic_regression.md`` and ``.json``.
"""

from __future__ import annotations

import runpy
import statistics
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from xent_numba.results import store, table
from xent_numba.results.files import write
from xent_numba.results.provenance import Provenance
from xent_numba.results.table import Table
from xent_numba.workloads import flights

ROOT = Path(__file__).parent.parent
REPORT = ROOT / "reports" / "logistic_regression.json"
ROUNDS = 5


@dataclass(frozen=True, slots=True)
class Fits:
    """Times of fits, and how far their coefficients are apart.

    Attributes
    ----------
    flights, columns : int
        Shape of the matrix.
    seconds : dict of str to list of float
        Of each fit, by whose loss it used.
    largest_relative_difference : float
        Of any coefficient in any round.
    """

    flights: int
    columns: int
    seconds: dict[str, list[float]]
    largest_relative_difference: float


FITS = store.Kind("fits", 1, Fits)


def measure() -> Fits:
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
    return Fits(len(columns), columns.shape[1], seconds, difference)


def page(provenance: Provenance, found: Fits) -> str:
    """Return the figures as a page."""
    heads = ("loss and gradient by", "seconds of a fit, median", "fastest", "slowest")
    rows = [
        (name, *(f"{value:.2f}" for value in (statistics.median(times), min(times), max(times))))
        for name, times in found.seconds.items()
    ]
    return table.page(
        "A fit of real flights",
        table.markdown(Table(heads, rows)),
        f"{found.flights:,} flights that arrived, {found.columns} columns, {ROUNDS} fits in turn.\n"
        f"No coefficient differs by more than {found.largest_relative_difference:.1e} of itself.",
        str(provenance),
    )


def main() -> None:
    """Measure and write both."""
    provenance = Provenance.now("python tools/measure_fit.py")
    found = measure()
    store.write(REPORT, FITS, provenance, found)
    write(REPORT.with_suffix(".md"), page(provenance, found))
    print(page(provenance, found))  # noqa: T201


if __name__ == "__main__":
    main()
