"""What stands above everything else: a table, a picture, and four figures."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable, Iterator, Mapping, Sequence

from xent_numba.measurement.suite import SUBJECT
from xent_numba.reporting import charts, panels, tables
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

#: Whose speed stands at the top of the page, and how people call them.
_RIVALS = {
    ("logistic_loss", "torch_compiled"): "torch.compile",
    ("binary_cross_entropy_with_logits", "sklearn_loss"): "scikit-learn",
}


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
            run = sources.runs["operations"]
            machine, threads = run.provenance.machine, run.content.settings["threads"]
            title = (
                f"{tables.title(case)}; {threads} threads, {machine.cpu or machine.architecture}"
            )
            return charts.speed_against_accuracy(
                points, width=720, height=420, name="picture", alone=title
            )
    return None


def tiles(sources: Sources, shown: Sequence[Panel]) -> Iterator[tuple[str, str, str]]:
    """Yield figures for the top of the page: value, what it is, and on what."""
    panels = [panel for panel in shown if panel.dtype == "float32"]
    ratios = {(p.operation, ratio.label): ratio for p in panels for ratio in p.ratios}
    for (operation, label), name in _RIVALS.items():
        ratio = ratios.get((operation, label))
        if ratio and ratio.known:
            yield ratio.text, f"as fast as {name}", f"{operation} alone, float32: {ratio.span}"
    shares = {(p.operation, bar.label): bar.text for p in panels for bar in p.bars}
    if share := shares.get(("logistic_loss", SUBJECT)):
        yield share, "of the memory limit", "logistic_loss, float32"
    if (worst := sources.worst(SUBJECT, "float32")) is not None:
        what = "all losses and the sigmoid, float32"
        yield f"{worst:.2f} ULP", "largest error found", what


def _typical(name: str, columns: Iterable[Mapping[str, Ratio]]) -> float:
    found = [column[name].interval for column in columns if name in column]
    values = [interval.value for interval in found if interval]
    return statistics.median(values) if values else math.inf


def _cell(ratio: Ratio | None) -> str:
    if ratio is None:
        return ""
    return Marked(f"**{ratio.text}** ({ratio.span})") if ratio.known else ratio.text
