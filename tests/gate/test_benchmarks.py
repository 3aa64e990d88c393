"""The benchmarks of one side: what is run of them is what asv would."""

from __future__ import annotations

import sys

import pytest

from xent_numba.gate.project import Project
from xent_numba.gate.sides import Sides
from xent_numba.measurement.worker import FailedError, LostError, NotApplicableError, WarmUp
from xent_numba.results import machine

BENCHMARKS = '''
import os, sys, time

made = []


class Mutating:
    """Every call must see what setup left, as in asv."""

    def setup(self):
        self.values = [3, 2, 1]
        made.append(self)

    def time_pop(self):
        self.values.pop(), self.values.pop(), self.values.pop()

    def track_setups(self):
        return len(made)


class Cached:
    def setup_cache(self):
        return {"answer": 42}

    def track_cached(self, cache):
        return cache["answer"]


class Skipped:
    def setup(self):
        raise NotImplementedError("by its setup")

    def teardown(self):
        self.never_made.close()

    def track_skipped(self):
        return 1


def time_plain():
    print("benchmarks may print")


def track_nan():
    return float("nan")


def track_samples():
    return {"samples": [7, 7.0, 7], "number": 1}


def track_varying():
    return {"samples": [7, 8], "number": 1}


def track_no_samples():
    return {"samples": [], "number": 1}


def track_text():
    return {"other": 1}


def track_input():
    return len(sys.stdin.read()) + len(os.read(0, 100))


def track_closing():
    os.close(0)
    return 1


def track_skipped():
    raise NotImplementedError("not here")


def track_broken():
    raise ArithmeticError("no")


def track_dying():
    sys.stderr.write("I am gone")
    sys.stderr.flush()
    os._exit(3)


def track_cpus():
    return len(os.sched_getaffinity(0))


def track_threads():
    return int(os.environ["OMP_NUM_THREADS"])
'''


@pytest.fixture
def worker(tiny):
    tiny.benchmarks.write_text(BENCHMARKS)
    tiny.commit()
    project = Project(tiny.folder)
    side = project.side(
        "baseline", project.resolve("HEAD"), sys.executable, tuple(machine.affinity() or ())[-1:]
    )
    with Sides(side, side, project.benchmarks(side), timeout=20).pool() as pool:
        yield pool["baseline"]


def test_every_call_sees_what_setup_left(worker):
    worker.do("open", "all.Mutating.time_pop")
    # An empty list cannot be popped from.
    assert len(worker.turn("", WarmUp(5, True, False), samples=3, before=1.0)) == 3
    worker.do("close")
    # One for each of the calls, and for those that do not count; one more each to open.
    assert worker.do("count", "all.Mutating.track_setups") == 1 + 4 * 5 + 1


def test_values(worker):
    assert worker.do("count", "all.Cached.track_cached") == 42
    assert worker.do("count", "all.track_nan") is None
    assert worker.do("count", "all.track_samples") == 7
    assert worker.do("count", "all.track_no_samples") is None
    with pytest.raises(NotApplicableError, match="its samples differ"):
        worker.do("count", "all.track_varying")
    with pytest.raises(FailedError, match="TypeError"):
        worker.do("count", "all.track_text")
    # What it reads are not the commands, nor can it close where they come from.
    assert worker.do("count", "all.track_input") == 0
    assert worker.do("count", "all.track_closing") == 1
    worker.do("open", "all.time_plain")
    assert worker.warm_up("").batch > 1
    with pytest.raises(NotApplicableError, match="not here"):
        worker.do("count", "all.track_skipped")
    with pytest.raises(FailedError, match="ArithmeticError: no"):
        worker.do("count", "all.track_broken")
    with pytest.raises(NotApplicableError, match="by its setup"):
        worker.do("count", "all.Skipped.track_skipped")
    # It goes on.
    assert worker.do("count", "all.Cached.track_cached") == 42
    with pytest.raises(LostError, match="ended with exit code 3: I am gone"):
        worker.do("count", "all.track_dying")


@pytest.mark.skipif(machine.affinity() is None, reason="CPUs cannot be chosen here")
def test_it_is_kept_to_its_cpus_and_told_how_many(worker):
    assert worker.do("count", "all.track_cpus") == len(machine.affinity())
    worker.pin()
    assert worker.do("count", "all.track_cpus") == 1
    assert worker.do("count", "all.track_threads") == 1
