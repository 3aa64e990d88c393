"""What the report says, taken from the files that measured it; ``page.html`` says how it looks."""

from __future__ import annotations

import base64
import datetime
import io
import math
import statistics
import zipfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from xent_numba import registry
from xent_numba.accuracy.study import STUDY, Study
from xent_numba.measurement import crossover
from xent_numba.measurement.case import Case
from xent_numba.measurement.comparison import Comparison, Row
from xent_numba.measurement.participant import AGAIN, MEMORY_LIMIT
from xent_numba.measurement.statistics import Interval
from xent_numba.measurement.suite import PARTS, SUBJECT
from xent_numba.reporting import charts, stability, tables
from xent_numba.results import store

DTYPES = ("float32", "float64")
_NARROW, _WIDE = 370, 880
_EPOCH = (1980, 1, 1, 0, 0, 0)


class Ratio(NamedTuple):
    """How many times as fast the subject is as another, as the page shows it.

    Attributes
    ----------
    label : str
        The other.
    interval : Interval or None
        The time of the other divided by the subject's.
    text : str
        The same in words: a number, or that it is none.
    left, low, high, one : float
        Places of value, ends and 1 in percent of the width of the row.
    color : str
        CSS variable.
    """

    label: str
    interval: Interval | None
    text: str
    left: float
    low: float
    high: float
    one: float
    color: str


class Bar(NamedTuple):
    """A share of the memory limit."""

    label: str
    percent: float
    text: str
    color: str


class Cell(NamedTuple):
    """One place of the heat map: what it says, and how many times the fastest takes less."""

    text: str
    heat: float
    sort: float
    title: str


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


@dataclass(frozen=True, slots=True)
class Sources:
    """The files a report is made of.

    Attributes
    ----------
    folder : Path
        Where they lie, and where the report is going to lie.
    runs : dict of str to Comparison
        By the name of their part of the suite.
    accuracy : mapping
        Largest error in ULP by implementation, operation and dtype.
    stability_maps : mapping of str to str
        SVG elements by dtype.
    """

    folder: Path
    runs: Mapping[str, Comparison]
    accuracy: Mapping[tuple[str, str, str], float]
    stability_maps: Mapping[str, str]

    @classmethod
    def read(cls, folder: Path) -> Sources:
        """Read what a folder of reports holds.

        Parameters
        ----------
        folder : Path
            With ``compare/PART.json`` of the suite, and ``accuracy/accuracy.json``.

        Returns
        -------
        Sources
            Without what is not there.

        Raises
        ------
        ValueError
            If a file is there and is not what it should be, or if there is no comparison at all.
        """
        runs = {}
        for name in PARTS:
            path = folder / "compare" / f"{name}.json"
            if path.is_file():
                try:
                    runs[name] = Comparison.from_json(path.read_text())
                except ValueError as error:
                    raise ValueError(f"{path} is {error}") from None
        if not runs:
            raise ValueError(f"{folder / 'compare'} holds no comparison of the suite")
        studies = [
            store.read(path, STUDY).content
            for path in sorted((folder / "accuracy").rglob("accuracy.json"))
        ]
        maps = {dtype: _stability_map(studies, dtype) for dtype in DTYPES}
        return cls(folder, runs, _errors(studies), {k: drawn for k, drawn in maps.items() if drawn})

    def files(self) -> list[Path]:
        """What the report was made of, for whoever wants the numbers."""
        found = sorted((self.folder / "compare").glob("*.json"))
        found += sorted((self.folder / "compare").glob("*.csv"))
        return [*found, *sorted((self.folder / "accuracy").rglob("accuracy.json"))]


