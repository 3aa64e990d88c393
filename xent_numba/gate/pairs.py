"""Paired runs: fresh processes, one of each side, that take turns on every benchmark.

Both are alive at once, and only one computes. On a benchmark turns go ABBA; the samples of all
turns of a side are reduced to their lower quartile, and the quotient of the two is all that the
pair is counted for. Benchmarks come in an order shuffled anew for each pair, and so does who
begins. A variable of random length in the environment of each process moves its stack, on which
speed may depend [1]_.

In a duet [2]_ both compute at the same time, each on a CPU of its own, which they exchange from
turn to turn. What disturbs one then disturbs the other, and what the pair is counted for is the
median quotient of samples taken at once. What they share (caches, memory, power) they fight for.

References
----------
.. [1] T. Mytkowicz, A. Diwan, M. Hauswirth, P. F. Sweeney, "Producing wrong data without doing
   anything obviously wrong!", ASPLOS 2009.
.. [2] L. Bulej, V. Horky, P. Tuma, F. Farquet, A. Prokopec, "Duet benchmarking: improving
   measurement accuracy in the cloud", ICPE 2020, arXiv 2001.05811.
"""

from __future__ import annotations

import contextlib
import functools
import math
import random
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from xent_numba.gate import GateError
from xent_numba.gate.decision import MIN_PAIRS, settled
from xent_numba.gate.sides import BASELINE, CANDIDATE, SIDES, Chosen, Sides, why
from xent_numba.measurement import idle
from xent_numba.measurement.pool import Pool
from xent_numba.measurement.turns import quartets
from xent_numba.measurement.worker import LostError, WarmUp, WorkerError

SAMPLES = 5
"""In a turn."""

DUETS = 8
"""Turns that both sides take at once: as many samples of each as in quartets."""

FEWEST_SECONDS = 60.0
"""The fewest pairs may take this long whatever the budget."""

_PADDING = 4096


@dataclass(slots=True)
class Evidence:
    """What pairs have shown.

    Attributes
    ----------
    log_ratios : dict of str to list of float
        By benchmark, log of the candidate's time over the baseline's, one for each pair; of a rate,
        the other way round.
    seconds : dict of str to dict of str to list of float
        By benchmark and side, the time of each pair, or whatever is measured.
    others : list of float
        Share of the CPUs that other programs used, for each pair.
    """

    log_ratios: dict[str, list[float]] = field(default_factory=dict)
    seconds: dict[str, dict[str, list[float]]] = field(default_factory=dict)
    others: list[float] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Limits:
    """When to stop, and what is shuffled how.

    Attributes
    ----------
    budget : float
        Seconds of the clock. `least` pairs are taken in any case.
    threshold : float
        The change that matters; 0.05 is 5 %.
    seed : int
        Of all that is shuffled.
    least : int
        The fewest pairs.
    least_seconds : float
        What they may take whatever the budget.
    duet : tuple of int
        Two CPUs, on which both sides compute at once; empty for one after the other.
    """

    budget: float = 300.0
    threshold: float = 0.05
    seed: int = 1
    least: int = MIN_PAIRS
    least_seconds: float = FEWEST_SECONDS
    duet: tuple[int, ...] = ()


def measure(
    sides: Sides,
    chosen: Chosen,
    limits: Limits,
    thresholds: Mapping[str, float],
    progress: Callable[[str, float], None],
) -> Evidence:
    """Take pairs until spreads are known well enough or the budget is spent.

    The first pair does not count: it compiles, and finds out how many calls make a sample.

    Parameters
    ----------
    sides : Sides
        What runs.
    chosen : Chosen
        Which benchmarks; those that cannot be compared are moved to what is left out.
    limits : Limits
        When to stop.
    thresholds : mapping of str to float
        By benchmark, the change that matters.
    progress : callable
        Called with what goes on, and the fraction of the budget that is spent.

    Returns
    -------
    Evidence
        What was measured.

    Raises
    ------
    GateError
        If the budget is not enough for the fewest pairs.
    """
    progress("warming up", 0.0)
    pairs = _Pairs(sides, chosen, limits)
    pairs.take()
    sides.check_sources()
    pairs.found = Evidence()
    started = time.monotonic()
    count = 0
    while chosen.names:
        pairs.take()
        count += 1
        taken = time.monotonic() - started
        progress(f"{count} pairs", min(1.0, taken / limits.budget))
        least = limits.least * taken / count
        if count == 1 and least > max(limits.budget, limits.least_seconds):
            raise GateError(
                f"{len(chosen.names)} benchmarks need {least / 60:.1f} minutes for {limits.least} "
                "pairs; accepted are as large a --budget, or fewer benchmarks by --bench"
            )
        ratios = {name: pairs.found.log_ratios[name] for name in chosen.names}
        # The next pair must end before the budget does.
        spent = taken * (count + 1) / count > limits.budget
        if count >= limits.least and (spent or settled(ratios, thresholds, limits.least)):
            break
    # Those that a timing was lost of on the way are left out whole.
    pairs.found.log_ratios = {name: pairs.found.log_ratios[name] for name in chosen.names}
    return pairs.found


