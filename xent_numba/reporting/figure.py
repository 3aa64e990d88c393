"""A comparison as a picture: time per element, one panel for each case."""

from __future__ import annotations

import statistics

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from xent_numba.measurement.case import Case
from xent_numba.measurement.comparison import Comparison, Row
from xent_numba.measurement.participant import AGAIN, LIMITS, MEMORY_LIMIT
from xent_numba.reporting import tables
from xent_numba.results import svg
from xent_numba.results.store import Stored

# Okabe and Ito, "Color Universal Design", 2008: told apart by the colour blind; and each is said
# in words as well.
_BLUE, _ORANGE, _GREY = "#0072B2", "#D55E00", "#6B6B6B"
_PANELS_IN_A_ROW = 3


def draw(run: Stored[Comparison]) -> str:
    """Draw an SVG: implementations from the fastest to the slowest, and the memory limit.

    Parameters
    ----------
    run : Stored
        A comparison of at least one case.

    Returns
    -------
    str
        The same for the same run.
    """
    comparison = run.content
    cases = list(comparison.cases())
    names = _order(comparison)
    columns = min(len(cases), _PANELS_IN_A_ROW)
    lines = -(-len(cases) // columns)
    figure = Figure(
        figsize=(1.6 + 3.0 * columns, (1.3 + 0.27 * len(names)) * lines), layout="constrained"
    )
    grid = figure.subplots(lines, columns, sharey=True, squeeze=False)
    for axes in grid.flat[len(cases) :]:
        axes.remove()
    for axes, (case, rows) in zip(grid.flat, cases, strict=False):
        _panel(axes, case, {row.implementation: row for row in rows}, names, comparison.baseline)
    return svg.render(figure)


def _order(comparison: Comparison) -> list[str]:
    """Implementations that ran, the fastest on average last: it is drawn at the top."""
    times: dict[str, list[float]] = {}
    for row in comparison.rows:
        if (
            row.implementation not in LIMITS
            and not row.implementation.endswith(AGAIN)
            and (row.preparation.timed or row.preparation.status == "wrong")
        ):
            times.setdefault(row.implementation, [])
            if row.ns_per_element is not None:
                times[row.implementation].append(row.ns_per_element)

    def slowness(name: str) -> tuple[float, str]:
        return (statistics.geometric_mean(times[name]) if times[name] else float("inf"), name)

    return sorted(times, key=slowness, reverse=True)


def _panel(axes: Axes, case: Case, rows: dict[str, Row], names: list[str], baseline: str) -> None:
    axes.set_title(_title(case), fontsize=9, loc="left")
    axes.set_xscale("log")
    axes.set_xlabel("ns per element (less is better)", fontsize=8)
    axes.set_yticks(
        range(len(names)),
        [svg.plain(f"{name} (base)" if name == baseline else name) for name in names],
    )
    axes.set_ylim(-0.6, len(names))
    axes.tick_params(which="both", labelsize=8)
    axes.grid(axis="x", color="0.9")
    axes.set_axisbelow(True)
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.tick_params(axis="y", length=0)
    for position, name in enumerate(names):
        if name in rows:
            _draw(axes, position, rows[name], name == baseline)
    limit = rows[MEMORY_LIMIT].ns_per_element if MEMORY_LIMIT in rows else None
    if limit is not None:
        axes.axvline(limit, color="black", lw=1, ls="--")
        axes.annotate(
            "memory limit",
            (limit, 1),
            xytext=(3, -2),
            fontsize=7,
            ha="left",
            va="top",
            xycoords=axes.get_xaxis_transform(),
            textcoords="offset points",
        )
    axes.margins(x=0.15)


def _draw(axes: Axes, position: int, row: Row, base: bool) -> None:
    """Draw an implementation's time and interval, or say why it has none."""
    status = row.preparation.status
    if row.seconds is None or row.ns_per_element is None:
        axes.text(
            0.98,
            position,
            "" if row.preparation.timed else tables.status(row),
            va="center",
            ha="right",
            fontsize=7,
            color=_GREY,
            transform=axes.get_yaxis_transform(),
        )
        return
    time = row.ns_per_element
    scale = time / row.seconds.value
    color, marker = (_ORANGE, "D") if base else (_BLUE, "o")
    ends = [row.seconds.low * scale, row.seconds.high * scale]
    axes.plot(ends, [position] * 2, color=color, lw=2)
    axes.plot(time, position, marker, color=color, ms=5)
    axes.annotate(
        f"{time:.3g}{' partly' if status == 'partly' else ''}",
        (time, position),
        xytext=(0, 5),
        textcoords="offset points",
        ha="center",
        fontsize=7,
        color=color,
    )


def _title(case: Case) -> str:
    reduction = "" if case.label_dtype is None else f", {case.reduction}"
    return f"{case.operation}{reduction}\n{case.workload}, {case.size:,} {case.dtype}"
