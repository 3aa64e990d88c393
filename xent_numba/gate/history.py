"""What asv has kept of past commits, as series; and where each of them changed."""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from xent_numba.gate import GateError, units
from xent_numba.gate.changes import SHORTEST, Change, changes
from xent_numba.results.store import Kind


@dataclass(frozen=True, slots=True)
class Series:
    """What a benchmark gave in one environment on one machine, commit after commit.

    Attributes
    ----------
    benchmark, unit, machine, environment : str
        Of what; with the parameters, as asv writes them.
    commits : list of str
        Hashes, in the order of their dates.
    values : list of float
        One for each.
    changes : list of Change
        Where it changed.
    better : str
        Whether lower or higher values are better.
    """

    benchmark: str
    unit: str
    machine: str
    environment: str
    commits: list[str]
    values: list[float]
    changes: list[Change] = field(default_factory=list)
    better: str = "lower"

    def is_worse(self, change: Change) -> bool:
        """Whether a change was one for the worse."""
        return (change.ratio.value > 1) == (self.better == "lower")

    @property
    def is_counted(self) -> bool:
        """Whether values are not by a clock: those the gate compares exactly, in another run."""
        function = self.benchmark.partition("(")[0].rpartition(".")[2]
        return function.startswith(("track_", "mem_")) and not units.by_clock(self.unit)

    def check(self, change: Change) -> str:
        """The command that asks the gate about a change, from before it may be to after."""
        bench = f"^{re.escape(self.benchmark)}$".replace("'", "'\"'\"'")
        before, after = self.commits[change.first - 1], self.commits[change.last]
        exact = " --exact" if self.is_counted else ""
        return f"xent-numba gate {before[:10]} {after[:10]}{exact} --bench '{bench}'"


@dataclass(frozen=True, slots=True)
class History:
    """All series that are long enough, and the number of those that are not."""

    series: list[Series]
    short: int


HISTORY = Kind("history", 1, History)
"""How a history is kept."""


def read(
    folder: Path,
    patterns: Sequence[str] = (),
    progress: Callable[[str, float], None] = lambda what, done: None,
) -> History:
    """Read asv's results and find where series changed.

    Parameters
    ----------
    folder : Path
        asv's ``results_dir``.
    patterns : sequence of str
        Regular expressions, one of which a benchmark's name must match; none for all.
    progress : callable
        Called with what goes on, and the fraction that is done.

    Returns
    -------
    History
        Series in the order of their names.

    Raises
    ------
    GateError
        If there are no results.
    """
    known = _units(folder)
    found = sorted(_points(folder), key=lambda point: point[:2])
    if not found:
        raise GateError(f"{str(folder)!r} holds no results; accepted is a results_dir of asv")
    lines: dict[tuple[str, str, str], dict[str, float]] = {}
    for _, commit, key, value in found:
        if not patterns or any(re.search(pattern, key[0]) for pattern in patterns):
            lines.setdefault(key, {})[commit] = value
    long = {key: line for key, line in lines.items() if len(line) >= 2 * SHORTEST}
    series = []
    for done, (key, line) in enumerate(sorted(long.items())):
        progress(key[0], done / len(long))
        unit = known.get(key[0].partition("(")[0], "")
        values = list(line.values())
        changed = changes(np.array(values))
        series.append(
            Series(key[0], unit, *key[1:], list(line), values, changed, units.better(unit))
        )
    return History(series, len(lines) - len(long))


def _points(folder: Path) -> Iterator[tuple[float, str, tuple[str, str, str], float]]:
    """Date, commit, series and value of all results; of the newest form of a benchmark only."""
    from asv.results import iter_results

    results = list(iter_results(str(folder)))
    newest: dict[str, tuple[float, Any]] = {}
    for one in results:
        for name, version in one.benchmark_version.items():
            newest[name] = max(newest.get(name, (-1.0, "")), (float(one.date), str(version)))
    for one in results:
        for name in one.get_all_result_keys():
            if str(one.benchmark_version.get(name)) != newest.get(name, (0.0, "None"))[1]:
                continue
            params = one.get_result_params(name)
            values = one.get_result_value(name, params)
            for combination, value in zip(itertools.product(*params), values, strict=False):
                if value is not None and 0 < value < math.inf:
                    text = f"{name}({', '.join(combination)})" if combination else name
                    machine = str(one.params.get("machine", ""))
                    yield one.date, one.commit_hash, (text, machine, one.env_name), float(value)


def _units(folder: Path) -> dict[str, str]:
    from asv.util import UserError, load_json

    try:
        described = load_json(str(folder / "benchmarks.json"))
    except (UserError, OSError, ValueError):
        return {}
    return {k: str(v.get("unit", "")) for k, v in described.items() if isinstance(v, dict)}
