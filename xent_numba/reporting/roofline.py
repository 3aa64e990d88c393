"""The roofline as pictures: what bandwidth and arithmetic allow, and what is reached."""

from __future__ import annotations

from typing import Any

from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from xent_numba.measurement.roofline import Point, Roofline
from xent_numba.reporting import charts

GIGA = 1e9


def pictures(found: Roofline) -> dict[str, str]:
    """Return an SVG element for each dtype."""
    return {
        dtype: _draw(
            [point for point in found.points if point.dtype == dtype], peak, f"roofline-{dtype}"
        )
        for dtype, peak in found.peaks.items()
    }


def _draw(points: list[Point], peak: float, name: str) -> str:
    figure, axes = charts.canvas(560, 400, "operations a byte", "Gflop/s")
    axes.set_xscale("log")
    bandwidth = max(point.bytes / point.seconds_of_memory for point in points)
    intensities = [point.flops / point.bytes for point in points]
    left, right = min(intensities) / 2, max(2 * max(intensities), 2 * peak / bandwidth)
    ridge = peak / bandwidth
    roof: dict[str, Any] = {"color": charts.LIMIT, "lw": 1.4}
    axes.plot([left, ridge], [bandwidth * left / GIGA, peak / GIGA], **roof)
    axes.plot([ridge, right], [peak / GIGA] * 2, ls="--", **roof)
    say: dict[str, Any] = {"textcoords": "offset points", "fontsize": 9.5}
    at = {"color": charts.MUTED, **say}
    axes.annotate(
        f"memory, {bandwidth / GIGA:.3g} GB/s", (left, bandwidth * left / GIGA), (8, -4), **at
    )
    axes.annotate(f"fma, {peak / GIGA:.3g}", (right, peak / GIGA), (0, 5), ha="right", **at)
    lowest = peak
    for point, x in zip(points, intensities, strict=True):
        reached, mix = (point.flops / s / GIGA for s in (point.seconds, point.seconds_in_cache))
        lowest = min(lowest, reached)
        axes.plot([x / 1.12, x * 1.12], [mix] * 2, color=charts.OURS, lw=2.2)
        axes.plot([x, x], [reached, mix], color=charts.OURS, lw=0.7, alpha=0.6)
        axes.plot(x, reached, "o", color=charts.OURS, ms=6, mec="none")
        axes.annotate(point.operation, (x, reached), (5, -12), color=charts.OURS, **say)
    axes.set_xlim(left, right)
    axes.set_ylim(min(lowest, bandwidth * left / GIGA) / 2, 2 * peak / GIGA)
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        axis.set_minor_formatter(NullFormatter())
    return charts.finished(figure, name)
