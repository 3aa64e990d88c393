"""Comparisons: judged before timed, and whatever happens to a process is a row."""

from __future__ import annotations

import dataclasses
import re
import statistics
import sys
import time

import psutil
import pytest
from fake_implementations import SOURCES, write

from xent_numba.measurement import compare as comparing
from xent_numba.measurement import idle
from xent_numba.measurement.case import Case
from xent_numba.measurement.compare import Plan, compare, prepare
from xent_numba.measurement.comparison import Row
from xent_numba.measurement.inputs import shared
from xent_numba.measurement.participant import (
    AGAIN,
    DEVICE_LIMIT,
    MEMORY_LIMIT,
    Participant,
    Preparation,
)
from xent_numba.measurement.pool import Pool
from xent_numba.measurement.turns import OutOfTimeError

CASES = [Case.of("sigmoid", "gaussian", size, "float32", None, "sum") for size in (1000, 3000)]
NAMES = [name for name in SOURCES if name != "fake_hanging"]


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A comparison of all fakes; what the rows say is asserted below."""
    folder = tmp_path_factory.mktemp("fakes")
    seen = []
    members = [Participant.of(path, threads=1) for path in write(folder, *NAMES)]
    result = compare(
        dict.fromkeys(CASES, members),
        Plan("fake_right", "fake_right", 4.0),
        command="xent-numba compare",
        progress=lambda what, done: seen.append((what, done)),
    )
    return result.content, seen


@pytest.fixture
def rows(run):
    return {(row.implementation, row.case.size): row for row in run[0].rows}


def test_a_budget_ends_the_run_and_what_it_did_not_reach_is_named(tmp_path):
    """The second case would take minutes to judge; the budget is gone in the middle of it."""
    from xent_numba.reporting import tables

    source = SOURCES["fake_slow"].replace("0.003", "60 * (call.first.size > 1000)")
    (tmp_path / "fake_endless.py").write_text(source)
    endless = Participant.of(str(tmp_path / "fake_endless.py"), threads=1)
    plan = Plan(endless.label, "", 6.0, limit=6.0)
    ready, started = [], time.monotonic()
    found = compare(
        dict.fromkeys(CASES, (endless,)),
        plan,
        command="",
        ready=lambda case, rows: ready.append(time.monotonic() - started),
    ).content
    assert time.monotonic() - started < max(plan.limit, *ready) + 5
    assert {row.case for row in found.rows} == {CASES[0]}
    assert all(row.preparation.timed and len(row.rounds) >= 6 for row in found.rows)
    assert found.unreached == [CASES[1]]
    (said,) = (note for note in tables.notes(found) if "not reached" in note)
    assert "within the budget of 6 s: sigmoid float32, 3,000 samples of gaussian." in said


def test_without_a_limit_everything_is_measured_however_small_the_budget():
    right = Participant.of("numpy_stable", threads=1)
    found = compare(dict.fromkeys(CASES, (right,)), Plan(right.label, "", 0.01), command="")
    assert not found.content.unreached
    assert {row.case for row in found.content.rows} == {*CASES}


@pytest.mark.slow
def test_what_judging_will_take_is_said(run):
    said = {what for what, _ in run[1]}
    assert any(re.fullmatch(r"judging, about \d+ s more", what) for what in said)


@pytest.mark.slow
def test_every_implementation_has_a_row_for_every_case(rows):
    labels = (*NAMES, MEMORY_LIMIT, "fake_right" + AGAIN)
    assert set(rows) == {(label, case.size) for label in labels for case in CASES}


@pytest.mark.parametrize(
    ("name", "status", "reason"),
    [
        ("fake_right", "ok", ""),
        ("fake_slow", "ok", ""),
        ("fake_elsewhere", "ok", ""),
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


def test_a_device_is_timed_by_its_own_clock_and_its_result_is_fetched(rows):
    for case in CASES:
        row = rows["fake_elsewhere", case.size]
        assert row.seconds == (1 / 8, 1 / 8, 1 / 8)
        assert len(row.rounds) >= 6


def test_each_device_has_a_share_of_its_own_memory(monkeypatch):
    """A copy on the GPU that takes 2 s, and a pass over the memory of the host that takes 8 s."""
    seconds = {MEMORY_LIMIT: 8.0, DEVICE_LIMIT: 2.0, "numba_cuda": 4.0, "numba_parallel": 16.0}
    members = [Participant(name, name, 1) for name in ("numba_cuda", "numba_parallel")]
    alone = comparing.entered({CASES[0]: members[1:]}, 1, "", [])[CASES[0]]
    assert [one.label for one in alone] == [MEMORY_LIMIT, "numba_parallel"]
    monkeypatch.setattr(comparing, "on_gpu", lambda entries: {"numba_cuda"})
    plan = Plan("numba_parallel", "", 1.0)
    run = comparing.Run({CASES[0]: members}, plan, lambda *told: None, lambda *told: None)
    assert {one.label for one in run.entries[CASES[0]]} == set(seconds)
    for label, value in seconds.items():
        row = Row(CASES[0], label, Preparation("ok"), rounds=dict.fromkeys(range(6), value))
        run.add(row, block=0)
    shares = {row.implementation: row.limit_share.value for row in run.rows(CASES[0])}
    assert shares == {
        MEMORY_LIMIT: 1.0, DEVICE_LIMIT: 1.0, "numba_cuda": 0.5, "numba_parallel": 0.5
    }  # fmt: skip


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


def test_no_process_is_left(run):
    assert not [p for p in psutil.Process().children() if "process.py" in " ".join(p.cmdline())]


def test_one_that_gives_no_answer_is_ended(tmp_path):
    (hanging,) = write(tmp_path, "fake_hanging")
    program = Participant.of(hanging, threads=1).program(timeout=2.0)
    with Pool({"fake_hanging": program}) as pool, shared(CASES[0].arguments()) as laid:
        found = prepare(pool, {CASES[0]: ["fake_hanging"]}, {CASES[0]: laid})
    assert found[CASES[0]]["fake_hanging"].status == "crashed"
    assert "no answer within 2 s" in found[CASES[0]]["fake_hanging"].reason


def test_when_the_time_is_spent_whoever_is_judged_is_ended(tmp_path):
    (hanging,) = write(tmp_path, "fake_hanging")
    program = Participant.of(hanging, threads=1).program(timeout=60.0)
    started = time.monotonic()
    with Pool({"fake_hanging": program}) as pool, shared(CASES[0].arguments()) as laid:
        with pytest.raises(OutOfTimeError):
            prepare(
                pool, {CASES[0]: ["fake_hanging"]}, {CASES[0]: laid}, until=time.monotonic() + 1
            )
        assert time.monotonic() - started < 30


def test_who_was_awake_before_a_turn_is_in_the_row_and_below_the_table(monkeypatch):
    from xent_numba.reporting import tables

    monkeypatch.setattr(idle, "awake", lambda clocks: ["spinner"])
    right = Participant.of("numpy_stable", threads=1)
    found = compare({CASES[0]: [right]}, Plan(right.label, "", 0.1), command="")
    found = found.content
    for row in found.rows:
        assert row.disturbed_by == {"spinner": len(row.rounds)}
    assert any("spinner had not come to rest before" in note for note in tables.notes(found))
    for row in found.rows:
        row.disturbed_by.clear()
    assert not any("come to rest" in note for note in tables.notes(found))


def test_the_control_is_measured_twice_and_its_ratio_is_the_resolution(run, rows):
    case = CASES[0]
    again = rows["fake_right" + AGAIN, case.size].rounds
    once = rows["fake_right", case.size].rounds
    expected = statistics.median(again[r] / once[r] for r in again.keys() & once.keys())
    assert run[0].resolution(case).value == pytest.approx(expected)
    assert 0.5 < run[0].overall.value < 2


@pytest.mark.parametrize("stage", ["judging", pytest.param("timing", marks=pytest.mark.slow)])
def test_the_memory_limit_may_die_and_is_replaced(tmp_path, stage):
    """Killed after the last judgement or at the first turn, it costs the row it was at."""
    from xent_numba.reporting import tables

    died = []

    def kill(what, done):
        if died or not what.startswith(stage) or (stage == "judging" and done < 0.5):
            return
        died.extend(p for p in psutil.Process().children() if MEMORY_LIMIT in p.cmdline())
        for process in died:
            process.kill()

    (right,) = (Participant.of(path, threads=1) for path in write(tmp_path, "fake_right"))
    found = compare(
        dict.fromkeys(CASES, (right,)),
        Plan("fake_right", "", 1.0),
        command="xent-numba compare",
        progress=kill,
    )
    assert len(died) == 1
    first, second = (dict(_by_label(rows)) for _, rows in found.content.cases())
    if stage == "timing":
        assert first[MEMORY_LIMIT].preparation.status == "crashed"
        assert "its process was ended by SIGKILL" in first[MEMORY_LIMIT].preparation.reason
        assert "ended by SIGKILL" in tables.markdown(found)
        assert first["fake_right"].limit_share is None
    else:
        assert first[MEMORY_LIMIT].preparation.status == "ok"
    assert first["fake_right"].seconds.value > 0
    assert second[MEMORY_LIMIT].preparation.status == "ok"
    assert second["fake_right"].limit_share.value > 0


@pytest.mark.slow
def test_whoever_dies_on_one_case_goes_on_with_the_next(tmp_path):
    source = SOURCES["fake_dying_later"].replace("> 0.5", "> 0.5 and inputs[0].size == 1000")
    (tmp_path / "fake_dying_once.py").write_text(source)
    paths = [str(tmp_path / "fake_dying_once.py"), *write(tmp_path, "fake_right")]
    dying, right = (Participant.of(path, threads=1) for path in paths)
    found = compare(
        dict.fromkeys(CASES, (dying, right)),
        Plan("fake_right", "", 1.0),
        command="xent-numba compare",
    )
    first, second = (dict(_by_label(rows)) for _, rows in found.content.cases())
    assert first["fake_dying_once"].preparation.status == "crashed"
    assert "its process ended with exit code 4" in first["fake_dying_once"].preparation.reason
    assert second["fake_dying_once"].preparation.status == "ok"
    assert second["fake_dying_once"].seconds.value > 0


def _by_label(rows):
    return ((row.implementation, row) for row in rows)
