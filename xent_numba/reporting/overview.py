"""Everything at a glance, row by row, and what is to be known of the runs."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterator, Sequence
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
    status = row.preparation.status
    if row.ns_per_element is None:
        text = {"wrong": "WRONG"}.get(status, status)
        return Cell(text, 0.0, math.inf, row.preparation.reason)
    times = row.ns_per_element / best
    # From all of the colour for the fastest to none for what takes a hundred times as long.
    heat = max(0.0, 1 - math.log(times) / math.log(100))
    mark = "*" if status == "partly" else ""
    return Cell(f"{row.ns_per_element:.3g}{mark}", heat, times, f"{times:.3g} times the fastest")


def records(name: str, run: Comparison) -> Iterator[dict[str, Any]]:
    """Yield what the table of all results says of each row of a part."""
    for case, rows in run.cases():
        resolution = run.resolution(case)
        for row in rows:
            texts = tables.cells(row, run.baseline, resolution)
            share = row.limit_share
            yield {
                "part": name,
                "operation": case.operation,
                "dtype": case.dtype,
                "labels": case.label_dtype or "",
                "reduction": case.reduction if case.label_dtype else "",
                "size": case.size,
                "implementation": row.implementation,
                "status": texts[1],
                "ulp": row.preparation.max_ulp,
                "ns": row.ns_per_element,
                "time": texts[3],
                "share": share.value if share else None,
                "first": row.preparation.first_call_seconds,
            }


def machine(run: Stored[Comparison]) -> list[tuple[str, str]]:
    """Return what a run was measured on, by name."""
    here, numba = run.provenance.machine, run.content.numba
    caches = ", ".join(f"{level} {size}" for level, size in here.caches.items())
    return [
        ("Processor", here.cpu or here.architecture),
        ("CPUs used", f"{here.usable_cpus}, numbers {here.affinity}"),
        ("Threads", str(run.content.settings["threads"])),
        ("SIMD", f"{numba['simd_bits']} bit" if numba["simd_bits"] else "none"),
        ("Threading layer", str(numba["threading_layer"])),
        ("Caches", caches or "unknown"),
        ("Memory", f"{(here.memory_bytes or 0) / 2**30:.1f} GiB"),
        ("Huge pages", here.huge_pages or "unknown"),
        ("Governor", here.governor or "not readable here"),
        ("Turbo", {True: "on", False: "off", None: "not readable here"}[here.turbo]),
        ("GPU", here.gpu or "none"),
        ("System", here.system),
        ("Python", here.python),
    ]


def quality(name: str, stored: Stored[Comparison]) -> dict[str, Any]:
    """Return how far to trust a part."""
    run, origin = stored.content, stored.provenance
    overall = run.overall_resolution()
    cases = [interval for case, _ in run.cases() if (interval := run.resolution(case))]
    turns = sum(len(row.rounds) for row in run.rows)
    return {
        "part": name,
        "summary": PARTS[name].summary,
        "started": origin.started,
        "command": origin.command,
        "commit": origin.revision,
        "ratio": f"{overall.value:.3f} ({overall.low:.3f} to {overall.high:.3f})"
        if overall
        else "",
        "holds": "" if overall is None else "yes" if overall.contains(1.0) else "NO",
        "held": f"{sum(i.contains(1.0) for i in cases)} of {len(cases)}",
        "resolution": f"±{overall.distance_from_one:.1%}" if overall else "",
        "turns": turns,
        "disturbed": sum(sum(row.disturbed_by.values()) for row in run.rows),
        "load": f"{run.activity['load']:.2f}, {run.activity['load_after']:.2f}",
        "steal": f"{run.activity['steal_seconds']:.1f} s",
        "others": f"{run.activity['others_percent']:.0f} %",
    }
