"""Implementations held to the truth over the whole range: what ``xent-numba accuracy`` runs."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from concurrent.futures import Executor
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy import ndarray

from xent_numba import registry
from xent_numba.accuracy.findings import Findings
from xent_numba.accuracy.search import Seams, climb, worst_of
from xent_numba.accuracy.sweep import Exhaustive, Plan, Strata, Target, sweep, targets

#: Steps to either side of a seam, and what the climb carries along and how often it steps.
REACH, CLIMBERS, ROUNDS = 1000, 256, 100

Report = Callable[[str, int, int], None]


@dataclass(frozen=True, slots=True)
class Row:
    """What was found out about one target.

    Attributes
    ----------
    target : Target
        Implementation, operation, dtype, label and result.
    search : str
        On which inputs, in words.
    complete : bool
        Whether these are all inputs there are; if not, a maximum is a lower bound.
    findings : Findings
        What was found.
    """

    target: Target
    search: str
    complete: bool
    findings: Findings


@dataclass(frozen=True, slots=True)
class Survey:
    """Rows, and what they were made with.

    Attributes
    ----------
    rows : list of Row
        One for each target.
    unavailable : dict of str to str
        Implementations that could not run, and why.
    origin : dict
        Command, commit, machine and versions.
    """

    rows: list[Row] = field(default_factory=list)
    unavailable: dict[str, str] = field(default_factory=dict)
    origin: dict[str, Any] = field(default_factory=dict)

    def to_json(self) -> str:
        """Everything, for a file."""
        rows = [
            {
                "target": asdict(row.target),
                "search": row.search,
                "complete": row.complete,
                "findings": row.findings.to_json(),
            }
            for row in self.rows
        ]
        document = {"origin": self.origin, "unavailable": self.unavailable, "rows": rows}
        return json.dumps(document, indent=1) + "\n"

    @classmethod
    def from_json(cls, text: str) -> Self:
        """Read back what `to_json` wrote."""
        document = json.loads(text)
        rows = [
            Row(
                Target(**row["target"]),
                row["search"],
                row["complete"],
                Findings.from_json(row["findings"]),
            )
            for row in document["rows"]
        ]
        return cls(rows, document["unavailable"], document["origin"])


def survey(
    implementations: list[str],
    operations: list[str],
    dtypes: list[str],
    journals: Path,
    *,
    exhaustive: bool,
    samples: int,
    resume: bool,
    pool: Executor,
    origin: dict[str, Any],
    report: Report = lambda what, done, chunks: None,
) -> Survey:
    """Sweep, sample and search every target that was asked for.

    Parameters
    ----------
    implementations, operations, dtypes : list of str
        Names.
    journals : pathlib.Path
        Folder for the journals, one for each sweep.
    exhaustive : bool
        Whether to go through all of float32. Other inputs are sampled in strata, at the seams,
        and on the way up from the worst.
    samples : int
        Number of samples in strata, for each target.
    resume : bool
        Whether to go on with the journals that are there.
    pool : concurrent.futures.Executor
        Shares out the work; see `sweep.processes`.
    origin : dict
        Kept with the result.
    report : callable
        Called with what is being done, and how many chunks of how many are finished.

    Returns
    -------
    Survey
    """
    result = Survey(origin=origin)
    for name in implementations:
        implementation = registry.get(name)
        if reason := implementation.unavailable():
            result.unavailable[name] = reason
            continue
        for operation in (o for o in operations if o in implementation.operations):
            for dtype in dtypes:
                for target in targets(name, operation, dtype):

                    def carry_out(plan: Plan, target: Target = target) -> Findings:
                        what = _name(target)
                        return sweep(
                            target,
                            plan,
                            journals / f"{what}-{type(plan).__name__.lower()}.jsonl",
                            resume=resume,
                            pool=pool,
                            report=lambda done, chunks: report(what, done, chunks),
                        )

                    result.rows.append(
                        _complete(target, carry_out)
                        if exhaustive and dtype == "float32"
                        else _searched(target, samples, carry_out)
                    )
    return result


def _complete(target: Target, carry_out: Callable[[Plan], Findings]) -> Row:
    plan = Exhaustive.over(target.table_entry)
    inputs = f"all {plan.stop - plan.first:,} inputs"
    return Row(target, inputs, complete=True, findings=carry_out(plan))


def _searched(target: Target, samples: int, carry_out: Callable[[Plan], Findings]) -> Row:
    found = carry_out(Strata(target.operation, target.dtype, samples))
    sampled = _inputs(found)
    found.merge(carry_out(Seams(target.operation, target.dtype, REACH)))
    near_seams = _inputs(found) - sampled
    start = np.concatenate(list(_first_inputs(target)))
    climbed, _ = climb(target, worst_of(target, start, CLIMBERS), rounds=ROUNDS)
    found.merge(climbed)
    search = (
        f"{sampled:,} samples in strata, {near_seams:,} within {REACH} steps of a seam, "
        f"{_inputs(climbed):,} climbing from the worst"
    )
    return Row(target, search, complete=False, findings=found)


def _first_inputs(target: Target) -> Iterator[ndarray]:
    for plan in (
        Strata(target.operation, target.dtype, 1),
        Seams(target.operation, target.dtype, 10),
    ):
        for inputs, _ in plan.pieces(0):
            yield inputs


def _inputs(findings: Findings) -> int:
    return findings.normal.count + findings.subnormal.count


def _name(target: Target) -> str:
    label = "" if target.label is None else f"-label{target.label:+g}"
    result = "-gradient" if target.result == "gradient" else ""
    return f"{target.implementation}-{target.operation}{result}-{target.dtype}{label}"
