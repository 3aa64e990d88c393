"""Judging who takes part, side by side, before anything is timed."""

from __future__ import annotations

import dataclasses
import math
import threading
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from concurrent.futures import FIRST_EXCEPTION, Future, ThreadPoolExecutor, wait
from typing import Any

from xent_numba.measurement import inputs
from xent_numba.measurement.case import Case
from xent_numba.measurement.participant import Preparation
from xent_numba.measurement.pool import Pool
from xent_numba.measurement.turns import OutOfTimeError
from xent_numba.measurement.worker import WorkerError
from xent_numba.results import machine


def prepare(
    pool: Pool,
    entries: Mapping[Case, Sequence[str]],
    laid: Mapping[Case, inputs.Laid],
    progress: Callable[[float], None] = lambda fraction: None,
    until: float = math.inf,
) -> dict[Case, dict[str, Preparation]]:
    """Judge participants on cases, as many side by side as there are CPUs.

    Parameters
    ----------
    pool : Pool
        Their workers.
    entries : mapping of Case to sequence of str
        For each case, the labels of those that are judged on it.
    laid : mapping of Case to Laid
        Its inputs.
    progress : callable
        Called with the fraction that is done.
    until : float
        What the monotonic clock says when the time is spent: all processes are ended then.

    Returns
    -------
    dict of Case to dict of str to Preparation
        For each case, by label. A participant whose process is lost goes on with the next case in
        a process of its own.

    Raises
    ------
    OutOfTimeError
        If the time is spent before all are judged.
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

    with ThreadPoolExecutor(machine.usable_cpus()) as executor:
        futures = {}
        try:
            for label in labels:
                places = {case: laid[case].places for case in entries if label in entries[case]}
                futures[label] = executor.submit(_prepare, pool, label, places, count)
            _wait(futures.values(), until)
            found = {label: future.result() for label, future in futures.items()}
        except BaseException:
            # Who still prepares is ended, and nobody begins.
            executor.shutdown(wait=False, cancel_futures=True)
            pool.close()
            raise
    return {case: {label: found[label][case] for label in entries[case]} for case in entries}


def _wait(futures: Collection[Future[Any]], until: float) -> None:
    """Wait until all are done, or one has failed; no longer than there is time."""
    left = None if until == math.inf else max(0.0, until - time.monotonic())
    wait(futures, left, FIRST_EXCEPTION)
    if time.monotonic() >= until and not all(one.done() for one in futures):
        raise OutOfTimeError


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
