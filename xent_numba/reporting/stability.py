"""The stability map: on which inputs an implementation is right, and how it fails elsewhere."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from xent_numba.accuracy.error_counts import Grade
from xent_numba.accuracy.stability import Band, where
from xent_numba.accuracy.study import Accuracy, Study
from xent_numba.operations import OPERATIONS
from xent_numba.results import svg, table
from xent_numba.results.table import Table

#: Blue is right and orange is wrong, told apart by the colour blind and in print by their darkness;
#: on a dark page the second of each.
_COLOURS = {
    Grade.ONE: ("#084594", "#2b6cb0"),
    Grade.FOUR: ("#4292c6", "#63a4d8"),
    Grade.HUNDRED: ("#9ecae1", "#b5d6f0"),
    Grade.POOR: ("#fee391", "#fee391"),
    Grade.LOST: ("#fe9929", "#fe9929"),
    Grade.INFINITE: ("#b34700", "#d95f0e"),
    Grade.NAN: ("#101010", "#f2f2f2"),
}
_NAMES = {
    Grade.ONE: "within 1 ULP",
    Grade.FOUR: "within 4 ULP",
    Grade.HUNDRED: "within 100 ULP",
    Grade.POOR: "beyond 100 ULP",
    Grade.LOST: "all digits lost",
    Grade.INFINITE: "infinite, or should be",
    Grade.NAN: "NaN, or raises",
}
_GREY = "#6b6b6b"
_COLUMNS = 1200
#: More intervals than these are summed up.
_INTERVALS = 3

Panel = tuple[str, float | None, str]


def draw(study: Study, dtype: str, *, gradients: bool, columns: int = 2) -> str | None:
    """Draw a band for every implementation, a panel for every operation and label, as SVG.

    Parameters
    ----------
    study : Study
        The rows.
    dtype : {"float32", "float64"}
        Which of them.
    gradients : bool
        Whether to show the operations with a gradient, or the others.
    columns : int
        Panels beside one another.

    Returns
    -------
    str or None
        The same for the same study; None if it has no such row.
    """
    rows = {
        (_panel(row), row.quantity.implementation): row
        for row in study.rows
        if row.quantity.dtype == dtype
    }
    panels = {panel for panel, _ in rows if OPERATIONS[panel[0]].gradient == gradients}
    if not panels:
        return None
    names = sorted({name for _, name in rows}, reverse=True)
    places = _places(panels, columns)
    lines = len(places) // columns
    size = 5.25 * columns, 0.3 + (0.62 + 0.145 * len(names)) * lines
    figure = Figure(figsize=size, layout="constrained")
    grid = figure.subplots(lines, columns, squeeze=False)
    for axes, place in zip(grid.flat, places, strict=True):
        if place is None:
            _legend(axes)
            continue
        found = {name: rows.get((place, name)) for name in names}
        _draw_panel(axes, place, found, first=axes in grid[:, 0])
    if None not in places:
        figure.legend(handles=_handles(), loc="outside lower center", ncols=4, fontsize=7)
    return svg.render(figure)


def _places(panels: Iterable[Panel], columns: int) -> list[Panel | None]:
    """Panels in the order of their operations, and None where the legend goes."""
    order = [*OPERATIONS]
    places: list[Panel | None] = []
    for panel in sorted(panels, key=lambda p: (order.index(p[0]), p[2] != "loss", p[1] or 0.0)):
        # The sigmoid has no second label.
        places += [panel] if panel[1] is not None else [panel, None]
    return places + [None] * (-len(places) % columns)


def css_variables(dark: bool) -> str:
    """CSS declarations of the colours of `themed`."""
    return "".join(f"--grade-{grade:d}:{pair[dark]};" for grade, pair in _COLOURS.items())


def themed(drawn: str) -> str:
    """Return a map whose colours are those that the page gives it."""
    taken = {pair[0]: f"grade-{grade:d}" for grade, pair in _COLOURS.items()}
    for colour, name in {**taken, _GREY: "muted", "#ffffff": "surface", "#000000": "text"}.items():
        drawn = drawn.replace(colour, f"var(--{name})")
    return drawn


def markdown(study: Study) -> str:
    """Return the same as tables, of every dtype."""
    parts = []
    good, bad = (Grade.ONE, Grade.FOUR, Grade.HUNDRED), (Grade.LOST, Grade.INFINITE, Grade.NAN)
    heads = ["implementation", *(_NAMES[grade] for grade in good + bad)]
    panels: dict[tuple[Panel, str], list[Accuracy]] = {}
    for row in study.rows:
        panels.setdefault((_panel(row), row.quantity.dtype), []).append(row)
    for (panel, dtype), rows in sorted(panels.items(), key=str):
        shown = []
        for row in rows:
            found = row.bands
            within = [_words(found, [g for g in Grade if g <= limit]) for limit in good]
            beyond = [_words(found, [grade]) for grade in bad]
            shown.append([row.quantity.implementation, *within, *beyond])
        parts += [f"## {_title(panel)}, {dtype}"]
        parts += [table.markdown(Table(heads, shown, right=range(0)))]
    return table.page("Stability", _LEGEND, *parts)


_LEGEND = (
    "On which scores, or probabilities, the results are how good. A sixteenth of an octave counts",
    "by its worst result, so an end is known to 6 %. *Within 100 ULP* includes what is within 4,",
    "and that what is within 1. *All digits lost*: wrong by half the true value or more, results",
    "flushed to zero among them. *Infinite, or should be*: an infinity for a number, or a number",
    "for an infinity. float32 was gone through where [the table](accuracy.md) says so; the rest",
    "was sampled in every sixteenth of an octave.",
)


def _panel(row: Accuracy) -> Panel:
    return row.quantity.operation, row.quantity.label, row.quantity.result


def _title(panel: Panel) -> str:
    operation, label, result = panel
    name = f"{operation}, gradient" if result == "gradient" else operation
    if label is None:
        return name
    return f"{name}, label {label:+g}" if -1 in _labels(operation) else f"{name}, label {label:g}"


def _labels(operation: str) -> tuple[float, ...]:
    labels = OPERATIONS[operation].labels
    return labels.hard if labels else ()


@dataclass(frozen=True, slots=True)
class _Axis:
    """Where on the picture an input is: symmetric-log scores, or the logarithm of probabilities.

    Infinities, and the probabilities 0 and 1, have a cell of their own beyond the ends.
    """

    ticks: dict[float, str]
    ends: tuple[float, float]
    logarithmic: bool

    @classmethod
    def of(cls, first: str, dtype: str) -> _Axis:
        if first == "scores":
            ticks = {s: f"{s:g}" for s in (-1e2, -10.0, -1.0, 0.0, 1.0, 10.0, 1e2)}
            return cls(ticks, (-1000.0, 1000.0), logarithmic=False)
        step, last = (10, 45) if dtype == "float32" else (50, 324)
        ticks = {10.0**-k: f"1e-{k}" if k else "" for k in range(0, last, step)}
        return cls(ticks, (float(np.finfo(dtype).smallest_subnormal), 1.0), logarithmic=True)

    def __call__(self, value: float) -> float:
        if self.logarithmic:
            return math.log10(value)
        return value if abs(value) <= 1 else math.copysign(1 + math.log10(abs(value)), value)

    @property
    def cell(self) -> float:
        return 0.035 * (self(self.ends[1]) - self(self.ends[0]))

    def runs(self, found: Sequence[Band]) -> list[tuple[float, float, Grade]]:
        """Left end, width and grade of what is drawn: the worst in each column of the picture."""
        left, right = map(self, self.ends)
        width = (right - left) / _COLUMNS
        columns = np.full(_COLUMNS, -1)
        runs = []
        for band in found:
            if band.low == band.high:
                start = right + 0.5 * self.cell if band.low >= self.ends[1] else None
                beyond = left - 1.5 * self.cell if band.low < self.ends[0] else start
                if beyond is not None:
                    runs.append((beyond, self.cell, band.grade))
                    continue
            low, high = max(band.low, self.ends[0]), min(band.high, self.ends[1])
            if low <= high:
                first, last = ((self(end) - left) / width for end in (low, high))
                part = columns[int(first) : max(math.ceil(last), int(first) + 1)]
                np.maximum(part, band.grade, out=part)
        edges = np.flatnonzero(np.diff(columns, prepend=-2, append=-2))
        for start, stop in itertools.pairwise(edges.tolist()):
            if columns[start] >= 0:
                place = left + start * width, (stop - start) * width
                runs.append((*place, Grade(columns[start])))
        return runs


def _draw_panel(axes: Axes, panel: Panel, rows: dict[str, Accuracy | None], *, first: bool) -> None:
    dtype = next(row.quantity.dtype for row in rows.values() if row)
    scale = _Axis.of(OPERATIONS[panel[0]].first, dtype)
    axes.set_title(_title(panel), fontsize=8, loc="left", pad=3)
    left, right = (scale(end) for end in scale.ends)
    axes.set_xlim(left - 1.6 * scale.cell, right + 1.6 * scale.cell)
    ends = ("0", "1") if scale.logarithmic else ("-∞", "∞")
    axes.set_xticks(
        [left - scale.cell, *map(scale, scale.ticks), right + scale.cell],
        [ends[0], *scale.ticks.values(), ends[1]],
    )
    for place, row in enumerate(rows.values()):
        if row is None:
            axes.text(
                (left + right) / 2, place, "n/a", fontsize=6, ha="center", va="center", color=_GREY
            )
            continue
        extents: dict[Grade, list[tuple[float, float]]] = {}
        for start, width, grade in scale.runs(row.bands):
            extents.setdefault(grade, []).append((start, width))
        for grade, extent in sorted(extents.items()):
            axes.broken_barh(
                extent, (place - 0.42, 0.84), facecolor=_COLOURS[grade][0], lw=0, antialiased=False
            )
    axes.set_yticks(range(len(rows)), [svg.plain(name) if first else "" for name in rows])
    axes.set_ylim(-0.6, len(rows) - 0.4)
    axes.tick_params(labelsize=6.5, length=2)
    axes.tick_params(axis="y", length=0)
    axes.spines[:].set_visible(False)


def _legend(axes: Axes) -> None:
    axes.set_axis_off()
    axes.legend(handles=_handles(), loc="center left", fontsize=8, frameon=False)


def _handles() -> list[Patch]:
    return [Patch(facecolor=_COLOURS[grade][0], label=_NAMES[grade]) for grade in Grade]


def _words(found: Sequence[Band], grades: Sequence[Grade]) -> str:
    intervals = where(found, grades)
    if not intervals:
        return "nowhere"
    if all(band.grade in grades for band in found):
        return "everywhere"
    if len(intervals) > _INTERVALS:
        return (
            f"{len(intervals)} intervals from {_number(intervals[0][0])} to "
            f"{_number(intervals[-1][1])}"
        )
    return ", ".join(
        _number(low) if low == high else f"{_number(low)} to {_number(high)}"
        for low, high in intervals
    )


def _number(value: float) -> str:
    return f"{value:.3g}".replace("inf", "∞")
