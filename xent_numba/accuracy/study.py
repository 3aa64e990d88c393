"""Implementations held to the truth over the whole range: what ``xent-numba accuracy`` runs."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

import numpy as np

from xent_numba import registry
from xent_numba.accuracy.error_counts import ErrorCounts, ErrorSummary, Violations
from xent_numba.accuracy.journal import Journal
from xent_numba.accuracy.plans import PIECE, Exhaustive, Plan, Seams, Strata
from xent_numba.accuracy.runs import together
from xent_numba.accuracy.search import climb
from xent_numba.accuracy.stability import Band, bands
from xent_numba.accuracy.sweep import Quantity, Sweep, total
from xent_numba.accuracy.workers import Workers
from xent_numba.operations import OPERATIONS
from xent_numba.results import store
from xent_numba.results.provenance import Provenance

#: Steps to either side of a seam, and how often the climb steps.
REACH, ROUNDS = 200, 25
#: Seconds of one processor that going through all float32 may take for what is swept together.
PATIENCE = 3600.0

Progress = Callable[[str, int, int], None]


@dataclass(frozen=True, slots=True)
class Accuracy:
    """What was found out about one quantity.

    Attributes
    ----------
    quantity : Quantity
        Implementation, operation, dtype, label and result.
    search : str
        On which inputs, in words.
    complete : bool
        Whether these are all inputs there are; if not, a maximum is a lower bound.
    run : int
        Index of the run that found it, in `Study.runs`.
    normal, subnormal : ErrorSummary
        Of results whose true value, rounded, is a normal number or zero, and of the others.
    nonfinite, sign, monotonicity, symmetry : Violations
        As of `ErrorCounts`.
    decided : int
        Results of which mpmath decided whether they are correctly rounded.
    bands : list of Band
        Where it is how good.
    """

    quantity: Quantity
    search: str
    complete: bool
    run: int
    normal: ErrorSummary
    subnormal: ErrorSummary
    nonfinite: Violations
    sign: Violations
    monotonicity: Violations
    symmetry: Violations
    decided: int
    bands: list[Band]

    @classmethod
    def of(
        cls, quantity: Quantity, counts: ErrorCounts, search: str, complete: bool, run: int = 0
    ) -> Self:
        """Sum up what was counted."""
        return cls(
            quantity,
            search,
            complete,
            run,
            counts.normal.summary(),
            counts.subnormal.summary(),
            counts.nonfinite,
            counts.sign,
            counts.monotonicity,
            counts.symmetry,
            counts.decided,
            bands(counts.grades, quantity.entry.domain),
        )


@dataclass(frozen=True, slots=True)
class Study:
    """What was found out about many quantities, and what is missing.

    Attributes
    ----------
    rows : list of Accuracy
        One for each quantity.
    unavailable : dict of str to str
        Implementations that could not run, and why.
    runs : list of Provenance
        Where the rows come from.
    """

    rows: list[Accuracy] = field(default_factory=list)
    unavailable: dict[str, str] = field(default_factory=dict)
    runs: list[Provenance] = field(default_factory=list)

    def updated(self, newer: Self) -> Self:
        """Return a study with the rows of both; the newer one's where both have a quantity."""
        rows, origins = together(self, newer, lambda row: row.quantity)
        present = {row.quantity.implementation for row in rows}
        reasons = {**self.unavailable, **newer.unavailable}
        return type(self)(
            sorted(rows, key=_place),
            {name: reason for name, reason in sorted(reasons.items()) if name not in present},
            origins,
        )


def _place(row: Accuracy) -> tuple[str, int]:
    quantity = row.quantity
    return quantity.implementation, [*OPERATIONS].index(quantity.operation)


STUDY = store.Kind("accuracy", 1, Study)


@dataclass(frozen=True, slots=True)
class Scope:
    """What a study covers.

    Attributes
    ----------
    implementations, operations, dtypes : list of str
        Names.
    exhaustive : bool
        Whether to go through all of float32, for implementations that can within `PATIENCE`.
        Other inputs are sampled in strata, at the seams, and on the way up from the worst.
    samples : int
        Number of samples in strata, for each quantity.
    """

    implementations: list[str]
    operations: list[str]
    dtypes: list[str]
    exhaustive: bool
    samples: int

    def sweeps(self, implementation: registry.Implementation) -> Iterator[Sweep]:
        """What is swept together, of one implementation."""
        computed = [name for name in self.operations if name in implementation.operations]
        for dtype, first in itertools.product(self.dtypes, ("scores", "probabilities")):
            group = tuple(name for name in computed if OPERATIONS[name].first == first)
            if group:
                yield Sweep(implementation.name, dtype, group)


