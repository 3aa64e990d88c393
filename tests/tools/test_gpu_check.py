"""The check on a GPU, where there is none: parts that fail are said so, and promises are judged."""

from __future__ import annotations

import dataclasses
import json
import sys

import fabricated
import pytest

from tools import gpu_check
from tools.gpu_check import Part, Promise
from xent_numba import cli
from xent_numba.measurement.case import Case
from xent_numba.measurement.comparison import COMPARISON, Row
from xent_numba.measurement.participant import Preparation
from xent_numba.measurement.statistics import Interval
from xent_numba.results import store


@pytest.mark.parametrize(
    ("figures", "said"),
    [
        ({"time": 2.0}, "PASS: a call: 2, at most 2"),
        ({"time": 2.01}, "MISS: a call: 2.01, at most 2"),
        ({}, "not measured: a call"),
        ({"time": float("nan")}, "not measured: a call"),
        ({"time": "RuntimeError: gone"}, "not measured: a call"),
        ({"failed": "took more than 3 s"}, "not measured: a call (took more than 3 s)"),
    ],
)
def test_a_promise_is_kept_missed_or_not_measured(figures, said):
    assert Promise("a call", "part", "time", most=2.0).verdict({"part": figures}) == said


def test_what_is_to_be_large_is_missed_by_less():
    promise = Promise("speed", "part", "ratio", least=1.0)
    assert promise.verdict({"part": {"ratio": 1.0}}).startswith("PASS")
    assert promise.verdict({"part": {"ratio": 0.99}}) == "MISS: speed: 0.99, at least 1"


def script(name, code, seconds=20):
    return Part(name, f"{name}.json", ("-c", code.replace("{", "{{").replace("}", "}}")), seconds)


def test_a_part_that_ends_badly_leaves_what_it_had_found(tmp_path):
    path = tmp_path / "crash.json"
    code = f"import os; open({str(path)!r}, 'w').write('{{\"a\": 1}}'); os._exit(7)"
    found = gpu_check.run(script("crash", code), tmp_path)
    assert (found["a"], found["failed"]) == (1, "ended with 7")
    found = gpu_check.run(script("slow", "import time; time.sleep(9)", 1), tmp_path)
    assert found["failed"] == "took more than 1 s"


def test_the_whole_check_writes_its_verdicts(tmp_path, monkeypatch, capsys):
    good = f"open({str(tmp_path / 'good.json')!r}, 'w').write('{{\"time\": 1}}')"
    promises = Promise("a", "good", "time", most=2), Promise("b", "bad", "time", most=2)
    monkeypatch.setattr(sys, "argv", ["gpu_check", "--output", str(tmp_path)])
    assert gpu_check.main((script("good", good),), promises, ("a1b2c3d4", False)) == 1
    lines = ["PASS: a: 1, at most 2", "not measured: b"]
    assert (tmp_path / "check.txt").read_text().splitlines() == lines
    assert capsys.readouterr().out.splitlines() == lines
    assert json.loads((tmp_path / "check.json").read_text())["good"]["time"] == 1


def test_a_result_names_the_commit_that_it_is_of(tmp_path, monkeypatch, capsys):
    """A copy without its history is told it; nothing is measured where it is not known."""

    def checked(found, *arguments):
        command = ["gpu_check", "--output", str(tmp_path), *arguments]
        monkeypatch.setattr(sys, "argv", command)
        gpu_check.main((), (), found)
        return json.loads((tmp_path / "check.json").read_text())["provenance"]

    here = "a1b2c3d4", True
    found = checked(here)
    assert (found["commit"], found["modified"]) == ("a1b2c3d4", True)
    assert found["command"].endswith(f"--output {tmp_path}")
    assert found["started"].endswith("+00:00")
    assert checked(here, "--commit", "a1b2")["commit"] == "a1b2c3d4"
    found = checked((None, False), "--commit", "e5f6")
    assert (found["commit"], found["modified"]) == ("e5f6", None)
    (tmp_path / "check.json").unlink()
    for history, arguments, sentence in (
        ((None, False), (), "--commit is missing, and this tree has no history"),
        (here, ("--commit", "e5f6"), "--commit is e5f6; accepted is a1b2c3d4"),
    ):
        with pytest.raises(SystemExit) as ended:
            checked(history, *arguments)
        assert ended.value.code == 2
        assert sentence in capsys.readouterr().err
    assert not (tmp_path / "check.json").exists()


def test_eight_minutes_are_enough():
    """Also where every part takes all of its time."""
    assert sum(part.seconds for part in gpu_check.PARTS) <= 8 * 60
    assert {promise.part for promise in gpu_check.PROMISES} <= {p.name for p in gpu_check.PARTS}


def test_the_rows_of_a_comparison_are_judged(tmp_path, monkeypatch):
    """By fabricated times, in which a row of a GPU takes as long as its name says."""
    case = Case.of(gpu_check.LOGITS, "gaussian", 2**26, "float32", None, "sum")
    times = {"numba_cuda": 1.0, "torch_compiled_cuda": 1.5, "torch_eager_cuda": 3.0}
    rows = [
        Row(case, name, Preparation("ok"), Interval(seconds, seconds, seconds))
        for name, seconds in times.items()
    ]
    rows.append(Row(case, "cupy_fused", Preparation("wrong", "result[0] is 1.0")))
    run = fabricated.comparison("labels")
    path = tmp_path / "compare.json"
    content = dataclasses.replace(run.content, rows=rows)
    path.write_text(store.dumps(COMPARISON, run.provenance, content))
    found = {"compare": gpu_check.outcome_of_compare(path)}
    said = [one.verdict(found) for one in gpu_check.PROMISES if one.part == "compare"]
    assert said[0] == "MISS: right rows of numba_cuda: 1, at least 4"
    assert said[3] == "MISS: right rows of cupy_fused: 0, at least 4"
    assert said[-2:] == [
        "PASS: with logits over torch.compile: 1.5, at least 1",
        "MISS: with logits over torch, eager: 3, at least 4",
    ]
    rows.pop(0)
    path.write_text(
        store.dumps(COMPARISON, run.provenance, dataclasses.replace(content, rows=rows))
    )
    found = {"compare": gpu_check.outcome_of_compare(path)}
    said = [one.verdict(found) for one in gpu_check.PROMISES if one.part == "compare"]
    assert said[-2] == "not measured: with logits over torch.compile"


def test_the_comparison_of_the_check_is_one_that_can_be_typed(tmp_path):
    """Its arguments are read; rows that are not to be had here say why."""
    part = next(part for part in gpu_check.PARTS if part.name == "compare")
    words = [word.format(output=tmp_path / "a.json", folder=tmp_path) for word in part.command]
    options = cli.parser(words[2:]).parse_args(words[2:])
    assert options.implementation == list(gpu_check.ROWS)
    assert options.operation == list(gpu_check.COMPARED)
    assert options.size == [2**26]


def test_soft_labels_have_a_line_of_their_own(tmp_path):
    path = tmp_path / "tests.xml"
    path.write_text(
        '<testsuites><testsuite tests="3" failures="1" errors="0" skipped="0">'
        '<testcase name="test_soft_labels[a]"/><testcase name="test_other"/>'
        '<testcase name="test_soft_labels[b]"><failure/></testcase></testsuite></testsuites>'
    )
    found = gpu_check.outcome_of_tests(path)
    assert found == {
        "passed tests": 2, "failed tests": 1, "skipped tests": 0, "passed with soft labels": 1
    }  # fmt: skip
