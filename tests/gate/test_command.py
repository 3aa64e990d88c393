"""``xent-numba gate`` on a project of a few lines: what it says, and its exit status."""

from __future__ import annotations

import json
import math
import os
import re
import signal
import subprocess
import sys
import time

import psutil
import pytest

from xent_numba import cli
from xent_numba.gate import GateError, decision, gate, pairs
from xent_numba.gate.outcome import Outcome

BUDGET = "0.001"
"""Minutes: as few pairs as there may be."""

CHOOSES_CPUS = pytest.mark.skipif(
    not hasattr(os, "sched_setaffinity"), reason="CPUs cannot be chosen on this system"
)


@pytest.fixture(autouse=True)
def calm(monkeypatch):
    """Whatever else the machine does; few pairs."""
    monkeypatch.setattr(gate, "wait_for_rest", lambda *arguments: None)
    monkeypatch.setattr(decision, "MIN_PAIRS", 6)
    monkeypatch.setattr(pairs, "MIN_PAIRS", 6)
    monkeypatch.setattr(pairs, "FEW_SECONDS", math.inf)
    for name in ("GITHUB_ACTIONS", "GITHUB_STEP_SUMMARY"):
        monkeypatch.delenv(name, raising=False)


def run(*arguments):
    return cli.main(["gate", *arguments, "--budget", BUDGET, "--python", sys.executable])


def outcome(tiny, *arguments):
    status = run(*arguments, "--json", str(tiny.folder / ".asv" / "found.json"))
    return status, Outcome.from_json((tiny.folder / ".asv" / "found.json").read_text())


@pytest.fixture
def kept(tiny):
    (tiny.folder / ".asv").mkdir()
    return tiny


def test_a_slowdown_in_the_working_tree_is_a_regression(kept, capsys):
    kept.edit("n * 1e-8", "2 * n * 1e-8")
    status, found = outcome(kept, "HEAD")
    assert status == 1
    assert found.regressions == ["all.Work.time_work(1)"]
    ratio = next(t for t in found.timings if t.benchmark == found.regressions[0]).finding.ratio
    assert ratio == pytest.approx(2.0)
    assert {t.benchmark for t in found.timings} == {"all.Work.time_work(1)", "all.time_other"}
    printed = capsys.readouterr().out
    assert "SLOWER" in printed
    assert "1 benchmarks apply to neither side" in printed
    assert "not compared: all.time_new: baseline could not run: AttributeError" in printed
    # Nothing that is the user's has changed.
    assert kept.git("status", "--porcelain") == "M tiny.py"
    assert kept.git("branch", "--list") == "* main"


def test_a_speed_up_is_none(kept):
    kept.edit("n * 1e-8", "n / 3 * 1e-8")
    kept.commit()
    status, found = outcome(kept, "HEAD~1", "HEAD", "--bench", "time_work")
    assert status == 0
    assert [t.finding.verdict for t in found.timings] == ["FASTER"]


def test_what_is_new_or_gone_is_listed_and_the_rest_compared(kept):
    text = kept.benchmarks.read_text()
    kept.package.write_text(kept.package.read_text() + "\n\ndef new():\n    pass\n")
    kept.benchmarks.write_text(text.replace("def time_other", "def time_another"))
    status, found = outcome(kept, "HEAD", "--bench", "time_(new|another|other)")
    assert status == 0
    # Both sides run the contender's benchmarks; the baseline has no function for one of them.
    assert list(found.left_out) == ["all.time_new"]
    assert "baseline could not run" in found.left_out["all.time_new"]
    assert [t.benchmark for t in found.timings] == ["all.time_another"]


def test_a_benchmark_that_the_contender_breaks_is_an_error(kept):
    kept.edit("def work", "def gone")
    status, found = outcome(kept, "HEAD", "--bench", "time_work|time_other")
    assert status == 2
    assert found.broken == ["all.Work.time_work(1)"]
    assert [t.benchmark for t in found.timings] == ["all.time_other"]


def test_a_process_that_dies_costs_its_benchmark_only(kept):
    kept.edit("spend(n * 1e-8)", "__import__('os')._exit(7)")
    status, found = outcome(kept, "HEAD", "--bench", "time_work|time_other")
    assert status == 2
    assert (
        "contender could not run: its process ended with exit code 7"
        in (found.left_out["all.Work.time_work(1)"])
    )
    assert [t.benchmark for t in found.timings] == ["all.time_other"]


