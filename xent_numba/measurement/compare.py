"""All implementations on all cases, judged side by side and then timed in rounds."""

from __future__ import annotations

import dataclasses
import functools
import threading
import time
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from typing import Any

import psutil

from xent_numba import registry
from xent_numba.measurement import binding, idle, inputs, turns
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
from xent_numba.measurement.schedule import SEED, dealt, groups, with_control
from xent_numba.measurement.worker import WarmUp, Worker, WorkerError
from xent_numba.results import machine
from xent_numba.results.provenance import Provenance
from xent_numba.results.store import Stored

Progress = Callable[[str, float], None]

_MEMORY_SHARE = 0.25
"""Of the memory that is free, what the prepared inputs and outputs of all workers may take."""

TIMED_SHARE = 0.5
"""Of a budget, what rounds have even where judging takes longer than the rest."""


FORESEEN_FROM = 0.05
"""Fraction that is done of something, from which on it is said what the rest will take."""


def compare(
    entries: Mapping[Case, Sequence[Participant]],
    *,
    baseline: str,
    control: str,
    budget: float,
    command: str,
    progress: Progress = lambda what, fraction: None,
) -> Stored[Comparison]:
    """Judge and time implementations on cases.

    Parameters
    ----------
    entries : mapping of Case to sequence of Participant
        What to measure on, and who takes part in it.
    baseline : str
        Label of the one that a speed-up divides by.
    control : str
        Label of the one that is entered twice; empty for none.
    budget : float
        Seconds for all: rounds have what judging leaves of it, and `TIMED_SHARE` of it at least.
    command : str
        What was typed, for the record.
    progress : callable
        Called with what is being done, and the fraction of it that is done.

    Returns
    -------
    Stored
        A row for each case and participant, and one for the memory limit of each case.
    """
    before = machine.activity()
    threads = max(one.threads for several in entries.values() for one in several)
    on_device = _on_gpu(entries)
    full = _entered(entries, threads, control, on_device)
    programs = {one.label: one.program() for several in full.values() for one in several}
    rows: list[Row] = []
    others: list[float] = []
    started = time.monotonic()
    with ThreadPoolExecutor(1) as aside, Pool(programs) as pool:
        provenance = aside.submit(Provenance.now, command)
        for group in groups(full, psutil.virtual_memory().available * _MEMORY_SHARE):
            share = len(group) / len(full)
            base = len({row.case for row in rows}) / len(full)
            labels = {case: [one.label for one in full[case]] for case in group}
            prepared = prepare(pool, labels, _part(progress, "judging", base, share / 2))
            homes = dict(pool.workers)
            numba = _describe(pool)
            for index, case in enumerate(group):
                others.append(idle.others_percent())
                start = base + (share + index / len(full)) / 2
                timing = _Timing(pool, homes, case, dealt(case, labels[case], control), on_device)
                rows += timing.rows(
                    prepared[case],
                    (baseline, control),
                    room(budget, time.monotonic() - started, len(full), len(others) - 1),
                    _part(progress, "timing", start, 0.5 / len(full)),
                )
            _forget(pool)
    after = machine.activity()
    found = Comparison(
        baseline,
        control,
        {"threads": threads, "budget": budget, "seed": SEED},
        numba,
        {
            "load": before["load"],
            "load_after": after["load"],
            "steal_seconds": after["steal_seconds"] - before["steal_seconds"],
            "others_percent": max(others),
        },
        _calls(one.implementation for several in entries.values() for one in several),
        rows,
        overall_resolution(rows, control),
    )
    return Stored(provenance.result(), found)


def room(budget: float, spent: float, cases: int, done: int) -> float:
    """Seconds for the rounds of the next case.

    Parameters
    ----------
    budget, spent : float
        Seconds, of the whole run.
    cases, done : int
        How many there are, and how many have been timed.
    """
    left = cases - done
    return max((budget - spent) / left, TIMED_SHARE * budget / cases)


def _entered(
    entries: Mapping[Case, Sequence[Participant]],
    threads: int,
    control: str,
    on_device: Collection[str],
) -> dict[Case, list[Participant]]:
    """Who takes part, with the memory limits and with the A/A control once more."""
    limits = [Participant(name, name, threads) for name in (LIMITS if on_device else LIMITS[:1])]
    return {case: with_control((*limits, *several), control) for case, several in entries.items()}


def _on_gpu(entries: Mapping[Case, Sequence[Participant]]) -> set[str]:
    """Labels of implementations of the package that can be timed on a GPU here."""
    several = {one for members in entries.values() for one in members}
    names = {one.implementation for one in several} & set(registry.names())
    known = {
        found.name
        for found in map(registry.get, names)
        if found.device == "cuda" and binding.unavailable(found) is None
    }
    return {one.label for one in several if one.implementation in known}


