"""All implementations on all cases, judged side by side and then timed in rounds."""

from __future__ import annotations

import dataclasses
import math
import statistics
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from typing import Any

import psutil

from xent_numba import registry
from xent_numba.measurement import binding, idle, inputs
from xent_numba.measurement.case import Case
from xent_numba.measurement.comparison import Comparison, Row, overall_resolution
from xent_numba.measurement.participant import (
    DEVICE_LIMIT,
    LIMITS,
    MEMORY_LIMIT,
    Participant,
    Preparation,
)
from xent_numba.measurement.pool import Pool
from xent_numba.measurement.preparing import prepare
from xent_numba.measurement.schedule import (
    SEED,
    dealt,
    groups,
    is_time_left,
    room,
    with_control,
)
from xent_numba.measurement.statistics import ROUNDS, time_left
from xent_numba.measurement.timing import Timing
from xent_numba.measurement.turns import OutOfTimeError
from xent_numba.measurement.worker import Program, WorkerError
from xent_numba.results import machine
from xent_numba.results.provenance import Provenance
from xent_numba.results.store import Stored

Progress = Callable[[str, float], None]
Ready = Callable[[Case, list[Row]], None]

_MEMORY_SHARE = 0.25
"""Of the memory that is free, what the prepared inputs and outputs of all workers may take."""

FIRST_SHARE = 1 / 3
"""Of its share, what the first of several cases takes where each starts once: a table to see soon.
What it leaves is for the others."""

LEAST_SECONDS = 0.01
"""For the rounds of a case whose budget is spent; the fewest take what they take."""


@dataclass(frozen=True, slots=True)
class Plan:
    """How a comparison is made.

    Attributes
    ----------
    baseline : str
        Label of the one that a speed-up divides by.
    control : str
        Label of the one that is entered twice; empty for none.
    budget : float
        Seconds for all: rounds have what judging leaves of it, and `TIMED_SHARE` of it at least.
    processes : int
        How many times each participant starts anew, with an equal part of the budget each time. An
        interval holds what differs from one process to the next only where there are several.
    limit : float
        Seconds after which nothing begins any more, and what is not done is left; only the first
        case is measured whatever it takes, in all processes.
    """

    baseline: str
    control: str
    budget: float
    processes: int = 1
    limit: float = math.inf


def compare(
    entries: Mapping[Case, Sequence[Participant]],
    plan: Plan,
    *,
    command: str,
    progress: Progress = lambda what, fraction: None,
    ready: Ready = lambda case, rows: None,
) -> Stored[Comparison]:
    """Judge and time implementations on cases.

    Parameters
    ----------
    entries : mapping of Case to sequence of Participant
        What to measure on, and who takes part in it.
    plan : Plan
        How.
    command : str
        What was typed, for the record.
    progress : callable
        Called with what is being done, and the fraction of it that is done.
    ready : callable
        Called with a case and its rows when they are known, or known better.

    Returns
    -------
    Stored
        A row for each case and participant, and one for the memory limit of each case.
    """
    before = machine.activity()
    threads = max(one.threads for several in entries.values() for one in several)
    with ThreadPoolExecutor(1) as aside:
        provenance = aside.submit(Provenance.now, command)
        calls = aside.submit(called, [one for several in entries.values() for one in several])
        run = Run(entries, plan, progress, ready)
        for block in range(plan.processes):
            # What an earlier block did not reach, a later one need not.
            with suppress(OutOfTimeError):
                run.start_anew(block)
    after = machine.activity()
    rows = [row for case in run.entries for row in run.rows(case)]
    found = Comparison(
        plan.baseline,
        plan.control,
        {
            "threads": threads,
            "budget": plan.budget,
            "seed": SEED,
            "processes": plan.processes,
            "seconds_for_all": run.seconds_for_all(),
        },
        run.numba,
        {
            "load": before["load"],
            "load_after": after["load"],
            "steal_seconds": after["steal_seconds"] - before["steal_seconds"],
            "others_percent": max(run.others),
        },
        calls.result(),
        rows,
        overall_resolution(rows, plan.control),
        [case for case in entries if run.taken[case] < plan.processes],
    )
    return Stored(provenance.result(), found)