def test_the_exact_gate_finds_any_worsening_and_names_it(kept, capsys):
    kept.edit("return 3", "return 4")
    kept.edit("width = 256", "width = 128")
    status, found = outcome(kept, "HEAD", "--exact")
    assert status == 1
    assert found.regressions == ["all.track_count", "all.track_width"]
    assert not any("seconds" in value.benchmark for value in found.values)
    assert "WORSE" in capsys.readouterr().out


def test_the_exact_gate_lets_improvements_pass(kept):
    kept.edit("return 3", "return 2")
    kept.edit("width = 256", "width = 512")
    status, found = outcome(kept, "HEAD", "--exact")
    assert status == 0
    assert [value.change for value in found.values] == ["BETTER", "BETTER"]


def test_a_value_that_is_lost_is_a_worsening(kept):
    kept.edit("return 3", "raise ArithmeticError")
    status, found = outcome(kept, "HEAD", "--exact")
    assert status == 1
    assert found.regressions == ["all.track_count"]


def test_github_gets_annotations_and_a_summary(tiny, monkeypatch, capsys):
    tiny.edit("return 3", "return 4")
    summary = tiny.folder / "summary.md"
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(summary))
    assert run("HEAD", "--exact") == 1
    assert "::error title=worse::all.track_count: 3 -> 4 calls" in capsys.readouterr().out
    assert "| `all.track_count` | 3 | 4 | calls | WORSE |" in summary.read_text()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["nowhere"], "revision 'nowhere' is not known here; accepted is what git rev-parse reads"),
        (["HEAD"], "the working tree holds nothing but 'HEAD'; accepted is another baseline"),
        (["HEAD", "HEAD", "--bench", "nothing"], "share no time benchmarks that match nothing"),
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


def test_a_budget_that_is_too_small_is_refused(tiny, monkeypatch, capsys):
    monkeypatch.setattr(pairs, "FEW_SECONDS", 0.0)
    assert run("HEAD", "HEAD", "--bench", "time_other") == 2
    assert re.search(
        r"1 benchmarks need 0\.\d minutes for 6 pairs; accepted are as large a --budget",
        capsys.readouterr().err,
    )


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


def test_a_package_that_is_not_the_revisions_own_is_noticed(tiny, capsys):
    """What --python would miss where the benchmarks import an installed package."""
    tiny.benchmarks.write_text("def time_nothing():\n    pass\n")
    tiny.commit()
    assert run("HEAD", "HEAD") == 2
    assert "the benchmarks import nothing from the sources of the baseline" in (
        capsys.readouterr().err
    )


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


def test_a_machine_under_load_is_waited_for_and_then_refused(monkeypatch):
    monkeypatch.undo()
    monkeypatch.setattr(gate, "_LOOK_SECONDS", 0.0)
    loads = iter([90.0, 90.0, 5.0])
    monkeypatch.setattr(psutil, "cpu_percent", lambda seconds: next(loads))
    said = []
    gate.wait_for_rest(60.0, lambda what, done: said.append(what))
    assert said == ["waiting, other programs use 90% of the CPUs"] * 2
    monkeypatch.setattr(psutil, "cpu_percent", lambda seconds: 90.0)
    with pytest.raises(GateError, match="other programs use 90% of the CPUs, after 0 s of waiting"):
        gate.wait_for_rest(0.0)


@pytest.mark.skipif(sys.platform == "win32", reason="sends SIGINT")
def test_ctrl_c_ends_the_processes_and_writes_nothing(tiny):
    report = tiny.folder / "found.json"
    code = (
        "import sys; from xent_numba import cli; from xent_numba.gate import gate; "
        "gate.wait_for_rest = lambda *a: None; sys.exit(cli.main())"
    )
    arguments = ["gate", "HEAD", "HEAD", "--json", str(report), "--python", sys.executable]
    process = subprocess.Popen(
        [sys.executable, "-c", code, *arguments, "--budget", "5"],
        cwd=tiny.folder,
        stderr=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=os.environ,
    )
    handle = psutil.Process(process.pid)
    sources = tiny.folder / ".asv" / "env" / "gate" / "contender" / "sources"
    until = time.monotonic() + 60
    while not (sources.exists() and len(handle.children()) == 2) and time.monotonic() < until:
        time.sleep(0.02)
    agents = handle.children()
    assert len(agents) == 2
    process.send_signal(signal.SIGINT)
    _, error = process.communicate(timeout=60)
    assert process.returncode == 130
    assert error.strip().endswith("xent-numba gate: interrupted")
    assert not psutil.wait_procs(agents, timeout=10)[1]
    assert not report.exists()
    assert list(sources.iterdir())
