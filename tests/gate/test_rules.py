"""Thresholds and accepted changes of a project; what cannot be is refused by name."""

from __future__ import annotations

import json
import sys

import pytest

from xent_numba.gate import GateError, gate, tables
from xent_numba.gate.project import Project
from xent_numba.gate.rules import Accepted, Rules


def configure(tiny, **changed):
    path = tiny.folder / "asv.conf.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **changed}))


def accepted(benchmark, up_to):
    return [{"benchmark": benchmark, "up_to": up_to, "reason": "it checks more"}]


@pytest.mark.parametrize(
    ("up_to", "pattern", "status"),
    [(0.5, "track_count", 0), (0.1, "track_count", 1), (0.5, "track_width", 1)],
)
def test_a_known_change_for_the_worse_is_accepted_up_to_its_size(tiny, up_to, pattern, status):
    configure(tiny, gate_accepted=accepted(pattern, up_to))
    tiny.edit("return 3", "return 4")
    request = gate.Request("HEAD", exact=True, python=sys.executable)
    found = gate.run(Project(tiny.folder), request)
    assert found.status(strict=False) == status
    said = "accepted: all.track_count: up to +50.0%: it checks more"
    assert (said in tables.markdown(found)) == (status == 0)
    (command,) = tables.workflow_commands(found)
    assert command.startswith("::error" if status else "::notice title=accepted::")


def test_a_value_that_is_lost_is_never_within_a_size():
    rules = Rules(accepted=[Accepted("one", 999.0, "why")])
    assert rules.accepts("one", 1.0)
    assert not rules.accepts("one", float("inf"))


def test_the_first_threshold_that_matches_counts():
    rules = Rules(thresholds={"io": 0.1, ".": 0.2})
    assert [rules.threshold(name, 0.05) for name in ("a.io", "a.b", "")] == [0.1, 0.2, 0.05]


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"gate_thresholds": {"(": 0.1}}, "gate_thresholds of asv.conf.json names '('"),
        ({"gate_thresholds": {"a": "10%"}}, "says '10%'; accepted is a share, as 0.1 for 10 %"),
        ({"gate_thresholds": {"a": 0}}, "says 0; accepted is a share"),
        (
            {"gate_thresholds": [1]},
            r"gate_thresholds of asv.conf.json is \[1\]; accepted is an obj",
        ),
        ({"gate_accepted": [{"benchmark": "a"}]}, "accepted are objects with benchmark, up_to and"),
        ({"gate_accepted": "a"}, "gate_accepted of asv.conf.json holds 'a'"),
        ({"gate_accepted": accepted("[", 0.1)}, "accepted is a regular expression"),
        ({"gate_accepted": accepted("a", True)}, "gate_accepted of asv.conf.json says True"),
    ],
)
def test_what_cannot_be_is_refused_by_name(tiny, changed, said):
    configure(tiny, **changed)
    with pytest.raises(GateError, match=said.replace("(", r"\(")):
        Project(tiny.folder)
