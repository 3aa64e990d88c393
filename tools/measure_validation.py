"""What checking the values costs.

``python tools/measure_validation.py`` writes ``reports/validation.md`` and ``.json``.

The kernels that sum losses are compiled twice, as they are and from the same source without the
lines that look at labels and probabilities. Both take turns, on one thread, on samples
that lie in the second-level cache, where arithmetic is all there is to wait for.
"""

from __future__ import annotations

import re
import statistics
import timeit
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from xent_numba.kernels.cpu import blocks, log_of_product, passes
from xent_numba.results import store, table
from xent_numba.results.files import write
from xent_numba.results.provenance import Provenance
from xent_numba.results.table import Code, Table

REPORT = Path(__file__).parents[1] / "reports" / "validation.json"
CHECK = re.compile(r"^ +plain &= .*\n", re.MULTILINE)
CHECKS = 4
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


def without_checks() -> ModuleType:
    """`products` from its own source less the lines that check."""
    source, found = CHECK.subn("", Path(log_of_product.__file__).read_text())
    if found != CHECKS:
        raise RuntimeError(f"found {found} lines that check in log_of_product.py, not {CHECKS}")
    module = ModuleType("products_without_checks")
    exec(compile(source, log_of_product.__file__, "exec"), module.__dict__)  # noqa: S102
    return module


def compiled(module: ModuleType, operation: str) -> Any:
    """The loop over sections on one thread."""
    block, sums = (
        (passes.cross_entropy_of_probabilities, module.cross_entropy_sums)
        if operation == "binary_cross_entropy"
        else (passes.with_logits, module.softplus_sums(0))
    )
    name = f"{module.__name__.rpartition('.')[2]}_{operation}"
    kernels = blocks.loss_kernels(name, block, module.by_dtype(*sums))
    for kernel in kernels:
        # What was compiled without its module's file could not be loaded again.
        kernel._cache.disable()
    _, _, serial, _ = kernels
    return serial


def measure(operation: str, dtype: str, label_dtype: str, modules: list[Any]) -> list[float]:
    """Nanoseconds for each sample, for each of the modules."""
    rng = np.random.default_rng(1)
    first = rng.normal(0, 4, SAMPLES).astype(dtype)
    if operation == "binary_cross_entropy":
        first = rng.random(SAMPLES).astype(dtype)
    labels = rng.integers(0, 2, SAMPLES).astype(label_dtype)
    arguments = first, labels, None, first[:0], None, (1.0, 1.0, 0.0), False
    loops = [compiled(module, operation) for module in modules]
    if len({loop(*arguments) for loop in loops}) > 1:
        raise RuntimeError(f"{operation} differs without its checks")
    taken: list[list[float]] = [[] for _ in loops]
    for _ in range(ROUNDS):
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
    modules = [log_of_product, without_checks()]
    found = Costs(
        [
            Row(operation, dtype, label_dtype, *measure(operation, dtype, label_dtype, modules))
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
