"""What the gate refuses: one sentence, with what it accepts."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest
from gating import CHOOSES_CPUS, outcome, run

from xent_numba import cli
from xent_numba.gate import GateError
from xent_numba.gate.pairs import Limits


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["nowhere"], "revision 'nowhere' is not known here; accepted is what git rev-parse reads"),
        (["HEAD"], "the working tree holds nothing but 'HEAD'; accepted is another baseline"),
        (["HEAD", "HEAD", "--bench", "nothing"], "share no benchmarks to be timed and match no"),
        (["HEAD", "HEAD", "--bench", "track_width"], "(1 can be compared with --exact)"),
        (["HEAD", "HEAD", "--bench", "r$", "--exact"], "(1 can be compared without --exact)"),
    ],
)
def test_bad_input_is_one_sentence(tiny, capsys, arguments, said):
    assert run(*arguments) == 2
    error = capsys.readouterr().err.strip()
    assert error.startswith("xent-numba gate: ")
    assert said in error
    assert error.count("\n") == 0


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("--budget", "0"),
        ("--threshold", "101"),
        ("--bench", "("),
        pytest.param("--cpu-affinity", "9999", marks=CHOOSES_CPUS),
        pytest.param("--cpu-affinity", "a", marks=CHOOSES_CPUS),
    ],
)
def test_a_bad_option_says_what_is_accepted(tiny, capsys, option, value):
    with pytest.raises(SystemExit, match="2"):
        cli.main(["gate", "HEAD", option, value])
    error = capsys.readouterr().err
    assert repr(value) in error
    assert "accepted" in error


def test_a_budget_that_is_too_small_is_refused(tiny):
    limits = Limits(budget=0.06, least=6, least_seconds=0.0)
    said = r"1 benchmarks need 0\.\d minutes for 6 pairs; accepted are as large a --budget"
    with pytest.raises(GateError, match=said):
        outcome(tiny, "HEAD", "HEAD", "time_other", limits=limits)


def test_conflicts_are_refused(tiny, capsys):
    tiny.git("checkout", "--quiet", "-b", "other")
    tiny.edit("return 3", "return 4")
    tiny.commit()
    tiny.git("checkout", "--quiet", "main")
    tiny.edit("return 3", "return 5")
    tiny.commit()
    with pytest.raises(subprocess.CalledProcessError):
        tiny.git("merge", "other")
    assert run("HEAD") == 2
    assert "the working tree has conflicts in 'tiny.py'" in capsys.readouterr().err


def test_no_project_and_no_repository(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert run("HEAD") == 2
    assert "holds no asv.conf.json" in capsys.readouterr().err
    (tmp_path / "asv.conf.json").write_text('{"version": 1, "repo": "."}')
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    assert run("HEAD") == 2
    assert "is in no git repository" in capsys.readouterr().err


def test_a_package_that_is_not_the_revisions_own_is_noticed(tiny):
    """What --python would miss where the benchmarks import an installed package."""
    tiny.benchmarks.write_text("def time_nothing():\n    pass\n")
    tiny.commit()
    with pytest.raises(GateError, match="import nothing from the sources of the baseline"):
        outcome(tiny, "HEAD", "HEAD")


def test_a_baseline_that_does_not_build(tiny, capsys, monkeypatch):
    """asv's environment is this Python's; building fails as it does in one."""
    from asv.environment import Environment

    monkeypatch.setattr(Environment, "create", lambda self: None)
    monkeypatch.setattr(Environment, "find_executable", lambda self, name: sys.executable)
    configuration = json.loads((tiny.folder / "asv.conf.json").read_text())
    configuration["uninstall_command"] = []
    configuration["build_command"] = ["python -c 'raise SystemExit(\"no compiler\")'"]
    (tiny.folder / "asv.conf.json").write_text(json.dumps(configuration))
    tiny.commit()
    assert cli.main(["gate", "HEAD", "HEAD"]) == 2
    error = capsys.readouterr().err.strip()
    assert "baseline 'HEAD' does not build: no compiler" in error
    assert error.count("\n") == 0


def test_what_git_refuses_is_said_in_its_own_words(tiny, capsys):
    nested = tiny.folder / "nested"
    nested.mkdir()
    subprocess.run(["git", "init", "-q"], cwd=nested, check=True)
    assert run("HEAD", "--exact") == 2
    error = capsys.readouterr().err
    assert "gate: git add: error: 'nested/' does not have a commit checked out" in error
    assert error.count("\n") == 1


def test_a_configuration_that_is_cut_off_is_one_sentence(tiny, capsys):
    path = tiny.folder / "asv.conf.json"
    path.write_text(path.read_text()[:-1])
    assert run("HEAD", "--exact") == 2
    error = capsys.readouterr().err
    assert "asv.conf.json" in error
    assert error.count("\n") == 1
