"""Where series of the history changed: a table, and a picture of those that did."""

from __future__ import annotations

import itertools

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from xent_numba.gate.history import History, Series
from xent_numba.results import svg, table
from xent_numba.results.table import Code, Table

_BLUE, _ORANGE, _GREY = "#0072B2", "#D55E00", "#6B6B6B"
_MOST_PANELS = 24
_IN_A_ROW = 2


def as_table(history: History) -> Table:
    """One row for each change: what, between which commits, by how much, and what asks the gate."""
    columns = ["benchmark", "environment", "from", "to", "change", "interval", "", "ask the gate"]
    rows: list[list[object]] = [
        [
            Code(one.benchmark),
            f"{one.machine}, {one.environment}",
            one.commits[change.first - 1][:10],
            one.commits[change.last][:10],
            f"{change.ratio.value - 1:+.1%}",
            f"[{change.ratio.low - 1:+.1%}, {change.ratio.high - 1:+.1%}]",
            "worse" if one.is_worse(change) else "better",
            Code(one.check(change)),
        ]
        for one in history.series
        for change in one.changes
    ]
    return Table(columns, rows, right=range(4, 6))


def notes(history: History) -> str:
    """How many series there are, and how many changed."""
    changed = sum(bool(one.changes) for one in history.series)
    short = f"; {history.short} are too short to say" if history.short else ""
    return f"{changed} of {len(history.series)} series changed{short}"


def markdown(history: History) -> str:
    """The table as a page."""
    return table.page(
        "Where the history changed", notes(history), table.markdown(as_table(history))
    )


def draw(history: History) -> str:
    """Draw an SVG: the values of series that changed, and the median between two changes."""
    shown = [one for one in history.series if one.changes][:_MOST_PANELS]
    lines = max(1, -(-len(shown) // _IN_A_ROW))
    figure = Figure(figsize=(5.0 * _IN_A_ROW, 0.6 + 2.0 * lines), layout="constrained")
    grid = figure.subplots(lines, _IN_A_ROW, squeeze=False)
    for axes in grid.flat[len(shown) :]:
        axes.remove()
    for axes, one in zip(grid.flat, shown, strict=False):
        _panel(axes, one)
    figure.suptitle(svg.plain(notes(history)), fontsize=9)
    return svg.render(figure)


def _panel(axes: Axes, one: Series) -> None:
    axes.plot(one.values, ".", color=_GREY, markersize=4)
    ends = [0, *(change.at for change in one.changes), len(one.values)]
    for start, end in itertools.pairwise(ends):
        middle = sorted(one.values[start:end])[(end - start) // 2]
        axes.hlines(middle, start - 0.5, end - 0.5, color=_BLUE)
    for change in one.changes:
        axes.axvspan(change.first - 1, change.last, color=_ORANGE, alpha=0.3, linewidth=0)
        axes.text(
            change.at, max(one.values), f" {change.ratio.value - 1:+.0%}", fontsize=7, va="top"
        )
    axes.set_title(svg.plain(one.benchmark), fontsize=7)
    axes.set_ylabel(svg.plain(one.unit), fontsize=7)
    axes.set_xlabel(f"commit, from {one.commits[0][:8]} to {one.commits[-1][:8]}", fontsize=7)
    axes.tick_params(labelsize=7)
