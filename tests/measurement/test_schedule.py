"""Who is prepared together, and which process has which name."""

from __future__ import annotations

import dataclasses
from pathlib import Path

from xent_numba.measurement import suite
from xent_numba.measurement.case import Case
from xent_numba.measurement.participant import AGAIN, Participant
from xent_numba.measurement.schedule import dealt, groups

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
