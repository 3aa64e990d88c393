"""Who is prepared together, how long a case has, and which process has which name."""

from __future__ import annotations

import dataclasses
import functools
import itertools
from collections import Counter
from pathlib import Path

import pytest

from xent_numba.measurement import suite
from xent_numba.measurement.case import Case
from xent_numba.measurement.participant import AGAIN, Participant
from xent_numba.measurement.schedule import dealt, groups, is_time_left, room, seed_of
from xent_numba.measurement.turns import MIN_ROUNDS, rounds

CASE = Case.of("sigmoid", "gaussian", 3000, "float32", None, "sum")


def test_cases_that_do_not_fit_together_are_taken_in_groups():
    many = [
        dataclasses.replace(CASE, dtype="float32", size=size) for size in (1000, 2000, 9000, 10)
    ]
    four = [Participant.of(name, threads=1) for name in ("a", "b", "c", "d")]
    found = list(groups(dict.fromkeys(many, four), room=4 * 8 * 3000))
    assert [[case.size for case in group] for group in found] == [[1000, 2000], [9000], [10]]


def test_the_processes_of_the_control_are_dealt_anew_for_each_case():
    labels = ["limit", "control", "control" + AGAIN]
    straight = {label: label for label in labels}
    crossed = {"limit": "limit", "control": "control" + AGAIN, "control" + AGAIN: "control"}
    cases = [dataclasses.replace(CASE, size=size) for size in range(1, 101)]
    found = [dealt(case, labels, "control") for case in cases]
    assert all(one in (straight, crossed) for one in found)
    assert 30 < found.count(crossed) < 70
    assert found == [dealt(case, labels, "control") for case in cases]
    assert dealt(CASE, ["a"], "control") == {"a": "a"}


def test_the_control_has_as_many_cases_as_the_page_says():
    """A sigmoid has no losses to reduce, so that two of its cases are one."""
    cases = suite.CONTROL.enter([suite.SUBJECT], 2)
    assert len(cases) >= 300
    page = (Path(__file__).parents[2] / "docs" / "compare.md").read_text()
    assert f"on {len(cases)} cases" in page


@pytest.mark.parametrize(
    ("spent", "done", "seconds"),
    [
        (0, 0, 10),  # nothing yet: a quarter of all
        (20, 0, 5),  # judging took half
        (90, 0, 5),  # and most: half of the budget is for rounds
        (35, 3, 5),
        (10, 3, 30),  # what others did not need
    ],
)
def test_judging_is_paid_from_the_budget(spent, done, seconds):
    assert room(40.0, spent, 4, done) == pytest.approx(seconds)


@pytest.mark.parametrize(
    ("seconds", "lasted", "begins"),
    [
        (1.0, [], True),
        (0.0, [], False),
        (2.5, [9.0, 2.0, 3.0], True),
        (1.5, [9.0, 2.0, 3.0], False),
    ],
)
def test_a_case_that_cannot_end_in_time_is_not_begun(seconds, lasted, begins):
    assert is_time_left(seconds, lasted) is begins


def test_who_follows_whom_is_left_to_chance_in_each_case():
    """The limit empties caches: of two that are the same, neither may follow it more often."""
    after = Counter()
    for size in range(1, 101):
        turns = []
        names = ["limit", "control", "control" + AGAIN]
        rounds(
            {name: functools.partial(_take_turn, turns, name) for name in names},
            budget=1e-9,
            seed=seed_of("order", dataclasses.replace(CASE, size=size), 0),
        )
        assert len(turns) == MIN_ROUNDS * len(names)
        after.update(later for one, later in itertools.pairwise(turns) if one == "limit")
    # Of 566 turns after one of the limit; the spread of this difference is 16 or so.
    assert abs(after["control"] - after["control" + AGAIN]) < 64


def _take_turn(turns, name):
    turns.append(name)
    return 1.0
