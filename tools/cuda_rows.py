"""The rows that are timed on a GPU, what each has to reach, and what is made of their times."""

from __future__ import annotations

import json
import math
import statistics
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

from xent_numba.operations import OPERATIONS
from xent_numba.results.table import Table, markdown

Call = Callable[[], Any]
PERIOD = 1 << 24
"""Samples after which inputs repeat: drawing more takes longer than the measurement."""
CHECKED = (1 << 20) + 3
"""Samples on which a kernel is held to `numba_parallel`."""
INDEPENDENT = 0.05
"""An independent tool may differ by so much."""
FAST = 1.05
"""A kernel of faster, less exact arithmetic deserves a row if it could be so many times as fast."""


@dataclass(frozen=True)
class Case:
    """A kernel that is timed.

    Attributes
    ----------
    operation, dtype : str
        What, in which precision.
    labels : str or None
        dtype of the labels, or None.
    """

    operation: str
    dtype: str
    labels: str | None = None

    @property
    def name(self) -> str:
        """Name of its row."""
        return " ".join(filter(None, (self.operation, self.dtype, self.labels)))

    @property
    def reduction(self) -> str:
        """The sum, where there is one."""
        return "sum" if self.labels else "none"

    def bytes(self, size: int) -> int:
        """Bytes that cannot but be moved."""
        labels = np.dtype(self.labels) if self.labels else None
        reduction: Any = self.reduction
        operation = OPERATIONS[self.operation]
        return size * operation.bytes_per_element(np.dtype(self.dtype), labels, reduction)

    def inputs(self, size: int, shift: int = 0, most: int = PERIOD) -> tuple[np.ndarray, ...]:
        """Gaussian scores, random labels; never zeros, on which a GPU may run faster.

        They repeat after `most` samples, more than any cache holds, and start at another one for
        each shift.
        """
        rng = np.random.default_rng(0)
        period = min(size, most)
        arrays = [rng.standard_normal(period, np.dtype(self.dtype))]
        labels = OPERATIONS[self.operation].labels
        if labels is not None and self.labels is not None:
            negative, positive = labels.hard
            drawn = np.where(rng.random(period, np.float32) < 0.5, negative, positive)
            arrays.append(drawn.astype(self.labels))
        return tuple(np.resize(np.roll(array, shift), size) for array in arrays)


CASES = (
    Case("sigmoid", "float32"),
    Case("logistic_loss", "float32", "float32"),
    Case("logistic_loss", "float64", "float64"),
    Case("logistic_loss", "float32", "int8"),
    Case("logistic_loss_and_grad", "float32", "int8"),
    Case("binary_cross_entropy_with_logits", "float32", "float32"),
)
COPY, SUM = "device copy", "cupy sum"
EMPTY, SMALL = "empty kernel", "sigmoid float32, one sample"
GRAPH = f"{SMALL}, as a CUDA graph"
BARE = "{}, without arithmetic"


@dataclass(frozen=True)
class Target:
    """What a row has to reach, against another of the same run, on one clock.

    Attributes
    ----------
    row, against : str
        Names of rows.
    least : float
        Of the ratio of bytes a second, or of speed for rows of the same work.
    clock : str
        Which of the clocks.
    """

    row: str
    against: str
    least: float
    clock: str = "kernel"

    @property
    def name(self) -> str:
        """What it is called in a report."""
        return f"{self.row} / {self.against} ({self.clock})"


TARGETS = (
    Target(CASES[0].name, COPY, 0.95),
    Target(CASES[1].name, SUM, 0.95),
    Target(CASES[2].name, SUM, 0.95),
    Target(CASES[3].name, SUM, 0.95),
    Target(CASES[4].name, COPY, 1.0),
    Target(SMALL, EMPTY, 1 / 1.5, "launch to sync"),
)


@dataclass
class Row:
    """Times of one row, in milliseconds by clock.

    Attributes
    ----------
    name : str
        What was timed.
    bytes : int
        What it moves; 0 where that is no measure.
    times : dict
        All times, by clock.
    wrong : str or None
        Why there are none.
    """

    name: str
    bytes: int
    times: dict[str, list[float]] = field(default_factory=dict)
    wrong: str | None = None

    def median(self, clock: str = "kernel") -> float:
        """Median on a clock; NaN where there is none."""
        return statistics.median(self.times.get(clock) or [math.nan])

    def gigabytes(self) -> float:
        """Bytes that the kernel moves in a nanosecond."""
        return self.bytes / self.median() / 1e6