def page(sources: Sources) -> str:
    """Render the page.

    Parameters
    ----------
    sources : Sources
        What was measured.

    Returns
    -------
    str
        HTML that needs no other file and no network.
    """
    from jinja2 import Environment, PackageLoader, StrictUndefined
    from markupsafe import Markup

    environment: Any = Environment(
        loader=PackageLoader("xent_numba", "reporting"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    content = _content(sources)
    content["svg"] = Markup
    content["light"], content["dark"] = map(charts.css_variables, ("light", "dark"))
    text: str = environment.get_template("page.html").render(content)
    return text


def headline_markdown(sources: Sources) -> str:
    """Return the table of the page's top as Markdown.

    Parameters
    ----------
    sources : Sources
        What was measured.

    Returns
    -------
    str
        One line for each implementation: how many times as long it takes, and its largest error.
    """
    panels = [p for p in _panels(sources) if p.dtype == "float32" and p.operation in _HEADLINE]
    names = dict.fromkeys(ratio.label for panel in panels for ratio in panel.ratios)
    lines = [
        "| "
        + " | ".join(["times as long as `numba_parallel`", *(f"`{p.operation}`" for p in panels)]),
        "| --- |" + " ---: |" * len(panels),
    ]
    for name in sorted(names, key=lambda name: _typical(name, panels)):
        cells = [_plain(next((r for r in p.ratios if r.label == name), None)) for p in panels]
        lines.append(f"| `{name}` | " + " | ".join(cells) + " |")
    lines[0] += " |"
    return "\n".join(lines)


_HEADLINE = ("sigmoid", "binary_cross_entropy", "logistic_loss", "binary_cross_entropy_with_logits")


def picture(sources: Sources) -> str:
    """Return the drawing of speed against accuracy as a file of its own.

    Parameters
    ----------
    sources : Sources
        What was measured.

    Returns
    -------
    str
        SVG that follows the reader's preference for light or dark.
    """
    case, rows = _throughput(sources, "logistic_loss", "float32")
    points = _points(sources, case, rows)
    return charts.speed_against_accuracy(points, width=720, height=400, name="picture", alone=True)


def _content(sources: Sources) -> dict[str, Any]:
    first = next(iter(sources.runs.values()))
    panels = _panels(sources)
    return {
        "subject": SUBJECT,
        "tiles": _tiles(sources, panels),
        "panels": panels,
        "dtypes": DTYPES,
        "sizes": _sizes(sources),
        "small": _small(sources),
        "heat": _heat(sources),
        "stability_maps": sources.stability_maps,
        "rows": [record for run in sources.runs.items() for record in _rows(*run)],
        "notes": list(dict.fromkeys(n for run in sources.runs.values() for n in tables.notes(run))),
        "machine": _machine(first),
        "versions": first.machine["versions"],
        "quality": [_quality(name, run) for name, run in sources.runs.items()],
        "calls": _calls(),
        "archive": _archive(sources),
        "files": [str(path.relative_to(sources.folder)) for path in sources.files()],
        "missing": [name for name in PARTS if name not in sources.runs],
        "date": datetime.datetime.fromisoformat(first.started).strftime("%-d %B %Y"),
        "commits": sorted({_commit(run) for run in sources.runs.values()}),
    }


def _throughput(sources: Sources, operation: str, dtype: str) -> tuple[Case, list[Row]]:
    run = sources.runs["operations"]
    return next(
        (case, rows)
        for case, rows in run.cases()
        if case.operation == operation and case.dtype == dtype
    )


def _panels(sources: Sources) -> list[Panel]:
    if "operations" not in sources.runs:
        return []
    run = sources.runs["operations"]
    return [_panel(sources, run, case, rows) for case, rows in run.cases()]


def _panel(sources: Sources, run: Comparison, case: Case, rows: list[Row]) -> Panel:
    points = _points(sources, case, rows)
    return Panel(
        case.operation,
        case.dtype,
        f"{case.size:,} samples, {case.workload}",
        tables.work(case),
        tables.resolution_note(run.resolution(case)),
        _ratios(run, case, rows),
        _bars(rows),
        charts.speed_against_accuracy(
            points, width=430, height=330, name=f"accuracy-{case.operation}-{case.dtype}"
        )
        if points
        else "",
        [(p.label, f"{p.x:.3g}", f"{p.y:.3g}") for p in points],
    )


def _others(rows: Iterable[Row]) -> Iterator[Row]:
    for row in rows:
        if row.implementation != MEMORY_LIMIT and not row.implementation.endswith(AGAIN):
            yield row


def _ratios(run: Comparison, case: Case, rows: list[Row]) -> list[Ratio]:
    resolution = run.resolution(case)
    found = {
        row.implementation: (run.ratio(case, row.implementation, SUBJECT), row)
        for row in _others(rows)
        if row.implementation != SUBJECT
    }
    known = [interval for interval, _ in found.values() if interval]
    end = math.log(max([2.0, *(interval.high for interval in known)]) * 1.15)
    start = math.log(min([0.8, *(interval.low for interval in known)]))

    def place(value: float) -> float:
        return 100 * (math.log(value) - start) / (end - start)

    ratios = []
    for label, (interval, row) in found.items():
        if interval is None:
            if row.preparation.status == "wrong":
                ratios.append(Ratio(label, None, "WRONG", 0, 0, 0, 0, charts.variable(label)))
            continue
        text = tables.ratio(interval, resolution)
        number = f"{interval.value:.3g}\u00d7" if text[0].isdigit() else text
        value, low, high = map(place, interval)
        color = charts.variable(label)
        ratios.append(Ratio(label, interval, number, value, low, high, place(1.0), color))
    return sorted(ratios, key=lambda r: r.interval.value if r.interval else math.inf)


def _bars(rows: list[Row]) -> list[Bar]:
    found = []
    for row in _others(rows):
        if row.limit_share:
            share = 100 * row.limit_share.value
            text = f"{share:.0f} %" if share >= 1 else f"{share:.2g} %"
            found.append(
                Bar(row.implementation, min(share, 100), text, charts.variable(row.implementation))
            )
    return sorted(found, key=lambda bar: -bar.percent)


def _points(sources: Sources, case: Case, rows: list[Row]) -> list[charts.Point]:
    return [
        charts.Point(row.implementation, _error(sources, row, case), row.ns_per_element)
        for row in _others(rows)
        if row.ns_per_element is not None and not math.isnan(_error(sources, row, case))
    ]


def _error(sources: Sources, row: Row, case: Case) -> float:
    """Largest error known: of the accuracy report, or at least of what was timed."""
    measured = row.preparation.max_ulp if row.preparation.max_ulp is not None else math.nan
    return sources.accuracy.get((row.implementation, case.operation, case.dtype), measured)


def _tiles(sources: Sources, panels: list[Panel]) -> list[tuple[str, str, str]]:
    """The figures at the top: value, what it is, and on what."""
    tiles = []
    for label, operation, name in (
        ("torch_compiled", "logistic_loss", "torch.compile"),
        ("sklearn_loss", "binary_cross_entropy_with_logits", "scikit-learn"),
    ):
        for panel in panels:
            if (panel.operation, panel.dtype) == (operation, "float32"):
                for ratio in panel.ratios:
                    if ratio.label == label and ratio.interval and ratio.text[0].isdigit():
                        interval = f"{ratio.interval.low:.3g} to {ratio.interval.high:.3g}"
                        tiles.append(
                            (
                                ratio.text,
                                f"the speed of {name}",
                                f"{operation}, float32: {interval}",
                            )
                        )
    for panel in panels:
        if (panel.operation, panel.dtype) == ("logistic_loss", "float32"):
            for bar in panel.bars:
                if bar.label == SUBJECT:
                    tiles.append((bar.text, "of the memory limit", "logistic_loss, float32"))
    worst = [
        error
        for (name, _, dtype), error in sources.accuracy.items()
        if name == SUBJECT and dtype == "float32"
    ]
    if worst:
        tiles.append(
            (f"{max(worst):.2f} ULP", "largest error found", "all losses and the sigmoid, float32")
        )
    return tiles


def _sizes(sources: Sources) -> dict[str, Any] | None:
    run = sources.runs.get("sizes")
    if run is None:
        return None
    times: dict[str, list[tuple[float, float, float, float]]] = {}
    for case, rows in run.cases():
        for row in rows:
            if row.seconds and not row.implementation.endswith(AGAIN):
                value, low, high = (1e9 * seconds / case.size for seconds in row.seconds)
                times.setdefault(row.implementation, []).append((case.size, value, low, high))
    limit = charts.Line(MEMORY_LIMIT, times.pop(MEMORY_LIMIT))
    lines = [charts.Line(label, points) for label, points in times.items()]
    case = next(run.cases())[0]
    sizes = [case.size for case, _ in run.cases()]
    by_size = {
        line.label: {point[0]: point[1] for point in line.points} for line in [*lines, limit]
    }
    return {
        "title": f"{case.operation}, {case.dtype}, {case.reduction}",
        "wide": charts.time_against_size(lines, limit, width=_WIDE, height=500, name="sizes-wide"),
        "narrow": charts.time_against_size(
            lines, limit, width=_NARROW, height=460, name="sizes-narrow"
        ),
        "header": [_size_text(size) for size in sizes],
        "table": [
            (label, [(f"{values[size]:.3g}" if size in values else "") for size in sizes])
            for label, values in by_size.items()
        ],
        "crossovers": list(_crossovers(run)),
    }


def _crossovers(run: Comparison) -> Iterator[tuple[str, str, str]]:
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
            text = f"not faster for certain at {_size_text(max(quotients))}"
        elif found.below is None:
            text = "faster at every size"
        else:
            text = f"between {_size_text(found.below)} and {_size_text(found.above)} samples"
            if found.estimate:
                text += f", at about {found.estimate:,.0f}"
        yield what, f"{own} against {other}", text


def _small(sources: Sources) -> dict[str, Any] | None:
    run = sources.runs.get("small")
    if run is None:
        return None
    shown = [
        (case, rows)
        for case, rows in run.cases()
        if (case.operation, case.dtype) == ("logistic_loss", "float32")
    ]
    sizes = [case.size for case, _ in shown]
    table: dict[str, dict[int, float]] = {}
    for case, rows in shown:
        for row in _others(rows):
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


def _heat(sources: Sources) -> dict[str, Any] | None:
    run = sources.runs.get("operations")
    if run is None:
        return None
    columns = []
    table: dict[str, list[Cell]] = {}
    for case, rows in run.cases():
        columns.append((case.operation, case.dtype))
        times = [row.ns_per_element for row in _others(rows) if row.ns_per_element is not None]
        best = min(times)
        for row in _others(rows):
            table.setdefault(row.implementation, []).append(_cell(row, best))
    order = sorted(table, key=lambda name: statistics.median(cell.sort for cell in table[name]))
    return {
        "columns": columns,
        "table": [(name, table[name]) for name in order if _ran(table[name])],
    }


def _ran(cells: Sequence[Cell]) -> bool:
    return any(cell.text not in ("n/a", "unavailable") for cell in cells)


def _cell(row: Row, best: float) -> Cell:
    status = row.preparation.status
    if row.ns_per_element is None:
        text = {"wrong": "WRONG"}.get(status, status)
        return Cell(text, 0.0, math.inf, row.preparation.reason)
    times = row.ns_per_element / best
    # From all of the colour for the fastest to none for what takes a hundred times as long.
    heat = max(0.0, 1 - math.log(times) / math.log(100))
    mark = "*" if status == "partly" else ""
    return Cell(f"{row.ns_per_element:.3g}{mark}", heat, times, f"{times:.3g} times the fastest")


def _rows(name: str, run: Comparison) -> Iterator[dict[str, Any]]:
    for case, rows in run.cases():
        resolution = run.resolution(case)
        for row in rows:
            texts = tables.cells(row, run.baseline, resolution)
            share = row.limit_share
            yield {
                "part": name,
                "operation": case.operation,
                "dtype": case.dtype,
                "labels": case.label_dtype or "",
                "reduction": case.reduction if case.label_dtype else "",
                "size": case.size,
                "implementation": row.implementation,
                "status": texts[1],
                "ulp": row.preparation.max_ulp,
                "ns": row.ns_per_element,
                "time": texts[3],
                "share": share.value if share else None,
                "first": row.preparation.first_call_seconds,
            }


def _machine(run: Comparison) -> list[tuple[str, str]]:
    described, numba = run.machine, run.machine["numba"]
    caches = ", ".join(f"{level} {size}" for level, size in described["caches"].items())
    return [
        ("Processor", described["cpu"] or described["architecture"]),
        ("CPUs used", f"{described['usable_cpus']}, numbers {described['affinity']}"),
        ("Threads", str(run.settings["threads"])),
        ("SIMD", f"{numba['simd_bits']} bit" if numba["simd_bits"] else "none"),
        ("Threading layer", str(numba["threading_layer"])),
        ("Caches", caches or "unknown"),
        ("Memory", f"{described['memory_bytes'] / 2**30:.1f} GiB"),
        ("Huge pages", described["huge_pages"] or "unknown"),
        ("Governor", described["governor"] or "not readable here"),
        ("Turbo", {True: "on", False: "off", None: "not readable here"}[described["turbo"]]),
        ("GPU", described["gpu"] or "none"),
        ("System", described["system"]),
        ("Python", described["python"]),
    ]


def _quality(name: str, run: Comparison) -> dict[str, Any]:
    overall = run.overall_resolution()
    cases = [interval for case, _ in run.cases() if (interval := run.resolution(case))]
    turns = sum(len(row.rounds) for row in run.rows)
    return {
        "part": name,
        "summary": PARTS[name].summary,
        "started": run.started,
        "command": run.command,
        "commit": _commit(run),
        "ratio": f"{overall.value:.3f} ({overall.low:.3f} to {overall.high:.3f})"
        if overall
        else "",
        "holds": "" if overall is None else "yes" if overall.contains(1.0) else "NO",
        "held": f"{sum(i.contains(1.0) for i in cases)} of {len(cases)}",
        "resolution": f"±{overall.distance_from_one:.1%}" if overall else "",
        "turns": turns,
        "disturbed": sum(sum(row.disturbed_by.values()) for row in run.rows),
        "load": f"{run.activity['load']:.2f}, {run.activity['load_after']:.2f}",
        "steal": f"{run.activity['steal_seconds']:.1f} s",
        "others": f"{run.activity['others_percent']:.0f} %",
    }


def _calls() -> list[tuple[str, str, list[tuple[str, str]]]]:
    """What every implementation calls, as its file says."""
    return [
        (
            name,
            implementation.summary,
            [
                (operation, declaration.summary)
                for operation, declaration in implementation.operations.items()
            ],
        )
        for name, implementation in registry.implementations().items()
    ]


def _archive(sources: Sources) -> str:
    """All files as one, so that the page alone is enough; the same bytes for the same files."""
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
        for path in sources.files():
            entry = zipfile.ZipInfo(str(path.relative_to(sources.folder)), _EPOCH)
            archive.writestr(entry, path.read_bytes(), zipfile.ZIP_DEFLATED)
    return "data:application/zip;base64," + base64.b64encode(stream.getvalue()).decode()


def _commit(run: Comparison) -> str:
    commit: str | None = run.commit.get("commit")
    if not commit:
        return "no commit"
    return commit[:10] + (" (modified)" if run.commit["modified"] else "")


def _size_text(size: int) -> str:
    return f"{size:,}"


def _typical(name: str, panels: Sequence[Panel]) -> float:
    values = [
        ratio.interval.value
        for panel in panels
        for ratio in panel.ratios
        if ratio.label == name and ratio.interval
    ]
    return statistics.median(values) if values else math.inf


def _plain(ratio: Ratio | None) -> str:
    if ratio is None:
        return ""
    if ratio.interval is None or not ratio.text[0].isdigit():
        return ratio.text
    return f"**{ratio.text}** ({ratio.interval.low:.3g} to {ratio.interval.high:.3g})"


def _errors(studies: Iterable[Study]) -> dict[tuple[str, str, str], float]:
    """Largest error of each implementation, operation and dtype."""
    found: dict[tuple[str, str, str], float] = {}
    for row in (row for study in studies for row in study.rows):
        quantity = row.quantity
        if quantity.result == "gradient":
            continue
        key = (quantity.implementation, quantity.operation, quantity.dtype)
        # Infinite or NaN where it should not be, or the other way round: infinitely wrong.
        error = math.inf if row.nonfinite.count else row.max_ulp
        found[key] = max(found.get(key, 0.0), error)
    return found


def _stability_map(studies: Iterable[Study], dtype: str) -> str:
    """The first study's map, as part of a page."""
    for study in studies:
        drawn = stability.draw(study, dtype, gradients=False)
        if drawn:
            return charts.inline(drawn, f"stability-{dtype}")
    return ""