class Run:
    """What has been measured so far of all cases.

    Parameters
    ----------
    entries : mapping of Case to sequence of Participant
        Who takes part, but for the memory limits and the A/A control.
    plan : Plan
        How it is measured.
    progress, ready : callable
        As for `compare`.

    Attributes
    ----------
    taken : Counter
        In how many processes each case has been measured.
    """

    def __init__(
        self,
        entries: Mapping[Case, Sequence[Participant]],
        plan: Plan,
        progress: Progress,
        ready: Ready,
    ) -> None:
        threads = max(one.threads for several in entries.values() for one in several)
        self.on_device = on_gpu(entries)
        self.entries = entered(entries, threads, plan.control, self.on_device)
        self.plan, self.progress, self.ready = plan, progress, ready
        self.numba: dict[str, Any] = {}
        self.others: list[float] = []
        self.taken: Counter[Case] = Counter()
        self._lasted: list[float] = []
        self._besides = math.inf
        self._found: dict[Case, dict[str, Row]] = {case: {} for case in entries}
        everyone = {x.label: x for several in self.entries.values() for x in several}
        self._programs = {label: one.program() for label, one in everyone.items()}
        self._absent = {
            label: Preparation("unavailable", reason)
            for label, one in everyone.items()
            if (reason := _absent(one, self._programs[label]))
        }
        self._done, self._started = 0.0, time.monotonic()

    def start_anew(self, block: int) -> None:
        """Measure everything once, in processes of its own."""
        first, *others = self.entries
        room = psutil.virtual_memory().available * _MEMORY_SHARE
        if self.plan.limit < math.inf:
            # One by one: what is left when time is up is as few cases as can be.
            room = 0.0
        # The first case by itself, so that there is something to see.
        kinds = ({case: self.entries[case] for case in some} for some in ([first], others))
        with Pool(self._programs) as pool:
            for kind in kinds:
                for group in groups(kind, room):
                    self._measure(pool, group, block)
                    _forget(pool)

    def rows(self, case: Case) -> list[Row]:
        """The rows of a case, with their statistics."""
        found = self._found[case]
        rounds = {label: row.rounds for label, row in found.items() if row.rounds}
        references = self.plan.baseline, self.plan.control
        device = {*self.on_device, DEVICE_LIMIT}
        return [
            row.timed(rounds, *references, DEVICE_LIMIT if label in device else MEMORY_LIMIT)
            if row.rounds
            else row
            for label, row in found.items()
        ]

    def seconds_for_all(self) -> float:
        """What all cases take, as far as those that were measured tell: the first starts all."""
        left = len(self.entries) * self.plan.processes - len(self._lasted)
        usual = statistics.median(self._lasted[1:] or self._lasted)
        return time.monotonic() - self._started + left * usual

    def _until(self, case: Case, block: int) -> float:
        """When the time of a block is over, but for the first case; each has its part of it."""
        if case == next(iter(self.entries)):
            return math.inf
        return self._started + (block + 1) / self.plan.processes * self.plan.limit

    def _room(self) -> float:
        """Seconds for the rounds of the next case."""
        spent, cases = time.monotonic() - self._started, len(self.entries) * self.plan.processes
        if self.plan.limit == math.inf:
            seconds = room(self.plan.budget, spent, cases, len(self._lasted))
            soon = not self._lasted and cases > self.plan.processes == 1
            return FIRST_SHARE * seconds if soon else seconds
        share = (self.plan.limit - spent) / (cases - len(self._lasted))
        return max(share - (self._besides if self._lasted else 0.0), LEAST_SECONDS)

    def _measure(self, pool: Pool, group: Sequence[Case], block: int) -> None:
        began, until = time.monotonic(), self._until(group[0], block)
        if not is_time_left(until - began, self._lasted):
            raise OutOfTimeError
        labels = {case: [one.label for one in self.entries[case]] for case in group}
        share = 0.5 / (len(self.entries) * self.plan.processes)
        with ExitStack() as memory:
            laid = {c: memory.enter_context(inputs.shared(c.arguments())) for c in group}
            part = self._part("judging", share * len(group))
            here = {case: [x for x in labels[case] if x not in self._absent] for case in group}
            prepared = prepare(pool, here, laid, part, until)
            homes = dict(pool.workers)
            self.numba = _describe(pool)
            for case in group:
                self.others.append(idle.others_percent())
                threads = {one.label: one.threads for one in self.entries[case]}
                processes = dealt(case, labels[case], self.plan.control, block)
                timing = Timing(pool, homes, case, processes, threads, laid[case], block)
                known = {x: self._absent.get(x) or prepared[case][x] for x in labels[case]}
                asked = known, self.plan.baseline, self._room()
                for row in timing.rows(*asked, self._part("timing", share), until):
                    self.add(row, block)
                self.taken[case] += 1
                took, began = time.monotonic() - began, time.monotonic()
                self._lasted.append(took)
                self._besides = min(self._besides, took - timing.lasted)
                self.ready(case, self.rows(case))

    def _part(self, what: str, extent: float) -> Callable[[float], None]:
        start, self._done = self._done, self._done + extent
        began = time.monotonic()

        def show(done: float) -> None:
            left = time_left(began, done)
            about = "" if left is None else f", about {left:.0f} s more"
            self.progress(what + about, min(1.0, start + extent * done))

        return show

    def add(self, row: Row, block: int) -> None:
        """Add what a process found to what others before it did."""
        found = self._found[row.case]
        rounds = {block * ROUNDS + number: x for number, x in row.rounds.items()}
        known = found.get(row.implementation)
        if known is None:
            found[row.implementation] = dataclasses.replace(row, rounds=rounds)
        elif known.preparation.timed:
            timed = row.preparation.timed
            found[row.implementation] = dataclasses.replace(
                known,
                preparation=known.preparation if timed else row.preparation,
                rounds=known.rounds | rounds if timed else {},
                disturbed_by=dict(Counter(known.disturbed_by) + Counter(row.disturbed_by)),
            )


