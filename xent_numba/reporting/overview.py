"""Everything at a glance, row by row, and what is to be known of the runs."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from xent_numba.measurement.comparison import Comparison, Row
from xent_numba.measurement.suite import PARTS
from xent_numba.reporting import tables
from xent_numba.reporting.sources import Sources, others
from xent_numba.results.store import Stored


class Cell(NamedTuple):
    """One place of the heat map: what it says, and how many times the fastest takes less."""

    text: str
    heat: float
    sort: float
    title: str


def heat(sources: Sources) -> dict[str, Any] | None:
    """Return the heat map; None if it was not measured."""
    if not (cases := sources.cases("operations")):
        return None
    columns = []
    table: dict[str, list[Cell]] = {}
    for case, rows in cases:
        columns.append((case.operation, case.dtype))
        times = [row.ns_per_element for row in others(rows) if row.ns_per_element is not None]
        best = min(times, default=math.nan)
        for row in others(rows):
            table.setdefault(row.implementation, []).append(_cell(row, best))
    order = sorted(table, key=lambda name: statistics.median(cell.sort for cell in table[name]))
    return {
        "columns": columns,
        "table": [(name, table[name]) for name in order if _ran(table[name])],
    }


def _ran(cells: Sequence[Cell]) -> bool:
    return any(cell.text not in ("n/a", "unavailable") for cell in cells)


def _cell(row: Row, best: float) -> Cell:
    if row.ns_per_element is None:
        return Cell(tables.status(row), 0.0, math.inf, row.preparation.reason)
    times = row.ns_per_element / best
    # From all of the colour for the fastest to none for what takes a hundred times as long.
    heat = max(0.0, 1 - math.log(times) / math.log(100))
    mark = "*" if row.preparation.status == "partly" else ""
    return Cell(f"{row.ns_per_element:.3g}{mark}", heat, times, f"{times:.3g} times the fastest")


def records(runs: Mapping[str, Stored[Comparison]]) -> Iterator[dict[str, Any]]:
    """Yield what the table of all results says of each row of each part."""
    for name, stored in runs.items():
        run = stored.content
        for case, rows in run.cases():
            resolution = run.resolution(case)
            for row in rows:
                _, status, _, time, *_ = tables.cells(row, run.baseline, resolution)
                yield {"part": name, "row": row, "case": case, "status": status, "time": time}


def machine(run: Stored[Comparison]) -> dict[str, str]:
    """Return what a run was measured on, by name."""
    here, numba = run.provenance.machine, run.content.numba
    return {
        "processor": here.cpu or here.architecture,
        "CPUs used": f"{here.usable_cpus}, numbers {here.affinity}",
        "threads": str(run.content.settings["threads"]),
        "SIMD": f"{numba['simd_bits']} bit" if numba["simd_bits"] else "none",
        "threading layer": str(numba["threading_layer"]),
        **here.told(),
    }


def quality(runs: Mapping[str, Stored[Comparison]]) -> Iterator[dict[str, Any]]:
    """Yield how far to trust each part."""
    for name, stored in runs.items():
        run, overall = stored.content, stored.content.overall
        cases = [interval for case, _ in run.cases() if (interval := run.resolution(case))]
        yield {
            "part": name,
            "summary": PARTS[name].summary,
            "provenance": stored.provenance,
            "overall": overall,
            "held": f"{sum(i.contains(1.0) for i in cases)} of {len(cases)}",
            "turns": sum(len(row.rounds) for row in run.rows),
            "disturbed": sum(sum(row.disturbed_by.values()) for row in run.rows),
            "activity": run.activity,
        }
