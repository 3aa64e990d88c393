"""What checking the values costs.

``python tools/measure_validation.py`` writes ``reports/validation.md`` and ``.json``.

The kernels that sum losses are compiled twice, as they are and without a look at labels and
probabilities. Both take turns, on one thread, on samples that lie in the second-level cache,
where arithmetic is all there is to wait for.
"""

from __future__ import annotations

import statistics
import timeit
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from xent_numba.kernels.cpu import blocks, log_of_product, passes
from xent_numba.kernels.cpu.teams import ALONE
from xent_numba.results import store, table
from xent_numba.results.files import write
from xent_numba.results.provenance import Provenance
from xent_numba.results.table import Code, Table

REPORT = Path(__file__).parents[1] / "reports" / "validation.json"
ROUNDS = 201
CALLS = 16
SAMPLES = 4 * log_of_product.SECTION


@dataclass(frozen=True, slots=True)
class Row:
    """Nanoseconds for each sample, with the checks and without."""

    operation: str
    dtype: str
    label_dtype: str
    checked: float
    bare: float


@dataclass(frozen=True, slots=True)
class Costs:
    """All of them."""

    rows: list[Row]


COSTS = store.Kind("costs-of-validation", 1, Costs)


def compiled(operation: str, checked: bool) -> Any:
    """The loop over chunks."""
    block, section_sum = (
        (passes.cross_entropy_of_probabilities, log_of_product.cross_entropy_sum(checked))
        if operation == "binary_cross_entropy"
        else (passes.with_logits, log_of_product.softplus_sum(0, checked))
    )
    name = operation if checked else f"{operation}_unchecked"
    *_, whole = blocks.loss_kernels(name, block, section_sum)
    return whole


def measure(operation: str, dtype: str, label_dtype: str, rounds: int = ROUNDS) -> list[float]:
    """Nanoseconds for each sample, with the checks and without."""
    rng = np.random.default_rng(1)
    first = rng.normal(0, 4, SAMPLES).astype(dtype)
    if operation == "binary_cross_entropy":
        first = rng.random(SAMPLES).astype(dtype)
    labels = rng.integers(0, 2, SAMPLES).astype(label_dtype)
    arguments = first, labels, None, first[:0], None, ((1.0, 1.0, 0.0), False), np.empty(0), ALONE
    loops = [compiled(operation, checked) for checked in (True, False)]
    if len({loop(*arguments) for loop in loops}) > 1:
        raise RuntimeError(f"{operation} differs without its checks")
    taken: list[list[float]] = [[] for _ in loops]
    for _ in range(rounds):
        for loop, times in zip(loops, taken, strict=True):
            times.append(timeit.timeit(lambda f=loop: f(*arguments), number=CALLS))
    return [statistics.median(times) / CALLS / SAMPLES * 1e9 for times in taken]


def page(provenance: Provenance, found: Costs) -> str:
    """Return the times as a page."""
    heads = ("operation", "dtype", "labels", "checked", "not checked", "cost")
    rows = [
        (
            Code(row.operation),
            row.dtype,
            row.label_dtype,
            f"{row.checked:.3f}",
            f"{row.bare:.3f}",
            f"{100 * (row.checked / row.bare - 1):+.1f} %",
        )
        for row in found.rows
    ]
    return table.page(
        "What checking the values costs",
        "Nanoseconds for each sample of a sum of losses, one thread, samples in the second-level\n"
        f"cache: medians of {ROUNDS} rounds in turn. Each label, and each probability, is looked "
        "at\nin the loop that computes.",
        table.markdown(Table(heads, rows, right=range(3, 6))),
        str(provenance),
    )


def main() -> None:
    """Measure and write both."""
    provenance = Provenance.now("python tools/measure_validation.py")
    found = Costs(
        [
            Row(operation, dtype, label_dtype, *measure(operation, dtype, label_dtype))
            for operation in ("binary_cross_entropy_with_logits", "binary_cross_entropy")
            for dtype in ("float32", "float64")
            for label_dtype in (dtype, "int8")
        ]
    )
    store.write(REPORT, COSTS, provenance, found)
    write(REPORT.with_suffix(".md"), page(provenance, found))
    print(page(provenance, found))  # noqa: T201


if __name__ == "__main__":
    main()