def entered(
    entries: Mapping[Case, Sequence[Participant]],
    threads: int,
    control: str,
    on_device: Collection[str],
) -> dict[Case, list[Participant]]:
    """Who takes part, with the memory limits and with the A/A control once more."""
    limits = [Participant(name, name, threads) for name in (LIMITS if on_device else LIMITS[:1])]
    return {case: with_control((*limits, *several), control) for case, several in entries.items()}


def on_gpu(entries: Mapping[Case, Sequence[Participant]]) -> set[str]:
    """Labels of implementations of the package that can be timed on a GPU here."""
    several = {one for members in entries.values() for one in members}
    names = {one.implementation for one in several} & set(registry.names())
    known = {
        found.name
        for found in map(registry.get, names)
        if found.device == "cuda" and binding.unavailable(found) is None
    }
    return {one.label for one in several if one.implementation in known}


def _absent(one: Participant, program: Program) -> str:
    """Why an implementation of the package cannot be timed: it needs no process to say so."""
    if one.implementation not in registry.names() or program.python != sys.executable:
        return ""
    return binding.unavailable(registry.get(one.implementation)) or ""


def called(several: Iterable[Participant]) -> dict[str, dict[str, str]]:
    """What each implementation of the package calls, by operation, and what is known of it."""
    known = set(registry.names())
    found = {}
    for one in {one.implementation: one for one in several if one.implementation in known}.values():
        implementation = registry.get(one.implementation)
        version = _version(implementation, one)
        found[implementation.name] = {
            operation: version
            + declared.summary
            + (declared.upstream and f" Known upstream: {declared.upstream}")
            for operation, declared in implementation.operations.items()
        }
    return found


def _version(implementation: registry.Implementation, participant: Participant) -> str:
    """Name the library that is called, and its version where it is called; empty if it is none."""
    name = getattr(implementation.module, "DISTRIBUTION", "")
    asked = "import importlib.metadata, sys; print(importlib.metadata.version(sys.argv[1]))"
    command = [participant.program().python, "-c", asked, name]
    done = subprocess.run(command, capture_output=True, text=True) if name else None  # noqa: S603
    return f"{name} {done.stdout.strip()}: " if done and not done.returncode else ""


def _describe(pool: Pool) -> dict[str, Any]:
    """What Numba uses in the process of the memory limit."""
    try:
        found: dict[str, Any] = pool[MEMORY_LIMIT].do("describe")
    except WorkerError:
        pool.dismiss(MEMORY_LIMIT)
        return {"simd_bits": None, "threading_layer": None}
    return found


def _forget(pool: Pool) -> None:
    """Have all let go of what they prepared."""
    for label in list(pool.workers):
        try:
            pool[label].do("forget")
        except WorkerError:
            pool.dismiss(label)