class _Pairs:
    """Takes pairs; keeps what they show, and what has been found out about each benchmark."""

    def __init__(self, sides: Sides, chosen: Chosen, limits: Limits) -> None:
        self.found = Evidence()
        self._sides = sides
        self._chosen = chosen
        self._shuffled = random.Random(limits.seed)  # noqa: S311 - an order, not a secret
        self._duet = limits.duet
        self._plans: dict[str, WarmUp] = {}

    def take(self) -> None:
        """Take one pair; of what is left when a process is lost, another pair."""
        todo = list(self._chosen.names)
        self._shuffled.shuffle(todo)
        while todo:
            order = list(SIDES)
            self._shuffled.shuffle(order)
            padding = {side: self._shuffled.randrange(_PADDING) for side in order}
            with self._sides.pool(padding) as pool:
                workers = pool.workers.values()
                clocks = [clock for one in workers for clock in (one.cpu_time, one.children_time)]
                others = idle.Others(clocks)
                if self._compare(todo, pool):
                    self.found.others.append(others.share())

    def _compare(self, todo: list[str], pool: Pool) -> bool:
        """Compare benchmarks until none is left to do, or a process is lost; whether none is."""
        while todo:
            name = todo.pop()
            try:
                is_peak = self._sides.known[CANDIDATE][name].kind == "peak"
                seconds = self._peaks(name) if is_peak else self._turns(name, pool)
            except _DroppedError as dropped:
                self._chosen.names.remove(name)
                self._chosen.leave_out(name, dropped.reasons)
                if dropped.lost:
                    return False
                for worker in pool.workers.values():
                    with contextlib.suppress(WorkerError):
                        worker.do("close")
                continue
            self._sides.note_sources(pool, name)
            ratio = math.log(seconds[CANDIDATE] / seconds[BASELINE])
            ratio = -ratio if self._sides.better(name) == "higher" else ratio
            self.found.log_ratios.setdefault(name, []).append(ratio)
            for side, value in seconds.items():
                self.found.seconds.setdefault(name, {}).setdefault(side, []).append(value)
        return True

    def _peaks(self, name: str) -> dict[str, float]:
        """Bytes of memory at most, for each side: of processes that have run nothing else."""
        with self._sides.pool(dict.fromkeys(SIDES, 0)) as pool:
            self._sides.start(pool, "peak", name)
            found = _each("run", {side: pool[side].receive for side in SIDES})
            self._sides.note_sources(pool, name)
            return found

    def _turns(self, name: str, pool: Pool) -> dict[str, float]:
        """Seconds of a call, for each side."""
        places = {side: self._sides.known[side][name].place for side in SIDES}
        self._sides.start(pool, "open", name)
        _each("set up", {side: pool[side].receive for side in SIDES})
        for side in SIDES:
            pool[side].pin()
        # The number of calls is the baseline's for both sides and for all pairs.
        first, second = self._shuffled.sample(SIDES, 2)
        found: dict[str, WarmUp] = {}
        for side in (first, second):
            found |= _each("run", {side: functools.partial(pool[side].warm_up, places[side])})
        plan = self._plans.setdefault(name, found[BASELINE])

        def turn(side: str) -> list[float]:
            options = {"samples": SAMPLES, "before": 1.0}
            take = functools.partial(pool.turn, side, places[side], plan, **options)
            seconds: list[float] = _each("run", {side: take})[side]
            return seconds

        if self._duet:
            seconds = self._at_once(pool, places, plan)
        else:
            samples = quartets(turn, first, second)
            # What disturbs a sample makes it longer, and never shorter.
            seconds = {side: float(np.quantile(x, 0.25)) for side, x in samples.items()}
        for side in SIDES:
            pool[side].start("close")
        _each("tear down", {side: pool[side].receive for side in SIDES})
        return seconds

    def _at_once(self, pool: Pool, places: Mapping[str, str], plan: WarmUp) -> dict[str, float]:
        """Median of the baseline's samples, and that times the median quotient of a duet."""
        samples: dict[str, list[float]] = {side: [] for side in SIDES}
        for number in range(DUETS):
            for side, cpu in zip(SIDES, self._duet[:: (-1) ** number], strict=True):
                pool[side].pin(cpu)
            for side in SIDES:
                pool[side].begin_turn(places[side], plan, SAMPLES, 1.0)
            found = _each("run", {side: pool[side].receive for side in SIDES})
            for side in SIDES:
                samples[side] += found[side]
        baseline, candidate = (np.array(samples[side]) for side in SIDES)
        usual = float(np.median(baseline))
        return {BASELINE: usual, CANDIDATE: usual * float(np.median(candidate / baseline))}


class _DroppedError(Exception):
    def __init__(self, what: str, errors: Mapping[str, WorkerError]) -> None:
        super().__init__(what)
        self.lost = any(isinstance(error, LostError) for error in errors.values())
        self.reasons = {side: why(what, error) for side, error in errors.items()}


def _each(what: str, calls: Mapping[str, Callable[[], Any]]) -> dict[str, Any]:
    """What a call gives for each side; all are made before any error is raised."""
    answers, errors = {}, {}
    for side, call in calls.items():
        try:
            answers[side] = call()
        except WorkerError as error:
            errors[side] = error
    if errors:
        raise _DroppedError(what, errors)
    return answers
