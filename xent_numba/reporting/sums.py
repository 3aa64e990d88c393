"""How the error of a sum grows, as a picture and as a table."""

from __future__ import annotations

import itertools

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from xent_numba.accuracy.summation import OPERATION, REDUCTIONS, SumError, SumErrors
from xent_numba.reporting.origins import made_by
from xent_numba.results import svg, table
from xent_numba.results.table import Table

_OURS = "numba_parallel"
# Okabe and Ito, "Color Universal Design", 2008; lines of one colour differ in mark and dashes.
_COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
_MARKS = "os^Dv<>pXh*P"
#: Drawn in the place of an error of zero.
_FLOOR = {"float32": 1e-11, "float64": 1e-19}


def draw(sums: SumErrors) -> str:
    """Draw relative errors over the number of samples, for every dtype and reduction, as SVG."""
    dtypes = sorted({row.dtype for row in sums.rows})
    # The last line is drawn above the others.
    found = {row.implementation for row in sums.rows}
    names = sorted(found, key=lambda name: (name == _OURS, name))
    figure = Figure(figsize=(9.5, 0.6 + 3.3 * len(dtypes)), layout="constrained")
    grid = figure.subplots(len(dtypes), len(REDUCTIONS), sharex=True, sharey="row", squeeze=False)
    for row, dtype in zip(grid, dtypes, strict=True):
        for axes, reduction in zip(row, REDUCTIONS, strict=True):
            rows = [r for r in sums.rows if (r.dtype, r.reduction) == (dtype, reduction)]
            _draw_panel(axes, rows, names, f"{reduction}, {dtype}", _FLOOR[dtype])
    for axes in grid[-1]:
        axes.set_xlabel("samples", fontsize=8)
    handles, labels = grid[0][0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=4, fontsize=7.5)
    return svg.render(figure)


def _draw_panel(
    axes: Axes, rows: list[SumError], names: list[str], title: str, floor: float
) -> None:
    axes.set_title(title, fontsize=9, loc="left")
    axes.set(xscale="log", yscale="log")
    axes.set_ylabel("relative error", fontsize=8)
    axes.tick_params(labelsize=8)
    axes.grid(color="0.9")
    styles = zip(itertools.product(("-", "--"), _COLOURS), itertools.cycle(_MARKS), strict=False)
    for name, ((dashes, colour), mark) in zip(names, itertools.cycle(styles), strict=False):
        points = sorted((r.size, max(r.error, floor)) for r in rows if r.implementation == name)
        ours = name == _OURS
        axes.plot(
            *zip(*points, strict=True),
            color="black" if ours else colour,
            ls="-" if ours else dashes,
            marker="o" if ours else mark,
            ms=5 if ours else 4,
            lw=2 if ours else 1,
            label=svg.plain(name),
        )
    half = 2.0**-24 if "float32" in title else 2.0**-53
    axes.axhline(half, color="0.4", lw=0.8, ls="--", label="half an ULP of 1")


def markdown(sums: SumErrors) -> str:
    """Return the errors as tables."""
    dtypes = sorted({row.dtype for row in sums.rows})
    parts = [
        part
        for dtype, reduction in itertools.product(dtypes, REDUCTIONS)
        for part in (f"## {reduction}, {dtype}", _table(sums, dtype, reduction))
    ]
    omitted = [f"- {table.escape(f'{what}: {why}.')}" for what, why in sums.omitted.items()]
    made = made_by(sums.runs, [(row.implementation, row.run) for row in sums.rows])
    return table.page("Sums", _LEGEND, *parts, omitted, "Made by", made)


def _table(sums: SumErrors, dtype: str, reduction: str) -> str:
    sizes = sorted({row.size for row in sums.rows})
    found: dict[str, dict[int, str]] = {}
    for row in sums.rows:
        if (row.dtype, row.reduction) == (dtype, reduction):
            found.setdefault(row.implementation, {})[row.size] = f"{row.error:.2g}"
    rows = [[name, *map(errors.get, sizes)] for name, errors in sorted(found.items())]
    return table.markdown(Table(["implementation", *(f"{size:,}" for size in sizes)], rows))


_LEGEND = (
    f"Relative error of the reduced `{OPERATION}`, scores of N(0, 4²) and random labels, against",
    "the exact sum of the true losses of the same inputs (`math.fsum` without its last rounding).",
    "Each implementation reduces as it is timed: with its own library's sum where it has one. Half",
    "an ULP of 1 is 6.0e-08 in float32 and 1.1e-16 in float64.",
)
