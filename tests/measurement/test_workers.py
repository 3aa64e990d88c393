"""Processes: judged before timed, and whatever happens to one of them is a row."""

from __future__ import annotations

import dataclasses
import functools
import os
import signal
import statistics
import sys
import threading
import time
import timeit

import numpy as np
import psutil
import pytest
from fake_implementations import SOURCES, write

from xent_numba.measurement import binding, comparison, idle, inputs, pool, worker
from xent_numba.measurement.case import Case
from xent_numba.measurement.comparison import Comparison, compare
from xent_numba.measurement.participant import AGAIN, MEMORY_LIMIT, Contestant
from xent_numba.measurement.pool import Crew
from xent_numba.measurement.turns import LostError
from xent_numba.measurement.worker import Worker
from xent_numba.results import machine

CASES = [Case.of("sigmoid", "gaussian", size, "float32", None, "sum") for size in (1000, 3000)]
LIMIT = Contestant(MEMORY_LIMIT, MEMORY_LIMIT, 1)
NAMES = [name for name in SOURCES if name != "fake_hanging"]


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A comparison of all fakes; what the rows say is asserted below."""
    folder = tmp_path_factory.mktemp("fakes")
    seen = []
    members = [Contestant.of(path, threads=1) for path in write(folder, *NAMES)]
    result = compare(
        dict.fromkeys(CASES, members),
        baseline="fake_right",
        twin="fake_right",
        budget=4.0,
        command="xent-numba compare",
        report=lambda what, done: seen.append((what, done)),
    )
    return result, seen


@pytest.fixture
def rows(run):
    return {(row.implementation, row.case.size): row for row in run[0].rows}


def test_every_implementation_has_a_row_for_every_case(rows):
    labels = (*NAMES, MEMORY_LIMIT, "fake_right" + AGAIN)
    assert set(rows) == {(label, case.size) for label in labels for case in CASES}


@pytest.mark.parametrize(
    ("name", "status", "reason"),
    [
        ("fake_right", "ok", ""),
        ("fake_slow", "ok", ""),
        ("fake_half", "wrong", "result[0] is 0.5 and should be"),
        ("fake_nan", "wrong", "is nan and should be"),
        ("fake_raising", "wrong", "raised OverflowError: math range error"),
        ("fake_missing", "unavailable", "no abacus was found: pip install abacus[beads]"),
        ("fake_exiting", "crashed", "its process ended with exit code 3"),
        pytest.param(
            *("fake_killed", "crashed", "its process was ended by SIGSEGV"),
            marks=pytest.mark.skipif(sys.platform == "win32", reason="no process ends by a signal"),
        ),
        ("fake_broken_file", "crashed", "ImportError: no libabacus.so"),
        ("fake_wrong_binding", "wrong", "0.0 and should be"),
        ("fake_dying_later", "crashed", "its process ended with exit code 4"),
    ],
)
@pytest.mark.parametrize("size", [case.size for case in CASES])
def test_what_a_row_says(rows, name, size, status, reason):
    row = rows[name, size]
    assert row.preparation.status == status
    assert reason in row.preparation.reason
    assert (row.seconds is not None) == (status == "ok")


@pytest.mark.parametrize("size", [case.size for case in CASES])
def test_a_right_row_is_timed(rows, size):
    row = rows["fake_right", size]
    assert 0 < row.preparation.max_ulp < 4
    assert row.seconds.low <= row.seconds.value <= row.seconds.high
    assert row.speedup == (1.0, 1.0, 1.0)
    assert row.limit_share.value > 0
    assert row.ns_per_element == pytest.approx(row.seconds.value / size * 1e9)
    assert row.gigabytes_per_second == pytest.approx(8 * size / row.seconds.value / 1e9)
    assert len(row.rounds) >= 6
    assert row.warm_up.batch > 1
    assert row.preparation.first_call_seconds > 0


def test_the_limit_is_measured_in_the_same_rounds(rows):
    for case in CASES:
        limit = rows[MEMORY_LIMIT, case.size]
        assert limit.limit_share == (1.0, 1.0, 1.0)
        assert limit.rounds.keys() & rows["fake_right", case.size].rounds.keys()


@pytest.mark.parametrize("size", [case.size for case in CASES])
def test_a_quotient_has_the_reference_above(rows, size):
    slow = rows["fake_slow", size].rounds
    for reference, quotient in (
        ("fake_right", rows["fake_slow", size].speedup),
        (MEMORY_LIMIT, rows["fake_slow", size].limit_share),
    ):
        other = rows[reference, size].rounds
        expected = statistics.median(other[r] / slow[r] for r in other.keys() & slow.keys())
        assert quotient.value == pytest.approx(expected)


def test_what_others_did_is_known_and_said(run):
    from xent_numba.reporting import tables

    result, _ = run
    for percent, said in ((0.0, False), (50.0, True)):
        activity = {**result.activity, "others_percent": percent}
        notes = tables.notes(dataclasses.replace(result, activity=activity))
        assert any("other processes used 50%" in note for note in notes) == said
    assert 0 <= result.activity["others_percent"] <= 100


def test_progress_grows_to_the_end(run):
    done = [fraction for _, fraction in run[1]]
    assert done == pytest.approx(sorted(done))
    assert done[-1] == pytest.approx(1.0)


def test_a_comparison_survives_json(run):
    text = run[0].to_json()
    assert "NaN" not in text
    assert "Infinity" not in text
    assert Comparison.from_json(text) == run[0]


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"format": 99, "rows": []}', '{"format": 1}'])
def test_other_json_is_refused(text):
    with pytest.raises(ValueError, match=r".+"):
        Comparison.from_json(text)


def test_no_process_is_left(run):
    assert not [p for p in psutil.Process().children() if "spawn_main" in " ".join(p.cmdline())]


def test_one_that_gives_no_answer_is_ended(tmp_path, monkeypatch):
    monkeypatch.setattr(pool, "PREPARE_TIMEOUT", 2.0)
    (hanging,) = write(tmp_path, "fake_hanging")
    with Crew([Contestant.of(hanging, threads=1)], abreast=2) as members:
        found = members.prepare({CASES[0]: ["fake_hanging"]})
    assert found[CASES[0]]["fake_hanging"].status == "crashed"
    assert "no answer within 2 s" in found[CASES[0]]["fake_hanging"].reason


def test_cases_that_do_not_fit_together_are_taken_in_groups(monkeypatch):
    memory = psutil.virtual_memory()
    free = dataclasses.make_dataclass("Memory", ["available"])(available=4 * 4 * 8 * 3000)
    monkeypatch.setattr(psutil, "virtual_memory", lambda: free)
    many = [
        dataclasses.replace(CASES[1], dtype="float32", size=size) for size in (1000, 2000, 9000, 10)
    ]
    four = [Contestant.of(name, threads=1) for name in ("a", "b", "c", "d")]
    groups = list(comparison._groups(dict.fromkeys(many, four)))
    assert [[case.size for case in group] for group in groups] == [[1000, 2000], [9000], [10]]
    assert memory.total


def test_threads_are_told_to_the_process_and_not_to_this_one():
    before = os.environ.get("NUMBA_NUM_THREADS")
    one = Worker(LIMIT)
    try:
        assert one.describe()["threads"] == 1
    finally:
        one.close()
    assert os.environ.get("NUMBA_NUM_THREADS") == before


@pytest.mark.skipif(sys.platform == "win32", reason="sends SIGINT")
def test_ctrl_c_does_not_reach_a_worker():
    one = Worker(LIMIT)
    try:
        one._process.join(0.5)
        os.kill(one._process.pid, signal.SIGINT)
        assert one.describe()["simd_bits"]
    finally:
        one.close()


@pytest.mark.skipif(sys.platform == "win32", reason="sends SIGINT")
def test_ctrl_c_waits_until_a_worker_is_started():
    """Another thread may be given the signal that the starting one has blocked."""
    held = []

    def start():
        with worker._interrupts_held():
            os.kill(os.getpid(), signal.SIGINT)
            time.sleep(0.1)
            held.append(True)

    ends = threading.Event()
    threading.Thread(target=ends.wait, daemon=True).start()
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with pytest.raises(KeyboardInterrupt):
            start()
        assert held
        assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
        assert not signal.pthread_sigmask(signal.SIG_BLOCK, [])
    finally:
        signal.signal(signal.SIGINT, before)
        ends.set()


def test_an_unknown_case_is_an_error_and_no_end():
    one = Worker(Contestant.of("numpy_stable", threads=1))
    try:
        with pytest.raises(LostError, match="KeyError"):
            one.turn(CASES[0])
        one.forget()
    finally:
        one.close()


@pytest.mark.parametrize("name", ["naive.py", "absent.py"])
def test_a_file_of_a_taken_name_or_none_at_all_is_refused(tmp_path, name):
    if name == "naive.py":
        (tmp_path / name).write_text("", encoding="utf-8")
    with pytest.raises(ValueError, match="accepted is a name"):
        worker.check_file(tmp_path / name)


def test_the_fingerprint_says_what_it_knows_and_invents_nothing():
    found = machine.fingerprint()
    assert found["usable_cpus"] >= 1
    assert found["memory_bytes"] > 2**20
    assert found["versions"]["numpy"]
    assert found["governor"] is None or isinstance(found["governor"], str)


def test_the_commit_is_that_of_the_checkout_the_package_is_in(monkeypatch, tmp_path):
    inside = tmp_path / "venv" / "xent_numba" / "results"
    inside.mkdir(parents=True)
    assert machine._run("git", "init", "-q", str(tmp_path)) == ""
    monkeypatch.setattr(machine, "__file__", str(inside / "machine.py"))
    assert machine.commit() == {}


@pytest.mark.parametrize("reduction", ["none", "sum", "mean"])
@pytest.mark.parametrize("operation", ["sigmoid", "logistic_loss", "logistic_loss_and_grad"])
@pytest.mark.parametrize("label_dtype", ["int8", "float32"])
def test_the_memory_limit_moves_what_the_operation_moves(operation, reduction, label_dtype):
    from xent_numba.kernels.cpu import memory_limit

    case = Case.of(operation, "gaussian", 5000, "float32", label_dtype, reduction)
    inputs = case.arguments()
    gradient = case.table_entry.gradient
    call = memory_limit.bind(inputs, case.reduction == "none", gradient)
    total = call()
    *_, losses, gradients = call.args
    expected = inputs[0] if len(inputs) == 1 else inputs[0] * inputs[1]
    if losses is not None:
        np.testing.assert_array_equal(losses, expected)
    else:
        assert total == pytest.approx(expected.sum(dtype=float), rel=1e-4, abs=1e-2)
    if gradients is not None:
        np.testing.assert_array_equal(gradients, expected)
    arrays = [a for a in (*inputs, losses, gradients) if a is not None]
    assert sum(a.nbytes for a in arrays) == case.bytes_moved


def test_a_disturbed_first_call_does_not_make_the_batch_too_small(monkeypatch):
    """On a clock of its own: 10 us a call, but 20 ms for some, as when threads have to wake."""
    now = 0.0
    calls = 0

    def call():
        nonlocal now, calls
        calls += 1
        now += 0.02 if calls in (1, 2, 30) else 1e-5

    timer = functools.partial(timeit.Timer, timer=lambda: now)
    monkeypatch.setattr(worker.timeit, "Timer", timer)
    found = worker._warm_up(call)
    assert found.batch * 1e-5 >= worker.BATCH_SECONDS
    assert not found.fresh
    assert found.settled


def test_long_calls_are_neither_repeated_nor_preceded(monkeypatch):
    now = 0.0
    calls = 0

    def call():
        nonlocal now, calls
        calls += 1
        now += 0.3

    timer = functools.partial(timeit.Timer, timer=lambda: now)
    monkeypatch.setattr(worker.timeit, "Timer", timer)
    assert worker._warm_up(call) == (1, True, True)
    assert calls == 3


@pytest.fixture
def two_workers():
    """One that may be busy, and one that rests; both started."""
    both = {name: Worker(Contestant.of(name, threads=1)) for name in ("naive", "numpy_stable")}
    for one in both.values():
        one.describe()
    yield both
    for one in both.values():
        one.close()


def test_a_worker_that_computes_is_awake_and_then_comes_to_rest(two_workers):
    clocks = {name: one.cpu_time for name, one in two_workers.items()}
    assert idle.awake(clocks) == []
    case = Case.of("sigmoid", "gaussian", 2_000_000, "float64", None, "sum")
    with inputs.shared(case.arguments()) as places:
        two_workers["naive"].start_preparing(case, places)
        # Where other programs compete for the CPUs it may have none for a moment.
        seen = {name for _ in range(200) for name in idle.awake(clocks, patience=0.0)}
        assert seen == {"naive"}
        two_workers["naive"].receive(60.0)
    assert idle.awake(clocks) == []


def test_who_was_awake_before_a_turn_is_in_the_row_and_below_the_table(monkeypatch):
    from xent_numba.reporting import tables

    monkeypatch.setattr(idle, "awake", lambda clocks: ["spinner"])
    right = Contestant.of("numpy_stable", threads=1)
    found = compare({CASES[0]: [right]}, baseline=right.label, twin="", budget=0.1, command="")
    for row in found.rows:
        assert row.disturbed_by == {"spinner": len(row.rounds)}
    assert any("spinner had not come to rest before" in note for note in tables.notes(found))
    for row in found.rows:
        row.disturbed_by.clear()
    assert not any("come to rest" in note for note in tables.notes(found))


def test_a_process_that_has_ended_rests():
    one = Worker(LIMIT)
    one.describe()
    clock = one.cpu_time
    one.close()
    assert idle.awake({"gone": clock}) == []


def test_all_workers_read_the_same_memory_and_none_can_write_to_it():
    drawn = CASES[0].arguments()
    with inputs.shared(drawn) as places:
        first, second = inputs.Attached(places), inputs.Attached(places)
        np.testing.assert_array_equal(first.arrays[0], drawn[0])
        with pytest.raises(ValueError, match="read-only"):
            first.arrays[0][0] = 1.0
        # What is written beneath one shows in the other: they are one memory.
        np.ndarray(1, first.arrays[0].dtype, first._blocks[0].buf)[:] = 42.0
        assert second.arrays[0][0] == 42.0
        held = second.arrays[0]
        first.close()
        second.close()
        assert held[0] == 42.0  # still mapped, as long as somebody holds it
        del held
        second.close()
    with pytest.raises(FileNotFoundError):
        inputs.Attached(places)


def test_a_twin_is_measured_and_its_ratio_is_the_resolution(run, rows):
    case = CASES[0]
    again = rows["fake_right" + AGAIN, case.size].rounds
    once = rows["fake_right", case.size].rounds
    expected = statistics.median(again[r] / once[r] for r in again.keys() & once.keys())
    assert run[0].resolution(case).value == pytest.approx(expected)
    assert 0.5 < run[0].overall_resolution().value < 2


def test_one_thread_is_told_to_the_one_that_asks_for_it():
    one = Worker(Contestant.of("numpy_stable@1", threads=7))
    try:
        assert one.describe()["threads"] == 1
    finally:
        one.close()
    assert Contestant.of("a@b/mine.py", 2) == ("mine", "a@b/mine.py", 2)
    assert Contestant.of("a@b/mine.py@1", 2) == ("mine@1", "a@b/mine.py", 1)


@pytest.fixture
def few_drawn(monkeypatch):
    monkeypatch.setattr("xent_numba.measurement.case.DRAWN", 1000)
    monkeypatch.setattr(binding, "DRAWN", 1000)


@pytest.mark.parametrize("size", [3000, 3500])
@pytest.mark.parametrize(
    ("operation", "reduction"),
    [
        ("sigmoid", "none"),
        ("logistic_loss", "sum"),
        ("logistic_loss", "mean"),
        ("logistic_loss", "none"),
        ("logistic_loss_and_grad", "mean"),
    ],
)
def test_a_case_too_large_to_draw_repeats_and_is_judged_by_that(
    few_drawn, operation, reduction, size
):
    from xent_numba import registry

    case = Case.of(operation, "gaussian", size, "float64", None, reduction)
    arguments = case.arguments()
    assert arguments[0].size == size
    np.testing.assert_array_equal(arguments[0][1000:2000], arguments[0][:1000])
    stable = registry.get("numpy_stable")
    call = binding.bind(stable, case, arguments)
    assert binding.judge_call(stable, case, arguments, call).ok

    def one_is_wrong():
        result = call()
        parts = list(result) if case.table_entry.gradient else [result]
        if case.reduction == "none" or case.table_entry.gradient:
            parts[-1] = np.array(parts[-1])
            parts[-1][2001] *= 1 + 1e-12
        else:
            parts[-1] *= 1 + 1e-11
        return tuple(parts) if case.table_entry.gradient else parts[0]

    verdict = binding.judge_call(stable, case, arguments, one_is_wrong)
    assert not verdict.ok
    assert verdict.reason


def test_the_processes_of_a_twin_are_dealt_anew_for_each_case():
    labels = ["limit", "twin", "twin" + AGAIN]
    straight = {label: label for label in labels}
    crossed = {"limit": "limit", "twin": "twin" + AGAIN, "twin" + AGAIN: "twin"}
    cases = [dataclasses.replace(CASES[0], size=size) for size in range(1, 101)]
    dealt = [comparison._dealt(case, labels, "twin") for case in cases]
    assert all(one in (straight, crossed) for one in dealt)
    assert 30 < dealt.count(crossed) < 70
    assert dealt == [comparison._dealt(case, labels, "twin") for case in cases]
    assert comparison._dealt(CASES[0], ["a"], "twin") == {"a": "a"}
