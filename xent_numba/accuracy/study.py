"""Implementations held to the truth over the whole range: what ``xent-numba accuracy`` runs.

A survey is kept as JSON::

    {"origins": [{"command", "commit", "modified", "cpu", "python", "versions"}, ...],
     "unavailable": {implementation: reason, ...},
     "rows": [{"target": {"implementation", "operation", "dtype", "label", "result"},
               "complete": whether all inputs were looked at; if not, "max_ulp" is a lower bound,
               "search": the inputs that were looked at, in words,
               "max_ulp": largest error of a finite result, normal or subnormal,
               "wrong": results infinite or NaN where they should not be, or the other way round,
               "origin": index into "origins",
               "findings": {"normal", "subnormal": {"count", "correctly_rounded", "max_ulp",
                                                    "worst", "histogram"},
                            "nonfinite", "sign", "monotonicity", "symmetry": {"count", "example"},
                            "decided", "grades": [[first, last, grade], ...]}},
              ...]}

"label" is null for the sigmoid, "result" is "loss" (the sigmoid too) or "gradient". Inputs are
hexadecimal floats. The parts of "findings" are explained in `findings.Findings`.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from concurrent.futures import Executor
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Self

import numpy as np

from xent_numba import registry
from xent_numba.accuracy.error_counts import Findings
from xent_numba.accuracy.search import Seams, climb
from xent_numba.accuracy.sweep import PIECE, Exhaustive, Plan, Strata, Subject, Target, sweep, total
from xent_numba.operations import OPERATIONS

#: Steps to either side of a seam, and how often the climb steps.
REACH, ROUNDS = 200, 25
#: Seconds of one processor that going through all float32 may take for what is swept together.
PATIENCE = 3600.0

_MAKING = ("cpu", "python", "versions")

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
    origin : dict
        Command, commit, machine and versions.
    """

    target: Target
    search: str
    complete: bool
    findings: Findings
    origin: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Survey:
    """Rows, and what is missing.

    Attributes
    ----------
    rows : list of Row
        One for each target.
    unavailable : dict of str to str
        Implementations that could not run, and why.
    """

    rows: list[Row] = field(default_factory=list)
    unavailable: dict[str, str] = field(default_factory=dict)

    def updated(self, newer: Self) -> Self:
        """Return a survey with the rows of both, and of the newer one where both have a target."""
        rows = {row.target: row for row in (*self.rows, *newer.rows)}
        present = {target.implementation for target in rows}
        reasons = {**self.unavailable, **newer.unavailable}
        order = sorted(rows, key=lambda t: (t.implementation, [*OPERATIONS].index(t.operation)))
        return type(self)(
            [rows[target] for target in order],
            {name: reason for name, reason in sorted(reasons.items()) if name not in present},
        )

    def to_json(self) -> str:
        """Everything, for a file: a line for each row."""
        origins: list[dict[str, Any]] = []
        lines = []
        for row in self.rows:
            if row.origin not in origins:
                origins.append(row.origin)
            document = {
                "target": asdict(row.target),
                "complete": row.complete,
                "search": row.search,
                "max_ulp": max(row.findings.normal.max_ulp, row.findings.subnormal.max_ulp),
                "wrong": row.findings.nonfinite.count,
                "origin": origins.index(row.origin),
                "findings": row.findings.to_json(),
            }
            lines.append(json.dumps(document))
        head = json.dumps({"origins": origins, "unavailable": self.unavailable}, indent=1)
        return f'{head[:-2]},\n "rows": [\n' + ",\n".join(lines) + "\n]}\n"

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
                document["origins"][row["origin"]],
            )
            for row in document["rows"]
        ]
        return cls(rows, document["unavailable"])


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
        Whether to go through all of float32, for implementations that can within `PATIENCE`.
        Other inputs are sampled in strata, at the seams, and on the way up from the worst.
    samples : int
        Number of samples in strata, for each target.
    resume : bool
        Whether to go on with the journals that are there.
    pool : concurrent.futures.Executor
        Shares out the work; see `sweep.processes`.
    origin : dict
        Kept with every row; a journal of another origin, but for the command, is refused.
    report : callable
        Called with what is being done, and how many chunks of how many are finished.

    Returns
    -------
    Survey
    """
    result = Survey()
    made_with: dict[str, Any] = {key: origin[key] for key in _MAKING if key in origin}
    for name in implementations:
        implementation = registry.get(name)
        if reason := implementation.unavailable():
            result.unavailable[name] = reason
            continue
        computed = [o for o in operations if o in implementation.operations]
        for dtype in dtypes:
            for first in ("scores", "probabilities"):
                group = tuple(o for o in computed if OPERATIONS[o].first == first)
                if not group:
                    continue
                subject = Subject(name, dtype, group)
                laboratory = _Laboratory(subject, journals, resume, pool, made_with, report)
                found = laboratory.complete() if exhaustive and dtype == "float32" else None
                complete = found is not None
                search, findings = found or laboratory.searched(samples)
                result.rows.extend(
                    Row(target, search[target], complete, findings[target], origin)
                    for target in subject.targets()
                )
    return result


_Found = tuple[dict[Target, str], dict[Target, Findings]]


@dataclass(frozen=True)
class _Laboratory:
    """Carries out the plans for one subject."""

    subject: Subject
    journals: Path
    resume: bool
    pool: Executor
    made_with: Mapping[str, Any]
    report: Report

    def complete(self) -> _Found | None:
        """Go through all float32, or return None if that takes too long."""
        plan = Exhaustive.over(OPERATIONS[self.subject.operations[0]])
        inputs = len(self.subject.signs) * (plan.stop - plan.first)
        seconds = self.pool.submit(_seconds_for_a_piece, self.subject).result()
        if seconds * inputs / PIECE > PATIENCE:
            return None
        found = self._carry_out(plan)
        words = f"all {inputs:,} inputs"
        return dict.fromkeys(found[0], words), {t: total(f[t] for f in found) for t in found[0]}

    def searched(self, samples: int) -> _Found:
        """Sample in strata, look around the seams, and climb from the worst of every chunk."""
        subject = self.subject
        strata = self._carry_out(Strata(subject.first, subject.dtype, samples))
        around = self._carry_out(Seams(subject.first, subject.dtype, REACH))
        climbs = {
            (target, negative): self.pool.submit(climb, target, start, rounds=ROUNDS)
            for target in subject.targets()
            for negative in subject.signs
            for start in [_worst((*strata, *around), target, negative)]
            if start.size
        }
        words, findings = {}, {}
        for done, target in enumerate(subject.targets()):
            self.report(f"{_name(subject)}, climbing", done, len(subject.targets()))
            sampled, near = (total(f[target] for f in found) for found in (strata, around))
            climbed = total(
                climbs[target, n].result()[0] for n in subject.signs if (target, n) in climbs
            )
            words[target] = (
                f"{_inputs(sampled):,} samples in strata, {_inputs(near):,} within {REACH} steps "
                f"of a seam, {_inputs(climbed):,} climbing from the worst"
            )
            findings[target] = sampled
            for chosen in (near, climbed):
                findings[target].merge(chosen, shares=False)
        return words, findings

    def _carry_out(self, plan: Plan) -> list[dict[Target, Findings]]:
        what = f"{_name(self.subject)}-{type(plan).__name__.lower()}"
        return sweep(
            self.subject,
            plan,
            self.journals / f"{what}.jsonl",
            resume=self.resume,
            pool=self.pool,
            made_with=self.made_with,
            report=lambda done, chunks: self.report(what, done, chunks),
        )


def _seconds_for_a_piece(subject: Subject) -> float:
    inputs = np.linspace(0, 1, PIECE, dtype=subject.dtype)
    subject.compute(inputs)
    started = time.perf_counter()
    subject.compute(inputs)
    return time.perf_counter() - started


def _worst(found: tuple[dict[Target, Findings], ...], target: Target, negative: bool) -> np.ndarray:
    """The worst inputs of one sign, of every chunk."""
    parts = (part for f in found for part in (f[target].normal, f[target].subnormal))
    worst = np.array([float.fromhex(p.worst) for p in parts if p.worst], target.dtype)
    return np.unique(worst[np.signbit(worst) == negative])


def _inputs(findings: Findings) -> int:
    return findings.normal.count + findings.subnormal.count


def _name(subject: Subject) -> str:
    operations = len(subject.operations)
    what = subject.operations[0] if operations == 1 else subject.first
    return f"{subject.implementation}-{what}-{subject.dtype}"