def judged(rows: list[Row]) -> list[dict[str, Any]]:
    """Each target with what was reached: PASS, MISS, or "not measured"."""
    named = {row.name: row for row in rows}
    verdicts = []
    for target in TARGETS:
        row, other = named.get(target.row), named.get(target.against)
        reached = math.nan
        if row and other:
            reached = other.median(target.clock) / row.median(target.clock)
            if target.against in (COPY, SUM):
                reached = row.gigabytes() / other.gigabytes()
        verdict = "not measured" if math.isnan(reached) else "PASS"
        if reached < target.least:
            verdict = "MISS"
        verdicts.append({**asdict(target), "reached": reached, "verdict": verdict})
    return verdicts


def ceilings(rows: list[Row]) -> list[dict[str, Any]]:
    """How many times as fast each kernel would be with no arithmetic at all."""
    named = {row.name: row for row in rows}
    pairs = ((case.name, BARE.format(case.name)) for case in CASES)
    return [
        {"row": name, "at most": most, "deserves": most >= FAST}
        for name, bare in pairs
        if bare in named and named[bare].times
        for most in [named[name].median() / named[bare].median()]
    ]


def text(report: dict[str, Any]) -> str:
    """Return the tables of a report in Markdown."""
    lines = ["# Measured on a GPU", "", "Raw times: `tuning.json`. Made by", ""]
    lines += [f"    {report['command']}", ""]
    if report.get("commit"):
        lines += [f"at commit {report['commit']}.", ""]
    machine = [(part, json.dumps(report.get(part))) for part in ("machine", "before", "after")]
    lines.append(markdown(Table(["", ""], machine, right=range(0))))
    tables = (
        ("targets", "Targets", _of_targets),
        ("rows", "Rows", _of_rows),
        ("experiment", "Layouts", _of_rows),
        ("ceilings", "Would less exact arithmetic deserve a row?", _of_ceilings),
    )
    for key, title, table in tables:
        if report.get(key):
            lines += ["", f"## {title}", "", markdown(table(report[key]))]
    for name, tools in report.get("independent", {}).items():
        ours = next(Row(**found).median() for found in report["rows"] if found["name"] == name)
        lines += ["", f"## {name} by other tools", ""]
        lines += [f"- {tool}: {_apart(value, ours)}" for tool, value in tools.items()]
    return "\n".join(lines) + "\n"


def _of_targets(targets: list[dict[str, Any]]) -> Table:
    cells = [
        (t["row"], t["against"], f"{t['least']:.2f}", f"{t['reached']:.3f}", t["verdict"])
        for t in targets
    ]
    return Table(["row", "against", "least", "reached", ""], cells, right=range(2, 4))


def _of_rows(rows: list[dict[str, Any]]) -> Table:
    cells = []
    for row in (Row(**found) for found in rows):
        times = (f"{row.median(clock):.4f}" for clock in ("kernel", "launch to sync"))
        figures = (*times, f"{row.gigabytes():.0f}")
        cells.append((row.name, *((f"WRONG: {row.wrong}", "", "") if row.wrong else figures)))
    return Table(["", "kernel ms", "launch to sync ms", "GB/s"], cells)


def _of_ceilings(ceilings: list[dict[str, Any]]) -> Table:
    answers = {True: f"yes, at least {FAST:.2f}", False: f"no, less than {FAST:.2f}"}
    cells = [(c["row"], f"{c['at most']:.3f}", answers[c["deserves"]]) for c in ceilings]
    return Table(["row", "at most so many times as fast", ""], cells, right=range(1, 2))


def _apart(value: float | str, ours: float) -> str:
    """Say how far the time of another tool is from ours; or why it has none."""
    if isinstance(value, str):
        return value
    apart = value / ours - 1
    agrees = "within" if abs(apart) <= INDEPENDENT else "NOT within"
    return f"{value:.4f} ms, {apart:+.1%}, {agrees} {INDEPENDENT:.0%}"
