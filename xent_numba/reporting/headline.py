"""What stands above everything else: a table, a picture, and four figures."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable, Iterator, Mapping, Sequence

from xent_numba.measurement.suite import SUBJECT
from xent_numba.reporting import charts, panels
from xent_numba.reporting.panels import Panel, Ratio
from xent_numba.reporting.sources import Sources
from xent_numba.results import table
from xent_numba.results.table import Code, Marked, Table

_OPERATIONS = (
    "sigmoid",
    "binary_cross_entropy",
    "logistic_loss",
    "binary_cross_entropy_with_logits",
)


def markdown(sources: Sources) -> str:
    """Return one line for each implementation: how many times as long it takes, by operation."""
    columns = {
        case.operation: {
            ratio.label: ratio
            for ratio in panels.ratios(sources.runs["operations"].content, case, rows)
        }
        for case, rows in sources.cases("operations")
        if case.dtype == "float32" and case.operation in _OPERATIONS
    }
    names = dict.fromkeys(name for column in columns.values() for name in column)
    rows = [
        [Code(name), *(_cell(column.get(name)) for column in columns.values())]
        for name in sorted(names, key=lambda name: _typical(name, columns.values()))
    ]
    heads = [Marked(f"times as long as `{SUBJECT}`"), *map(Code, columns)]
    return table.markdown(Table(heads, rows))


def picture(sources: Sources) -> str | None:
    """Return speed against accuracy as a file of its own, SVG; None if it was not measured.

    It follows the reader's preference for light or dark.
    """
    for case, rows in sources.cases("operations"):
        if (case.operation, case.dtype) == ("logistic_loss", "float32"):
            points = panels.points(sources, rows)
            return charts.speed_against_accuracy(
                points, width=720, height=400, name="picture", alone=True
            )
    return None


def tiles(sources: Sources, shown: Sequence[Panel]) -> Iterator[tuple[str, str, str]]:
    """Yield figures for the top of the page: value, what it is, and on what."""
    found = {(panel.operation, panel.dtype): panel for panel in shown}
    for label, operation, name in (
        ("torch_compiled", "logistic_loss", "torch.compile"),
        ("sklearn_loss", "binary_cross_entropy_with_logits", "scikit-learn"),
    ):
        for ratio in found[operation, "float32"].ratios if (operation, "float32") in found else ():
            if ratio.label == label and ratio.interval and ratio.text[0].isdigit():
                interval = f"{ratio.interval.low:.3g} to {ratio.interval.high:.3g}"
                yield ratio.text, f"the speed of {name}", f"{operation}, float32: {interval}"
    for panel in shown:
        for bar in panel.bars:
            case = panel.operation, panel.dtype, bar.label
            if case == ("logistic_loss", "float32", SUBJECT):
                yield bar.text, "of the memory limit", "logistic_loss, float32"
    errors = [
        error
        for (name, _, dtype), error in sources.accuracy.items()
        if name == SUBJECT and dtype == "float32"
    ]
    if errors:
        what = "all losses and the sigmoid, float32"
        yield f"{max(errors):.2f} ULP", "largest error found", what


def _typical(name: str, columns: Iterable[Mapping[str, Ratio]]) -> float:
    found = [column[name].interval for column in columns if name in column]
    values = [interval.value for interval in found if interval]
    return statistics.median(values) if values else math.inf


def _cell(ratio: Ratio | None) -> str:
    if ratio is None:
        return ""
    if ratio.interval is None or not ratio.text[0].isdigit():
        return ratio.text
    return Marked(f"**{ratio.text}** ({ratio.interval.low:.3g} to {ratio.interval.high:.3g})")
