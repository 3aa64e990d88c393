"""A study of accuracy as a table: for the terminal, and in Markdown."""

from __future__ import annotations

from rich.console import Console

from xent_numba.accuracy.error_counts import Violations
from xent_numba.accuracy.study import Accuracy, Study
from xent_numba.operations import OPERATIONS
from xent_numba.reporting.origins import made_by
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


def cells(row: Accuracy) -> tuple[str, ...]:
    """Text of the columns."""
    quantity = row.quantity
    bound = "" if row.complete else "≥ "
    normal, subnormal = row.normal, row.subnormal
    total = normal.count + subnormal.count
    right = (normal.correctly_rounded + subnormal.correctly_rounded) / total if total else 0.0
    return (
        quantity.operation + (", gradient" if quantity.result == "gradient" else ""),
        "" if quantity.label is None else f"{quantity.label:g}",
        quantity.dtype,
        f"{bound}{normal.max_ulp:.4g}" if normal.count else "",
        f"{float.fromhex(normal.worst):.9g}" if normal.worst else "",
        f"{normal.percentile_999:.3g}" if normal.count else "",
        f"{bound}{subnormal.max_ulp:.4g}" if subnormal.count else "",
        f"{right:.2%}",
        _count(row.nonfinite),
        _count(row.sign),
        _count(row.monotonicity),
        _count(row.symmetry),
    )


def show(study: Study, console: Console) -> None:
    """Print a table for each implementation; the columns that 80 characters have room for."""
    heads = [HEADERS[column] for column in _TERMINAL]
    for name, rows in _by_implementation(study).items():
        shown = [[cells(row)[column] for column in _TERMINAL] for row in rows]
        table.show(Table(heads, shown, title=name), console)
        console.print()
    for line in _unavailable(study):
        console.print(table.printable(line), markup=False, highlight=False)


def markdown(study: Study) -> str:
    """Return the tables as Markdown, with what was searched and how they were made."""
    parts: list[str | list[str]] = []
    for name, rows in _by_implementation(study).items():
        parts += [f"## {table.escape(name)}"]
        parts += [table.markdown(Table(HEADERS, [cells(row) for row in rows])), "Searched:"]
        parts += [[f"- {dtype}: {search}" for dtype, search in _searches(rows)]]
    return table.page(
        "Accuracy",
        "Largest error in ULP, over both labels.",
        summary(study, gradients=True),
        "The same on the axis of scores: [stability](stability.md).",
        _LEGEND,
        *parts,
        [f"- {table.escape(line)}" for line in _unavailable(study)],
        "Made by",
        made_by(study.runs, [(row.quantity.implementation, row.run) for row in study.rows]),
    )


def _unavailable(study: Study) -> list[str]:
    return [f"{name}: unavailable: {reason}." for name, reason in study.unavailable.items()]


def summary(study: Study, *, gradients: bool) -> list[str]:
    """Return one line for each implementation, a column for each operation and dtype."""
    panels = dict.fromkeys(
        _panel(row)
        for row in sorted(study.rows, key=lambda r: [*OPERATIONS].index(r.quantity.operation))
        if (gradients if row.quantity.result == "gradient" else not row.quantity.entry.gradient)
    )
    heads = [
        Marked(
            f"`{operation.removesuffix('_and_grad')}`"
            f"{', gradient' if result == 'gradient' else ''}, {dtype}"
        )
        for operation, result, dtype in panels
    ]
    body = [
        [Code(name), *(_worst([r for r in rows if _panel(r) == panel]) for panel in panels)]
        for name, rows in _by_implementation(study).items()
    ]
    return [
        table.markdown(Table(["implementation", *heads], body)),
        "",
        "≥: the worst that a search found; elsewhere every float32 was looked at. Results that",
        "are subnormal are left out, here and in pictures of speed; *f* marks those that flush",
        "them to zero. *∞* marks results that are infinite or NaN where the true value is not, or",
        "the other way round, *-0* losses that are negative or -0.0: pictures have both apart.",
    ]


#: An error of a subnormal result beyond this is no rounding error.
_FLUSHED = 1000.0


def _panel(row: Accuracy) -> tuple[str, str, str]:
    return row.quantity.operation, row.quantity.result, row.quantity.dtype


def _worst(rows: list[Accuracy]) -> Marked:
    """The largest error of rows that differ in the label."""
    if not rows:
        return Marked()
    worst = max(row.normal.max_ulp for row in rows)
    marks = [
        *["≥"] * (not all(row.complete for row in rows)),
        f"{worst:.4g}",
        *["*f*"] * any(row.subnormal.max_ulp > _FLUSHED for row in rows),
        *["*∞*"] * any(row.nonfinite.count for row in rows),
        *["*-0*"] * any(row.sign.count for row in rows),
    ]
    return Marked(" ".join(marks))


_LEGEND = (
    "Errors of single results in units of the last place of the true value; results that are",
    "normal numbers and results that are subnormal are listed apart. ≥ marks a lower bound: not",
    "every input was looked at. *Wrong inf/NaN*: infinite or NaN where the true value is not, or",
    "the other way round. *Sign*: negative or -0.0. *Steps back*: from one input to the next,",
    "against the direction of the function. *Asymmetric*: 1 - g(s) and g(-s) differ by more than",
    "an ULP of 1, or a loss changes its bits when score and label are mirrored.",
)


def _by_implementation(study: Study) -> dict[str, list[Accuracy]]:
    found: dict[str, list[Accuracy]] = {}
    for row in study.rows:
        found.setdefault(row.quantity.implementation, []).append(row)
    return found


def _searches(rows: list[Accuracy]) -> list[tuple[str, str]]:
    pairs = ((f"{r.quantity.operation}, {r.quantity.dtype}", r.search) for r in rows)
    return list(dict.fromkeys(pairs))


def _count(violations: Violations) -> str:
    if not violations.count:
        return "0"
    return f"{violations.count:,} (first at {float.fromhex(violations.example):.9g})"
