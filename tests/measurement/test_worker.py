"""A worker answers, fails, or is lost, and says which; its process needs the library alone."""

from __future__ import annotations

import os
import sys
import threading
from pathlib import Path

import psutil
import pytest

from xent_numba.measurement import idle
from xent_numba.measurement.participant import Participant, check_file
from xent_numba.measurement.pool import Pool
from xent_numba.measurement.worker import (
    FailedError,
    LostError,
    NotApplicableError,
    Program,
    Worker,
)
from xent_numba.results.machine import THREAD_VARIABLES

COMMANDS = """
import os, sys, time

class Commands:
    def __init__(self, *arguments):
        self.arguments = arguments
    def told(self):
        return self.arguments
    def loaded(self):
        return [name for name in sys.modules if name.startswith(("xent_numba", "numpy"))]
    def read(self):
        print("what is timed may print")
        return input() if sys.stdin.read() else "nothing to read"
    def fail(self):
        raise ArithmeticError("no")
    def skip(self):
        raise NotImplementedError("not here")
    def leave(self, code, words):
        sys.stderr.write(words)
        sys.stderr.flush()
        os._exit(code)
    def hang(self):
        time.sleep(1000)
    def spin(self, seconds):
        until = time.perf_counter() + seconds
        while time.perf_counter() < until:
            pass
    def variables(self, *names):
        return [os.environ.get(name) for name in names]
    def session(self):
        return os.getsid(0)
    def where(self):
        return os.getcwd()
    def cpus(self):
        return len(os.sched_getaffinity(0))
    def sampler(self, key):
        def sample(number):
            made.append(number)
            return number * key
        return sample, {"goal": 1.0}
    def made(self):
        return made
made = []
"""


@pytest.fixture
def program(tmp_path):
    (tmp_path / "commands.py").write_text(COMMANDS, encoding="utf-8")
    return Program(tmp_path / "commands.py", ("a", "b"), sys.executable)


@pytest.fixture
def worker(program):
    with Worker(program) as one:
        yield one


def test_it_answers_and_goes_on_after_an_error(worker):
    assert worker.do("told") == ["a", "b"]
    with pytest.raises(FailedError, match="ArithmeticError: no"):
        worker.do("fail")
    with pytest.raises(NotApplicableError, match="not here"):
        worker.do("skip")
    with pytest.raises(FailedError, match="AttributeError"):
        worker.do("absent")
    assert worker.do("told") == ["a", "b"]


def test_nothing_but_the_standard_library_is_loaded(worker):
    assert worker.do("loaded") == []


def test_what_is_timed_can_neither_read_commands_nor_write_answers(worker):
    assert worker.do("read") == "nothing to read"
    assert worker.do("told") == ["a", "b"]


def test_one_that_ends_is_lost_with_its_last_words(worker):
    with pytest.raises(LostError, match=r"ended with exit code 3: I am gone$"):
        worker.do("leave", 3, "so\nI am gone\n")
    with pytest.raises(LostError, match="ended with exit code 3"):
        worker.do("told")


def test_one_that_gives_no_answer_is_ended(worker):
    worker.timeout = 0.2
    with pytest.raises(LostError, match=r"gave no answer within 0\.2 s"):
        worker.do("hang")


def test_no_process_is_left(program):
    with Worker(program) as one:
        one.start("hang")
        (child,) = [p for p in psutil.Process().children() if "commands.py" in str(p.cmdline())]
    assert not child.is_running()


@pytest.mark.skipif(sys.platform == "win32", reason="has no sessions")
def test_ctrl_c_does_not_reach_a_worker(worker):
    assert worker.do("session") != os.getsid(0)


def test_a_turn_has_its_samples_after_calls_that_do_not_count(worker):
    plan = worker.warm_up(0.3)
    assert (plan.batch, plan.settled, plan.fresh) == (4, True, True)
    assert worker.turn(0.3, plan._replace(fresh=False), samples=3) == pytest.approx([0.3] * 3)
    assert worker.do("made")[-4:] == [2, 4, 4, 4]
    worker.turn(0.3, plan)
    assert worker.do("made")[-2:] == [4, 4]


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="CPUs cannot be chosen here")
def test_it_is_kept_to_its_cpus(program):
    one = Program(program.commands, (), sys.executable, cpus=tuple(os.sched_getaffinity(0))[:1])
    with Worker(one) as pinned:
        assert pinned.do("cpus") == len(os.sched_getaffinity(0))
        pinned.pin()
        assert pinned.do("cpus") == 1


def test_it_has_a_folder_and_an_environment_of_its_own(program, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", "theirs")
    aside = Program(program.commands, (), sys.executable, {"MINE": "1"}, aside=True)
    with Worker(program) as here, Worker(aside, padding=3) as there:
        assert here.do("where") == str(Path.cwd())
        assert there.do("where") != str(Path.cwd())
        assert here.do("variables", "PYTHONPATH", "MINE", "PADDING") == [None, None, ""]
        assert there.do("variables", "PYTHONPATH", "MINE", "PADDING") == [None, "1", "..."]


def test_one_that_computes_is_awake_and_then_comes_to_rest(program):
    with Pool({"one": program, "two": program}) as pool:
        assert [pool[name].do("told") for name in ("one", "two")] == [["a", "b"]] * 2
        clocks = {name: worker.cpu_time for name, worker in pool.workers.items()}
        assert idle.awake(clocks) == []
        pool["one"].start("spin", 1.0)
        # Where other programs compete for the CPUs it may have none for a moment.
        seen = {name for _ in range(200) for name in idle.awake(clocks, patience=0.0)}
        assert seen == {"one"}
        pool["one"].receive()
        assert idle.awake(clocks) == []
    assert idle.awake({"gone": clocks["one"]}) == []


def test_an_interruption_while_the_alarm_starts_leaves_no_thread_to_wait_for(worker, monkeypatch):
    class Timer(threading.Timer):
        def start(self):
            super().start()
            raise KeyboardInterrupt

    before = {*threading.enumerate()}
    monkeypatch.setattr(threading, "Timer", Timer)
    worker.start("hang")
    with pytest.raises(KeyboardInterrupt):
        worker.receive()
    started = {*threading.enumerate()} - before
    for thread in started:
        assert thread.daemon
        thread.join(10.0)
        assert not thread.is_alive()


def test_a_closed_pool_starts_no_worker(program):
    with Pool({"one": program}) as pool:
        pool["one"].do("told")
    with pytest.raises(RuntimeError, match="closed"):
        pool["one"]


@pytest.mark.parametrize("text", ["numpy_stable@1", "numpy_stable"])
def test_the_threads_a_participant_asks_for_are_told_to_every_library(text):
    variables = Participant.of(text, threads=7).program().variables
    told = {variables[name] for name in THREAD_VARIABLES}
    assert told == {"1" if "@" in text else "7"}


def test_a_participant_is_read_from_what_was_typed():
    assert Participant.of("a@b/mine.py", 2) == ("mine", "a@b/mine.py", 2)
    assert Participant.of("a@b/mine.py@1", 2) == ("mine@1", "a@b/mine.py", 1)


@pytest.mark.parametrize("name", ["naive.py", "absent.py"])
def test_a_file_of_a_taken_name_or_none_at_all_is_refused(tmp_path, name):
    if name == "naive.py":
        (tmp_path / name).write_text("", encoding="utf-8")
    with pytest.raises(ValueError, match="accepted is a name"):
        check_file(tmp_path / name)