def measure(
    scope: Scope,
    journals: Path,
    *,
    workers: Workers,
    provenance: Provenance,
    resume: bool = False,
    progress: Progress = lambda what, done, chunks: None,
) -> Study:
    """Sweep, sample and search every quantity that was asked for.

    Parameters
    ----------
    scope : Scope
        What is measured.
    journals : pathlib.Path
        Folder for the journals, one for each sweep.
    workers : Workers
        Share out the work.
    provenance : Provenance
        Of this run. A journal of another processor or version is refused.
    resume : bool
        Whether to go on with the journals that are there.
    progress : callable
        Called with what is being done, and the number of finished chunks and of all.

    Returns
    -------
    Study
    """
    result = Study(runs=[provenance])
    for name in scope.implementations:
        implementation = registry.get(name)
        if reason := implementation.unavailable():
            result.unavailable[name] = reason
            continue
        for sweep in scope.sweeps(implementation):
            search = _Search(sweep, journals, resume, workers, provenance, progress)
            tried = scope.exhaustive and sweep.dtype == "float32"
            result.rows.extend(
                (search.complete() if tried else None) or search.chosen(scope.samples)
            )
    return result


@dataclass(frozen=True)
class _Search:
    """Carries out the plans for one sweep."""

    sweep: Sweep
    journals: Path
    resume: bool
    workers: Workers
    provenance: Provenance
    progress: Progress

    def complete(self) -> list[Accuracy] | None:
        """Go through all float32, or return None if that takes too long."""
        plan = Exhaustive.over(OPERATIONS[self.sweep.operations[0]])
        inputs = len(self.sweep.signs) * (plan.stop - plan.first)
        ((_, seconds),) = self.workers.results(_seconds_for_a_piece, [(self.sweep,)])
        if seconds * inputs / PIECE > PATIENCE:
            return None
        found = self._carry_out(plan)
        return [
            Accuracy.of(q, total(chunk[q] for chunk in found), f"all {inputs:,} inputs", True)
            for q in self.sweep.quantities()
        ]

    def chosen(self, samples: int) -> list[Accuracy]:
        """Sample in strata, look around the seams, and climb from the worst of every chunk."""
        sweep = self.sweep
        strata = self._carry_out(Strata(sweep.first, sweep.dtype, samples))
        around = self._carry_out(Seams(sweep.first, sweep.dtype, REACH))
        climbed = self._climb([*strata, *around])
        rows = []
        for quantity in sweep.quantities():
            counts, near = (total(f[quantity] for f in found) for found in (strata, around))
            words = (
                f"{counts.results:,} samples in strata, {near.results:,} within {REACH} steps "
                f"of a seam, {climbed[quantity].results:,} climbing from the worst"
            )
            for more in (near, climbed[quantity]):
                counts.merge(more, shares=False)
            rows.append(Accuracy.of(quantity, counts, words, False))
        return rows

    def _climb(self, found: list[dict[Quantity, ErrorCounts]]) -> dict[Quantity, ErrorCounts]:
        tasks = [
            (quantity, start, ROUNDS)
            for quantity in self.sweep.quantities()
            for negative in self.sweep.signs
            for start in [_worst(found, quantity, negative)]
            if start.size
        ]
        climbed = {quantity: ErrorCounts() for quantity in self.sweep.quantities()}
        for done, (place, (counts, _)) in enumerate(self.workers.results(climb, tasks), 1):
            climbed[tasks[place][0]].merge(counts)
            self.progress(f"{self.sweep.name}, climbing", done, len(tasks))
        return climbed

    def _carry_out(self, plan: Plan) -> list[dict[Quantity, ErrorCounts]]:
        what = f"{self.sweep.name}-{type(plan).__name__.lower()}"
        return Journal(self.journals / what, self.sweep, plan, self.provenance).carry_out(
            self.workers,
            resume=self.resume,
            progress=lambda done, chunks: self.progress(what, done, chunks),
        )


def _seconds_for_a_piece(sweep: Sweep) -> float:
    inputs = np.linspace(0, 1, PIECE, dtype=sweep.dtype)
    sweep.compute(inputs)
    started = time.perf_counter()
    sweep.compute(inputs)
    return time.perf_counter() - started


def _worst(
    found: list[dict[Quantity, ErrorCounts]], quantity: Quantity, negative: bool
) -> np.ndarray:
    """The worst inputs of one sign, of every chunk."""
    parts = (part for f in found for part in (f[quantity].normal, f[quantity].subnormal))
    worst = np.array([float.fromhex(p.worst) for p in parts if p.worst], quantity.dtype)
    return np.unique(worst[np.signbit(worst) == negative])
