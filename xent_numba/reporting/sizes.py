"""Time against size: lines, small calls, and from where on one is the faster of two."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from xent_numba.measurement import crossover
from xent_numba.measurement.case import Case
from xent_numba.measurement.comparison import Comparison, Row
from xent_numba.measurement.participant import AGAIN, LIMITS
from xent_numba.measurement.statistics import Interval
from xent_numba.measurement.suite import SUBJECT
from xent_numba.reporting import charts
from xent_numba.reporting.sources import Sources

_NARROW, _WIDE = 370, 880


def lines(sources: Sources) -> dict[str, Any] | None:
    """Return the chart of all sizes, in two widths, and its table; None if it was not measured."""
    if not (cases := sources.cases("sizes")):
        return None
    times = {
        label: {
            size: Interval(*(1e9 * one / size for one in seconds))
            for size, seconds in found.items()
        }
        for label, found in _seconds(cases).items()
    }
    drawn = [
        charts.Line(label, [(size, *interval) for size, interval in found.items()])
        for label, found in times.items()
    ]
    case = cases[0][0]
    sizes = [case.size for case, _ in cases]
    return {
        "title": f"{case.operation}, {case.dtype}, {case.reduction}",
        "wide": charts.time_against_size(drawn, width=_WIDE, height=500, name="sizes-wide"),
        "narrow": charts.time_against_size(drawn, width=_NARROW, height=460, name="sizes-narrow"),
        "header": [f"{size:,}" for size in sizes],
        "table": [
            (label, [f"{found[size].value:.3g}" if size in found else "" for size in sizes])
            for label, found in times.items()
        ],
        "crossovers": list(crossovers(sources.runs["sizes"].content)),
    }


def _seconds(cases: Sequence[tuple[Case, list[Row]]]) -> dict[str, dict[int, Interval]]:
    """Seconds of a call by implementation and size, the memory limits last."""
    found: dict[str, dict[int, Interval]] = {}
    for case, rows in cases:
        for row in rows:
            if row.seconds and not row.implementation.endswith(AGAIN):
                found.setdefault(row.implementation, {})[case.size] = row.seconds
    return {name: found[name] for name in sorted(found, key=LIMITS.__contains__)}


def crossovers(run: Comparison) -> Iterator[tuple[str, str, str]]:
    """Yield what is compared, the two, and from which size on the first is the faster one."""
    for other, own, what in (
        (f"{SUBJECT}@1", SUBJECT, "all threads against one"),
        ("numpy_stable", SUBJECT, "Numba against NumPy"),
        ("torch_compiled", SUBJECT, "against torch.compile"),
        ("torch_eager", SUBJECT, "against eager torch"),
        (SUBJECT, "numba_cuda", "GPU against CPU"),
    ):
        quotients = {
            case.size: ratio
            for case, _ in run.cases()
            if (ratio := run.ratio(case, other, own)) is not None
        }
        if not quotients:
            yield what, f"{own} against {other}", "not measured here"
            continue
        found = crossover.find(quotients)
        if found.above is None:
            text = f"not faster for certain at {max(quotients):,}"
        elif found.below is None:
            text = "faster at every size"
        else:
            text = f"between {found.below:,} and {found.above:,} samples"
            if found.estimate:
                text += f", at about {found.estimate:,.0f}"
        yield what, f"{own} against {other}", text


def small_calls(sources: Sources) -> dict[str, Any] | None:
    """Return microseconds of a call of few samples; None if they were not measured."""
    shown = [
        (case, rows)
        for case, rows in sources.cases("small")
        if (case.operation, case.dtype) == ("logistic_loss", "float32")
    ]
    if not shown:
        return None
    sizes = [case.size for case, _ in shown]
    table = {
        name: [found[size].value * 1e6 if size in found else None for size in sizes]
        for name, found in _seconds(shown).items()
        if name not in LIMITS
    }
    return {
        "title": "logistic_loss, float32",
        "sizes": [f"{size:,}" for size in sizes],
        "table": sorted(table.items(), key=lambda item: min(filter(None, item[1]))),
    }
