"""Time against size: lines, small calls, and from where on one is the faster of two."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from xent_numba.measurement import crossover
from xent_numba.measurement.comparison import Comparison
from xent_numba.measurement.participant import AGAIN, MEMORY_LIMIT
from xent_numba.measurement.suite import SUBJECT
from xent_numba.reporting import charts
from xent_numba.reporting.sources import Sources, others

_NARROW, _WIDE = 370, 880


def lines(sources: Sources) -> dict[str, Any] | None:
    """Return the chart of all sizes, in two widths, and its table; None if it was not measured."""
    if not (cases := sources.cases("sizes")):
        return None
    times: dict[str, list[tuple[float, float, float, float]]] = {}
    for case, rows in cases:
        for row in rows:
            if row.seconds and not row.implementation.endswith(AGAIN):
                value, low, high = (1e9 * seconds / case.size for seconds in row.seconds)
                times.setdefault(row.implementation, []).append((case.size, value, low, high))
    limit = charts.Line(MEMORY_LIMIT, times.pop(MEMORY_LIMIT))
    drawn = [charts.Line(label, points) for label, points in times.items()]
    case = cases[0][0]
    sizes = [case.size for case, _ in cases]
    by_size = {
        line.label: {point[0]: point[1] for point in line.points} for line in [*drawn, limit]
    }
    return {
        "title": f"{case.operation}, {case.dtype}, {case.reduction}",
        "wide": charts.time_against_size(drawn, limit, width=_WIDE, height=500, name="sizes-wide"),
        "narrow": charts.time_against_size(
            drawn, limit, width=_NARROW, height=460, name="sizes-narrow"
        ),
        "header": [f"{size:,}" for size in sizes],
        "table": [
            (label, [(f"{values[size]:.3g}" if size in values else "") for size in sizes])
            for label, values in by_size.items()
        ],
        "crossovers": list(crossovers(sources.runs["sizes"].content)),
    }


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
    table: dict[str, dict[int, float]] = {}
    for case, rows in shown:
        for row in others(rows):
            if row.seconds:
                table.setdefault(row.implementation, {})[case.size] = row.seconds.value * 1e6
    return {
        "title": "logistic_loss, float32",
        "sizes": [f"{size:,}" for size in sizes],
        "table": [
            (name, [values.get(size) for size in sizes])
            for name, values in sorted(table.items(), key=lambda item: min(item[1].values()))
        ],
    }