def prepare(
    pool: Pool,
    entries: Mapping[Case, Sequence[str]],
    progress: Callable[[float], None] = lambda fraction: None,
) -> dict[Case, dict[str, Preparation]]:
    """Judge participants on cases, as many side by side as there are CPUs.

    Parameters
    ----------
    pool : Pool
        Their workers.
    entries : mapping of Case to sequence of str
        For each case, the labels of those that are judged on it.
    progress : callable
        Called with the fraction that is done.

    Returns
    -------
    dict of Case to dict of str to Preparation
        For each case, by label. A participant whose process is lost goes on with the next case in
        a process of its own.
    """
    labels = dict.fromkeys(label for several in entries.values() for label in several)
    total = sum(map(len, entries.values()))
    done = 0
    lock = threading.Lock()

    def count() -> None:
        nonlocal done
        with lock:
            done += 1
            progress(min(1.0, done / total))

    with ExitStack() as memory, ThreadPoolExecutor(machine.usable_cpus()) as executor:
        places = {case: memory.enter_context(inputs.shared(case.arguments())) for case in entries}
        futures = {
            label: executor.submit(
                _prepare, pool, label, {c: places[c] for c in entries if label in entries[c]}, count
            )
            for label in labels
        }
        try:
            found = {label: future.result() for label, future in futures.items()}
        except BaseException:
            # Who still prepares is ended, and nobody begins.
            executor.shutdown(wait=False, cancel_futures=True)
            pool.close()
            raise
    return {case: {label: found[label][case] for label in entries[case]} for case in entries}


def _prepare(
    pool: Pool, label: str, places: Mapping[Case, Sequence[inputs.Place]], count: Callable[[], None]
) -> dict[Case, Preparation]:
    """Judge one participant on cases."""
    found: dict[Case, Preparation] = {}
    todo = list(places)
    while todo:
        case = todo.pop(0)
        try:
            answer = pool[label].do("prepare", dataclasses.asdict(case), places[case])
            found[case] = Preparation(**answer)
        except WorkerError as reason:
            pool.dismiss(label)
            found[case] = Preparation("crashed", str(reason))
            # What the process had prepared is gone with it.
            todo += [c for c, preparation in found.items() if preparation.timed and c not in todo]
        count()
    return found


def _calls(names: Iterable[str]) -> dict[str, dict[str, str]]:
    """What each implementation of the package calls, by operation."""
    known = set(registry.names())
    return {
        name: {o: declared.summary for o, declared in registry.get(name).operations.items()}
        for name in dict.fromkeys(names)
        if name in known
    }


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


def _part(progress: Progress, what: str, start: float, extent: float) -> Callable[[float], None]:
    began = time.monotonic()

    def show(done: float) -> None:
        left = (time.monotonic() - began) * (1 / max(done, 1e-9) - 1)
        about = f", about {left:.0f} s more" if done > FORESEEN_FROM else ""
        progress(what + about, start + extent * done)

    return show


class _Timing:
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
    on_device : collection of str
        Labels of those whose memory is that of a GPU.
    """

    def __init__(
        self,
        pool: Pool,
        homes: Mapping[str, Worker],
        case: Case,
        processes: Mapping[str, str],
        on_device: Collection[str],
    ) -> None:
        self.pool, self.homes, self.case, self.processes = pool, homes, case, processes
        self.on_device = {*on_device, DEVICE_LIMIT}
        self.key = dataclasses.asdict(case)

    def rows(
        self,
        prepared: Mapping[str, Preparation],
        references: tuple[str, str],
        budget: float,
        progress: Callable[[float], None],
    ) -> list[Row]:
        """Time those that agreed, and make the rows of the case.

        Parameters
        ----------
        prepared : mapping of str to Preparation
            By label, whether it agreed.
        references : tuple of str
            Labels of the baseline and of the A/A control.
        budget : float
            Seconds.
        progress : callable
            Called with the fraction of the budget that is spent.
        """
        self.pool.disturbed.clear()
        prepared = self._replaced(prepared)
        plans, lost = self._warm_up(prepared)
        series = turns.rounds(
            {label: functools.partial(self._turn, label, plan) for label, plan in plans.items()},
            references=[label for label in (*LIMITS, references[0]) if label in plans],
            budget=budget,
            seed=SEED,
            progress=progress,
        )
        lost |= {label: one.lost for label, one in series.items() if one.lost}
        for label, reason in lost.items():
            self.pool.dismiss(self.processes[label])
            crashed = dataclasses.replace(prepared[label], status="crashed", reason=reason)
            prepared[label] = crashed
        found = {label: Row(self.case, label, prepared[label]) for label in prepared}
        rounds = {label: one.seconds for label, one in series.items() if not one.lost}
        for label in rounds:
            disturbed = dict(self.pool.disturbed[self.processes[label]])
            row = dataclasses.replace(found[label], warm_up=plans[label], disturbed_by=disturbed)
            limit = DEVICE_LIMIT if label in self.on_device else MEMORY_LIMIT
            found[label] = row.timed(rounds, *references, limit)
        return list(found.values())

    def _replaced(self, prepared: Mapping[str, Preparation]) -> dict[str, Preparation]:
        """Have the case prepared anew by processes in the place of those lost before."""
        gone = {
            process: label
            for label, process in self.processes.items()
            if prepared[label].timed and self.pool.workers.get(process) is not self.homes[process]
        }
        anew = prepare(self.pool, {self.case: list(gone)})[self.case] if gone else {}
        return {**prepared, **{gone[process]: one for process, one in anew.items()}}

    def _warm_up(
        self, prepared: Mapping[str, Preparation]
    ) -> tuple[dict[str, WarmUp], dict[str, str]]:
        """How each that agreed takes a turn, and why some cannot."""
        plans, lost = {}, {}
        for label in (label for label in prepared if prepared[label].timed):
            try:
                plans[label] = self.pool[self.processes[label]].warm_up(self.key)
            except WorkerError as reason:
                lost[label] = str(reason)
        return plans, lost

    def _turn(self, label: str, plan: WarmUp) -> float:
        return self.pool.turn(self.processes[label], self.key, plan)[0]
