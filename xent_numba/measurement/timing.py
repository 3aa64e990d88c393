"""The rounds of one case: warmed up, timed in turns, and asked again after the clock."""

from __future__ import annotations

import dataclasses
import functools
import math
import time
from collections.abc import Callable, Mapping

from xent_numba.measurement import inputs, turns
from xent_numba.measurement.case import Case
from xent_numba.measurement.comparison import Row
from xent_numba.measurement.participant import LIMITS, Preparation, Status
from xent_numba.measurement.pool import Pool
from xent_numba.measurement.preparing import prepare
from xent_numba.measurement.recheck import Recheck
from xent_numba.measurement.schedule import seed_of
from xent_numba.measurement.worker import WarmUp, Worker, WorkerError

Failed = dict[str, tuple[Status, str]]


class Timing:
    """The rounds of one case.

    Parameters
    ----------
    pool : Pool
        The workers.
    homes : mapping of str to Worker
        By label, those that have prepared it; who was lost since has another in the pool, or none.
    case : Case
        What is timed.
    processes : mapping of str to str
        For each label, that of its process.
    threads : mapping of str to int
        For each label, how many it was given.
    laid : Laid
        The inputs.
    block : int
        How many processes of each have been timed before.

    Attributes
    ----------
    lasted : float
        Seconds that the rounds took.
    """

    def __init__(
        self,
        pool: Pool,
        homes: Mapping[str, Worker],
        case: Case,
        processes: Mapping[str, str],
        threads: Mapping[str, int],
        laid: inputs.Laid,
        block: int,
    ) -> None:
        self.pool, self.homes, self.case, self.processes = pool, homes, case, processes
        self.threads, self.laid, self.block = threads, laid, block
        self.lasted = 0.0
        self.key = dataclasses.asdict(case)

    def rows(
        self,
        prepared: Mapping[str, Preparation],
        baseline: str,
        budget: float,
        progress: Callable[[float], None],
        until: float = math.inf,
    ) -> list[Row]:
        """Time those that agreed, and make the rows of the case, without statistics.

        Parameters
        ----------
        prepared : mapping of str to Preparation
            By label, whether it agreed.
        baseline : str
            Label of the baseline.
        budget : float
            Seconds.
        progress : callable
            Called with the fraction of the budget that is spent.
        until : float
            What the monotonic clock says when the time of the whole run is spent, which raises
            `OutOfTimeError` if it is not enough for the fewest rounds.
        """
        self.pool.disturbed.clear()
        self.pool.spent.clear()
        prepared = self._replaced(prepared, until)
        plans, failed = self._warm_up(prepared, until)
        started = time.monotonic()
        series = turns.rounds(
            {label: functools.partial(self._turn, label, plan) for label, plan in plans.items()},
            references=[label for label in (*LIMITS, baseline) if label in plans],
            budget=budget,
            until=until,
            seed=seed_of("order", self.case, self.block),
            progress=progress,
        )
        self.lasted = time.monotonic() - started
        disturbed = {label: dict(self.pool.disturbed[self.processes[label]]) for label in plans}
        failed |= {label: ("crashed", one.lost) for label, one in series.items() if one.lost}
        asked = {label: plan for label, plan in plans.items() if label not in failed}
        failed |= self._recheck(prepared, asked)
        rows = []
        for label, preparation in self._after(prepared, failed).items():
            row = Row(self.case, label, preparation)
            if preparation.timed:
                row = dataclasses.replace(
                    row,
                    rounds=dict(series[label].seconds),
                    warm_up=plans[label],
                    disturbed_by=disturbed[label],
                )
            rows.append(row)
        return rows

    def _after(self, prepared: Mapping[str, Preparation], failed: Failed) -> dict[str, Preparation]:
        """What is known after the clock; who crashed is sent away."""
        known = dict(prepared)
        for label, (status, reason) in failed.items():
            known[label] = dataclasses.replace(known[label], status=status, reason=reason)
            if status == "crashed":
                self.pool.dismiss(self.processes[label])
        return known

    def _replaced(
        self, prepared: Mapping[str, Preparation], until: float
    ) -> dict[str, Preparation]:
        """Have the case prepared anew by processes in the place of those lost before."""
        gone = {
            process: label
            for label, process in self.processes.items()
            if prepared[label].timed and self.pool.workers.get(process) is not self.homes[process]
        }
        laid = {self.case: self.laid}
        again = {self.case: list(gone)}
        anew = prepare(self.pool, again, laid, until=until)[self.case] if gone else {}
        return {**prepared, **{gone[process]: one for process, one in anew.items()}}

    def _warm_up(
        self, prepared: Mapping[str, Preparation], until: float
    ) -> tuple[dict[str, WarmUp], Failed]:
        """How each that agreed takes a turn, and why some cannot."""
        plans: dict[str, WarmUp] = {}
        failed: Failed = {}
        for label in (label for label in prepared if prepared[label].timed):
            if time.monotonic() >= until:
                raise turns.OutOfTimeError
            try:
                plans[label] = self.pool[self.processes[label]].warm_up(self.key)
            except WorkerError as reason:
                failed[label] = "crashed", str(reason)
        return plans, failed

    def _recheck(self, prepared: Mapping[str, Preparation], plans: Mapping[str, WarmUp]) -> Failed:
        """Why some that were timed are wrong after all, or give no answer."""
        failed: Failed = {}
        for label in plans:
            if said := self.pool.spent[self.processes[label]].doubt(self.threads[label]):
                failed[label] = "wrong", said
        check = Recheck(self.case, self.laid)
        for label in plans.keys() - failed.keys() - {*LIMITS}:
            worker, plan = self.pool[self.processes[label]], plans[label]
            try:
                worker.do("keep", self.key, check.indices.tolist())
                self._turn(label, plan._replace(batch=plan.batch + check.extra))
                kept = worker.do("kept", self.key)
            except WorkerError as reason:
                failed[label] = "crashed", str(reason)
                continue
            if said := check.reason(kept, prepared[label].status == "ok"):
                failed[label] = "wrong", f"right when it was judged, and not when timed: {said}"
        return failed

    def _turn(self, label: str, plan: WarmUp) -> float:
        return self.pool.turn(self.processes[label], self.key, plan)[0]
