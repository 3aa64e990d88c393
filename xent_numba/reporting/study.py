"""A survey of accuracy as a table: for the terminal, and in Markdown."""

from __future__ import annotations

from typing import Any

from rich.console import Console

from xent_numba.accuracy.error_counts import Violations
from xent_numba.accuracy.study import Row, Survey
from xent_numba.operations import OPERATIONS
from xent_numba.results import table
from xent_numba.results.table import Code, Marked, Table

HEADERS = (
    "operation",
    "label",
    "dtype",
    "max ULP",
    "at",
    "99.9 %",
    "subnormal",
    "rounded right",
    "wrong inf/NaN",
    "sign",
    "steps back",
    "asymmetric",
)

_TERMINAL = (0, 1, 2, 3, 5, 6, 8)


def cells(row: Row) -> tuple[str, ...]:
    """Text of the columns."""
    found, target = row.findings, row.target
    bound = "" if row.complete else "≥ "
    normal, subnormal = found.normal, found.subnormal
    total = normal.count + subnormal.count
    right = (normal.correctly_rounded + subnormal.correctly_rounded) / total if total else 0.0
    return (
        target.operation + (", gradient" if target.result == "gradient" else ""),
        "" if target.label is None else f"{target.label:g}",
        target.dtype,
        f"{bound}{normal.max_ulp:.4g}" if normal.count else "",
        f"{float.fromhex(normal.worst):.9g}" if normal.worst else "",
        f"{normal.percentile(0.999):.3g}" if normal.count else "",
        f"{bound}{subnormal.max_ulp:.4g}" if subnormal.count else "",
        f"{right:.2%}",
        _count(found.nonfinite),
        _count(found.sign),
        _count(found.monotonicity),
        _count(found.symmetry),
    )


def show(survey: Survey, console: Console) -> None:
    """Print a table for each implementation; the columns that 80 characters have room for."""
    heads = [HEADERS[column] for column in _TERMINAL]
    for name, rows in _by_implementation(survey).items():
        shown = [[cells(row)[column] for column in _TERMINAL] for row in rows]
        table.show(Table(heads, shown, title=name), console)
        console.print()
    for name, reason in survey.unavailable.items():
        said = table.printable(f"{name}: unavailable: {reason}.")
        console.print(said, markup=False, highlight=False)


def markdown(survey: Survey) -> str:
    """Return the tables as Markdown, with what was searched and how they were made."""
    lines = ["# Accuracy", "", "Largest error in ULP, over both labels.", ""]
    lines += [*summary(survey, gradients=True), ""]
    lines += ["The same on the axis of scores: [stability](stability.md).", "", *_LEGEND, ""]
    for name, rows in _by_implementation(survey).items():
        lines += [f"## {table.escape(name)}", ""]
        lines += [table.markdown(Table(HEADERS, [cells(row) for row in rows]))]
        lines += ["", "Searched:", ""]
        lines += [f"- {dtype}: {search}" for dtype, search in _searches(rows)]
        lines.append("")
    lines += [
        f"- {table.escape(f'{name}: unavailable: {reason}.')}"
        for name, reason in survey.unavailable.items()
    ]
    lines += ["", "Made by", ""]
    for number, origin in enumerate(_origins(survey.rows), 1):
        described = ", ".join(f"{key} {value}" for key, value in origin.items() if key in _MADE_BY)
        versions = ", ".join(f"{k} {v}" for k, v in origin.get("versions", {}).items())
        names = ", ".join(
            dict.fromkeys(r.target.implementation for r in survey.rows if r.origin == origin)
        )
        lines.append(f"{number}. `{origin['command']}` ({names}): {described}, {versions}")
    return "\n".join([*lines, ""])


def summary(survey: Survey, *, gradients: bool) -> list[str]:
    """Return one line for each implementation, a column for each operation and dtype."""
    panels = dict.fromkeys(
        (row.target.operation, row.target.result, row.target.dtype)
        for row in sorted(survey.rows, key=lambda r: [*OPERATIONS].index(r.target.operation))
        if row.target.result == "gradient" or not row.target.table_entry.gradient
    )
    chosen = [panel for panel in panels if gradients or panel[1] == "loss"]
    heads = [
        Marked(
            f"`{operation.removesuffix('_and_grad')}`"
            f"{', gradient' if result == 'gradient' else ''}, {dtype}"
        )
        for operation, result, dtype in chosen
    ]
    body = [
        [Code(name), *(_worst([r for r in rows if _panel(r) == panel]) for panel in chosen)]
        for name, rows in _by_implementation(survey).items()
    ]
    return [
        table.markdown(Table(["implementation", *heads], body)),
        "",
        "≥: the worst that a search found; elsewhere every float32 was looked at. Results that",
        "are subnormal are left out; *f* marks those that flush them to zero. *∞* marks results",
        "that are infinite or NaN where the true value is not, or the other way round.",
    ]


#: An error of a subnormal result beyond this is no rounding error.
_FLUSHED = 1000.0
_MADE_BY = ("commit", "modified", "cpu", "python")


def _panel(row: Row) -> tuple[str, str, str]:
    return row.target.operation, row.target.result, row.target.dtype


def _worst(rows: list[Row]) -> Marked:
    """The largest error of rows that differ in the label."""
    if not rows:
        return Marked()
    worst = max(row.findings.normal.max_ulp for row in rows)
    marks = [
        *["≥"] * (not all(row.complete for row in rows)),
        f"{worst:.4g}",
        *["*f*"] * any(row.findings.subnormal.max_ulp > _FLUSHED for row in rows),
        *["*∞*"] * any(row.findings.nonfinite.count for row in rows),
    ]
    return Marked(" ".join(marks))


def _origins(rows: list[Row]) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    for row in rows:
        if row.origin not in found:
            found.append(row.origin)
    return found


_LEGEND = (
    "Errors of single results in units of the last place of the true value; results that are",
    "normal numbers and results that are subnormal are listed apart. ≥ marks a lower bound: not",
    "every input was looked at. *Wrong inf/NaN*: infinite or NaN where the true value is not, or",
    "the other way round. *Sign*: negative or -0.0. *Steps back*: from one input to the next,",
    "against the direction of the function. *Asymmetric*: 1 - g(s) and g(-s) differ by more than",
    "an ULP of 1, or a loss changes its bits when score and label are mirrored.",
)


def _by_implementation(survey: Survey) -> dict[str, list[Row]]:
    found: dict[str, list[Row]] = {}
    for row in survey.rows:
        found.setdefault(row.target.implementation, []).append(row)
    return found


def _searches(rows: list[Row]) -> list[tuple[str, str]]:
    return list(
        dict.fromkeys((f"{row.target.operation}, {row.target.dtype}", row.search) for row in rows)
    )


def _count(violations: Violations) -> str:
    if not violations.count:
        return "0"
    return f"{violations.count:,} (first at {float.fromhex(violations.example):.9g})"
