"""The process of one side: what it runs is what asv would."""

from __future__ import annotations

import os
import sys

import pytest

from xent_numba.gate import environments, pairs, revisions
from xent_numba.gate.environments import Project
from xent_numba.gate.pairs import Agent, FailedError, NotApplicableError
from xent_numba.measurement.turns import LostError
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


def track_hanging():
    time.sleep(60)
'''


@pytest.fixture
def agent(tiny):
    tiny.benchmarks.write_text(BENCHMARKS)
    tiny.commit()
    project = Project(tiny.folder)
    affinity = machine.affinity()
    side = project.side("baseline", "HEAD", sys.executable, tuple(affinity or ())[-1:])
    with Agent(side, project.benchmarks(side), timeout=20) as found:
        yield found


def test_every_call_sees_what_setup_left(agent):
    assert agent.do("open", "all.Mutating.time_pop")
    # An empty list cannot be popped from.
    assert len(agent.do("turn", 5, 3)) == 3
    agent.do("close")
    # One for each of the calls, and for the one that does not count; one more each to open.
    assert agent.do("count", "all.Mutating.track_setups") == 1 + 4 * 5 + 1


def test_values(agent):
    assert agent.do("count", "all.Cached.track_cached") == 42
    assert agent.do("count", "all.track_nan") is None
    agent.do("open", "all.time_plain")
    assert agent.do("warm_up") > 1
    with pytest.raises(NotApplicableError, match="not here"):
        agent.do("count", "all.track_skipped")
    with pytest.raises(FailedError, match="ArithmeticError: no"):
        agent.do("count", "all.track_broken")
    with pytest.raises(NotApplicableError, match="by its setup"):
        agent.do("count", "all.Skipped.track_skipped")
    # It goes on.
    assert agent.do("count", "all.Cached.track_cached") == 42
    with pytest.raises(LostError, match="ended with exit code 3: I am gone"):
        agent.do("count", "all.track_dying")


@pytest.mark.skipif(machine.affinity() is None, reason="CPUs cannot be chosen here")
def test_it_is_kept_to_its_cpus_and_told_how_many(agent):
    assert agent.do("count", "all.track_cpus") == len(machine.affinity())
    agent.pin()
    assert agent.do("count", "all.track_cpus") == 1
    assert agent.do("count", "all.track_threads") == 1


def test_one_that_hangs_is_ended(agent):
    agent.do("packages")
    agent._timeout = 0.2
    with pytest.raises(LostError, match=r"gave no answer within 0\.2 s"):
        agent.do("count", "all.track_hanging")


def test_a_snapshot_is_the_same_for_the_same_files(tiny):
    head = tiny.git("rev-parse", "HEAD")
    assert revisions.snapshot(tiny.folder, [".asv/env"]) == head
    (tiny.folder / "new.py").write_text("1")
    (tiny.folder / "kept").mkdir()
    (tiny.folder / "kept" / "result.json").write_text("{}")
    first = revisions.snapshot(tiny.folder, ["kept"])
    assert first != head
    (tiny.folder / "kept" / "result.json").write_text("{ }")
    assert revisions.snapshot(tiny.folder, ["kept"]) == first
    assert tiny.git("ls-tree", "--name-only", first, "new.py", "kept") == "new.py"
    (tiny.folder / "new.py").write_text("2")
    assert revisions.snapshot(tiny.folder, ["kept"]) != first
    assert tiny.git("status", "--porcelain") == "?? kept/\n?? new.py"


def test_an_export_is_whole_or_not_there(tiny, monkeypatch):
    (tiny.folder / ".gitattributes").write_text("tiny.py export-ignore\n")
    head = tiny.commit()
    git = revisions._git

    def interrupted(folder, command, *arguments, **variables):
        found = git(folder, command, *arguments, **variables)
        if command == "checkout-index":
            raise KeyboardInterrupt
        return found

    with monkeypatch.context() as patch:
        patch.setattr(revisions, "_git", interrupted)
        with pytest.raises(KeyboardInterrupt):
            revisions.export(tiny.folder, head, tiny.folder / ".asv")
    assert list((tiny.folder / ".asv").iterdir()) == []
    found = revisions.export(tiny.folder, head, tiny.folder / ".asv")
    assert (found / "tiny.py").read_text() == tiny.package.read_text()


def test_nothing_compiled_is_shared(tiny):
    project = Project(tiny.folder)
    tiny.edit("return 3", "return 4")
    folders = [
        project.side(name, revision, sys.executable).variables["NUMBA_CACHE_DIR"]
        for name, revision in (("baseline", "HEAD"), ("contender", "HEAD"), ("contender", None))
    ]
    assert len(set(folders)) == 3


def test_what_is_long_unused_is_removed(tiny, monkeypatch):
    monkeypatch.setattr(environments, "KEPT", 2)
    project = Project(tiny.folder)
    made = []
    for number in range(3):
        (tiny.folder / "change").write_text(str(number))
        commit = tiny.commit()
        made.append(project.side("baseline", commit, sys.executable).sources)
        os.utime(made[-1], (number, number))
    project.side("baseline", made[1].name, sys.executable)
    assert [path.exists() for path in made] == [False, True, True]
    project.side("baseline", made[0].name, sys.executable)
    assert [path.exists() for path in made] == [True, True, False]


def test_what_others_use_is_seen():
    before, after = pairs._Usage(10.0, 4.0, 0.0), pairs._Usage(14.0, 5.0, 10.0)
    assert pairs._others(before, after) == pytest.approx(3.0 / 10 / (pairs.psutil.cpu_count()))
