"""The cases of the headline: how many times as fast, how near to the limit, how accurate."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from xent_numba.measurement.case import Case
from xent_numba.measurement.comparison import Comparison, Row
from xent_numba.measurement.statistics import Interval
from xent_numba.measurement.suite import SUBJECT
from xent_numba.reporting import charts, tables
from xent_numba.reporting.sources import Sources, others


class Ratio(NamedTuple):
    """How many times as fast the subject is as another, as the page shows it.

    Attributes
    ----------
    label : str
        The other.
    color : str
        CSS variable.
    text : str
        How many times in words: a number, or that it is none.
    interval : Interval or None
        The time of the other divided by the subject's.
    left, low, high, one : float
        Places of value, ends and 1 in percent of the width of the row.
    """

    label: str
    color: str
    text: str
    interval: Interval | None = None
    left: float = 0.0
    low: float = 0.0
    high: float = 0.0
    one: float = 0.0

    @property
    def known(self) -> bool:
        """Whether the run can tell the two apart."""
        return self.text[0].isdigit()

    @property
    def span(self) -> str:
        """The ends of the interval."""
        return f"{self.interval.low:.3g} to {self.interval.high:.3g}" if self.interval else ""


class Bar(NamedTuple):
    """A share of the memory limit."""

    label: str
    percent: float
    text: str
    color: str


@dataclass(frozen=True, slots=True)
class Panel:
    """What is shown of one case."""

    operation: str
    dtype: str
    title: str
    work: str
    resolution: str
    ratios: Sequence[Ratio]
    bars: Sequence[Bar]
    scatter: str
    points: Sequence[tuple[str, str, str]]


def panels(sources: Sources) -> list[Panel]:
    """Return the panels of all operations and dtypes."""
    return [_panel(sources, case, rows) for case, rows in sources.cases("operations")]


def points(sources: Sources, rows: Sequence[Row]) -> list[charts.Point]:
    """Return error and time of each implementation that has both."""
    return [
        charts.Point(row.implementation, sources.error(row), row.ns_per_element)
        for row in others(rows)
        if row.ns_per_element is not None and not math.isnan(sources.error(row))
    ]


def _panel(sources: Sources, case: Case, rows: list[Row]) -> Panel:
    run = sources.runs["operations"].content
    scattered = points(sources, rows)
    name = f"accuracy-{case.operation}-{case.dtype}"
    draw = functools.partial(charts.speed_against_accuracy, width=430, height=330, name=name)
    return Panel(
        case.operation,
        case.dtype,
        f"{case.size:,} samples, {case.workload}",
        tables.work(case),
        tables.resolution_note(run.resolution(case)),
        ratios(run, case, rows),
        _bars(rows),
        draw(scattered) if scattered else "",
        [(p.label, f"{p.x:.3g}", f"{p.y:.3g}") for p in scattered],
    )


def ratios(run: Comparison, case: Case, rows: list[Row]) -> list[Ratio]:
    """Return how many times as fast the subject is as each other, the smallest number first."""
    resolution = run.resolution(case)
    compared = [row for row in others(rows) if row.implementation != SUBJECT]
    found = [(row, run.ratio(case, row.implementation, SUBJECT)) for row in compared]
    place = _scale([interval for _, interval in found if interval])
    shown = []
    for row, interval in found:
        name = row.implementation, charts.variable(row.implementation)
        if interval:
            text = tables.ratio(interval, resolution)
            number = f"{interval.value:.3g}\u00d7" if text[0].isdigit() else text
            shown.append(Ratio(*name, number, interval, *map(place, (*interval, 1.0))))
        elif row.preparation.status == "wrong":
            shown.append(Ratio(*name, tables.status(row)))
    return sorted(shown, key=lambda r: r.interval.value if r.interval else math.inf)


def _scale(known: Sequence[Interval]) -> Callable[[float], float]:
    """Return where a ratio is, in percent of the width: logarithms, with room for all and for 1."""
    end = math.log(max([2.0, *(interval.high for interval in known)]) * 1.15)
    start = math.log(min([0.8, *(interval.low for interval in known)]))
    return lambda value: 100 * (math.log(value) - start) / (end - start)


def _bars(rows: list[Row]) -> list[Bar]:
    found = []
    for row in others(rows):
        if row.limit_share:
            share = 100 * row.limit_share.value
            text = f"{share:.0f} %" if share >= 1 else f"{share:.2g} %"
            found.append(
                Bar(row.implementation, min(share, 100), text, charts.variable(row.implementation))
            )
    return sorted(found, key=lambda bar: -bar.percent)
