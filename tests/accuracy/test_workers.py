"""A process that dies costs what it was at, is said, and is replaced."""

from __future__ import annotations

import os
import signal
import sys
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest

from xent_numba.accuracy.workers import Workers, WorkersLostError


def square(number):
    return number * number


def die_once(number, folder):
    """Kill this process at the number 2, the first time."""
    mark = Path(folder) / "died"
    if number == 2 and not mark.exists():
        mark.touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return square(number)


def die_always(number):
    if number == 2:
        os.kill(os.getpid(), signal.SIGKILL)
    return square(number)


def threads(_):
    return os.environ["NUMBA_NUM_THREADS"]


def exhaust(number):
    """Ask for more memory than this process may have."""
    import resource

    resource.setrlimit(resource.RLIMIT_AS, (4 << 30, resource.RLIM_INFINITY))
    return np.empty(number << 30).size


def test_only_the_workers_are_told_to_take_one_thread(monkeypatch):
    """Numba reads the variable whenever it compiles, and a caller has started its threads."""
    monkeypatch.setenv("NUMBA_NUM_THREADS", "2")
    with closing(Workers(1)) as workers:
        for _, found in workers.results(threads, [(0,), (1,)]):
            assert (found, os.environ["NUMBA_NUM_THREADS"]) == ("1", "2")


def test_a_dead_worker_is_replaced(tmp_path):
    tasks = [(number, str(tmp_path)) for number in range(5)]
    with (
        closing(Workers(1)) as workers,
        pytest.warns(RuntimeWarning, match="worker process died; it is"),
    ):
        found = dict(workers.results(die_once, tasks))
    assert found == {number: number * number for number in range(5)}


def test_work_that_kills_its_workers_is_given_up():
    found = {}
    with (
        closing(Workers(1)) as workers,
        pytest.warns(RuntimeWarning, match="worker process died"),
        pytest.raises(WorkersLostError, match=r"3 times in a row with \d parts of the work left"),
    ):
        found.update(workers.results(die_always, [(number,) for number in (0, 1, 2)]))


@pytest.mark.skipif(sys.platform != "linux", reason="limits the memory of a process")
def test_work_without_memory_is_an_error_and_no_dead_pool():
    with closing(Workers(1)) as workers:
        with pytest.raises(MemoryError, match=r"Unable to allocate 8\.00 GiB"):
            list(workers.results(exhaust, [(1,)]))
        assert list(workers.results(square, [(3,)])) == [(0, 9)]
