"""``xent-numba gate`` on a project of a few lines: what it says, and its exit status."""

from __future__ import annotations

import json
import math
import os
import signal
import subprocess
import sys
import time

import psutil
import pytest
from gating import CHOOSES_CPUS, outcome, run

from xent_numba.gate import GateError, tables
from xent_numba.gate.pairs import Limits
from xent_numba.measurement import pool
from xent_numba.measurement.worker import Worker

OTHER = "import tiny\n\n\ndef track_one():\n    return 1\n"


def test_a_slowdown_in_the_working_tree_is_a_regression(tiny):
    tiny.edit("n * 1e-8", "2 * n * 1e-8")
    status, found = outcome(tiny, "HEAD")
    assert status == 1
    assert found.regressions == ["all.Work.time_work(1)"]
    ratio = next(
        t for t in found.timings if t.benchmark == found.regressions[0]
    ).finding.ratio.value
    assert ratio == pytest.approx(2.0)
    names = {"all.Work.time_work(1)", "all.time_other", "all.track_seconds"}
    assert {t.benchmark for t in found.timings} == names
    printed = tables.markdown(found)
    assert "SLOWER" in printed
    assert "1 benchmarks apply to neither side" in printed
    assert "not compared: all.time_new: baseline could not run: AttributeError" in printed
    # Nothing that is the user's has changed.
    assert tiny.git("status", "--porcelain") == "M tiny.py"
    assert tiny.git("branch", "--list") == "* main"


RECORDED = """
import os
import pathlib
import time

import tiny


def time_recorded():
    started = time.time()
    tiny.wait()
    line = f"{os.getpid()} {min(os.sched_getaffinity(0))} {started} {time.time()}\\n"
    with pathlib.Path(os.environ["RECORDED"]).open("a") as file:
        file.write(line)
"""


@CHOOSES_CPUS
def test_in_a_duet_both_compute_at_once_and_on_both_cpus(tiny, tmp_path_factory, monkeypatch):
    cpus = tuple(sorted(os.sched_getaffinity(0)))[-2:]
    if len(cpus) < 2:
        pytest.skip("a duet needs two CPUs")
    recorded = tmp_path_factory.mktemp("recorded") / "calls"
    monkeypatch.setenv("RECORDED", str(recorded))
    tiny.benchmarks.write_text(RECORDED)
    tiny.edit("width = 256", "def wait():\n    __import__('time').sleep(0.002)\n")
    tiny.commit()
    tiny.edit("0.002", "0.02")
    limits = Limits(0.06, least=2, least_seconds=math.inf, duet=cpus)
    _, found = outcome(tiny, "HEAD", limits=limits, cpus=cpus[:1])
    (timing,) = found.timings
    assert 3 < timing.finding.ratio.value < 30
    calls = [tuple(map(float, line.split())) for line in recorded.read_text().splitlines()]
    places = {}
    for process, cpu, *_ in calls:
        places.setdefault(process, set()).add(cpu)
    assert all(seen >= {*cpus} for seen in places.values())
    ours, theirs = calls[-1][0], {call[0] for call in calls} - {calls[-1][0]}
    overlaps = [
        one[0]
        for one in calls
        for other in calls
        if other[0] == ours and one[0] in theirs and one[2] < other[3] and other[2] < one[3]
    ]
    assert len(overlaps) >= 5


@pytest.mark.slow
def test_a_speed_up_is_none(tiny):
    tiny.edit("n * 1e-8", "n / 3 * 1e-8")
    tiny.commit()
    status, found = outcome(tiny, "HEAD~1", "HEAD", "time_work")
    assert status == 0
    assert [t.finding.verdict for t in found.timings] == ["FASTER"]


@pytest.mark.slow
def test_what_is_new_or_gone_is_listed_and_the_rest_compared(tiny):
    text = tiny.benchmarks.read_text()
    tiny.package.write_text(tiny.package.read_text() + "\n\ndef new():\n    pass\n")
    tiny.benchmarks.write_text(text.replace("def time_other", "def time_another"))
    status, found = outcome(tiny, "HEAD", None, "time_(new|another|other)")
    assert status == 0
    # Both sides run the candidate's benchmarks; the baseline has no function for one of them.
    assert list(found.left_out) == ["all.time_new"]
    assert "baseline could not run" in found.left_out["all.time_new"]
    assert [t.benchmark for t in found.timings] == ["all.time_another"]


def test_a_benchmark_that_the_candidate_breaks_is_an_error(tiny):
    tiny.edit("def work", "def gone")
    status, found = outcome(tiny, "HEAD", None, "time_work|time_other")
    assert status == 2
    assert found.broken == ["all.Work.time_work(1)"]
    assert [t.benchmark for t in found.timings] == ["all.time_other"]


@pytest.mark.slow
def test_a_process_that_dies_costs_its_benchmark_only(tiny):
    tiny.edit("spend(n * 1e-8)", "__import__('os')._exit(7)")
    status, found = outcome(tiny, "HEAD", None, "time_work|time_other")
    assert status == 2
    assert (
        "candidate could not run: its process ended with exit code 7"
        in (found.left_out["all.Work.time_work(1)"])
    )
    assert [t.benchmark for t in found.timings] == ["all.time_other"]


def test_the_exact_gate_finds_any_worsening_and_names_it(tiny):
    tiny.edit("return 3", "return 4")
    tiny.edit("width = 256", "width = 128")
    status, found = outcome(tiny, "HEAD", exact=True)
    assert status == 1
    assert found.regressions == ["all.track_count", "all.track_width"]
    assert not any("seconds" in value.benchmark for value in found.values)


def test_the_exact_gate_lets_improvements_pass(tiny):
    tiny.edit("return 3", "return 2")
    tiny.edit("width = 256", "width = 512")
    status, found = outcome(tiny, "HEAD", exact=True)
    assert status == 0
    assert [value.verdict for value in found.values] == ["BETTER", "BETTER"]


def test_a_value_that_is_lost_is_a_worsening(tiny):
    tiny.edit("return 3", "raise ArithmeticError")
    status, found = outcome(tiny, "HEAD", exact=True)
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


@pytest.mark.skipif(sys.platform == "win32", reason="sends SIGINT")
def test_ctrl_c_ends_the_processes_and_writes_nothing(tiny):
    report = tiny.folder / "found.json"
    code = (
        "import sys; from xent_numba import cli; from xent_numba.measurement import idle; "
        "idle.wait_for_rest = lambda *a: None; sys.exit(cli.main())"
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
    sources = tiny.folder / ".asv" / "env" / "gate" / "candidate" / "sources"
    until = time.monotonic() + 60
    with process:
        try:
            while not (sources.exists() and len(handle.children()) == 2):
                assert time.monotonic() < until
                time.sleep(0.02)
            workers = handle.children()
            process.send_signal(signal.SIGINT)
            _, error = process.communicate(timeout=60)
        finally:
            process.kill()
    assert process.returncode == 130
    assert error.strip().endswith("xent-numba gate: interrupted")
    assert not psutil.wait_procs(workers, timeout=10)[1]
    assert not report.exists()
    assert list(sources.iterdir())


def test_an_interruption_while_workers_start_leaves_none(tiny, monkeypatch):
    class Second(Worker):
        def __init__(self, *arguments):
            if started:
                raise KeyboardInterrupt
            super().__init__(*arguments)
            started.append(self)

    started, before = [], psutil.Process().children()
    monkeypatch.setattr(pool, "Worker", Second)
    with pytest.raises(KeyboardInterrupt):
        outcome(tiny, "HEAD", "HEAD", exact=True)
    assert len(started) == 1
    assert psutil.Process().children() == before


@pytest.mark.parametrize("exact", [False, True])
def test_benchmarks_do_not_vanish_with_what_a_module_imports(tiny, exact):
    """A name that the candidate has lost: both sides run the same module."""
    text = tiny.benchmarks.read_text().replace("import tiny", "import tiny\nfrom tiny import width")
    tiny.benchmarks.write_text(text)
    (tiny.folder / "benchmarks" / "other.py").write_text(OTHER)
    tiny.commit()
    tiny.edit("width = 256", "")
    status, found = outcome(tiny, "HEAD", exact=exact)
    assert status == 2
    lost = {name for name in found.broken if name.startswith("all.")}
    assert "all.track_count" in lost if exact else "all.time_other" in lost
    assert "candidate could not import all: ImportError" in found.left_out[min(lost)]


@pytest.mark.parametrize("change", ["import nowhere", "def ("])
def test_a_module_that_a_change_breaks_is_an_error(tiny, change):
    (tiny.folder / "benchmarks" / "other.py").write_text(OTHER)
    tiny.commit()
    tiny.benchmarks.write_text(f"{change}\n{tiny.benchmarks.read_text()}")
    status, found = outcome(tiny, "HEAD", exact=True)
    assert status == 2
    assert found.broken == ["the module all"]
    assert [value.benchmark for value in found.values] == ["other.track_one"]


def test_a_module_that_was_broken_before_is_listed_and_fails_with_strict(tiny):
    (tiny.folder / "benchmarks" / "other.py").write_text("import nowhere\n")
    tiny.commit()
    status, found = outcome(tiny, "HEAD", "HEAD", exact=True)
    assert status == 0
    assert found.status(strict=True) == 3
    assert found.left_out["the module other"].count("No module named 'nowhere'") == 2


def test_the_repository_of_a_git_alias_or_hook_is_not_taken_for_the_project(tiny, tmp_path_factory):
    """Git sets GIT_DIR and others for what it starts, and they win over any folder."""
    tiny.edit("return 3", "return 4")
    tiny.commit()
    other = tmp_path_factory.mktemp("other")
    subprocess.run(["git", "clone", "-q", str(tiny.folder), str(other)], check=True)
    (other / "tiny.py").write_text(tiny.package.read_text().replace("return 4", "return 2"))
    someone = ("-c", "user.name=someone", "-c", "user.email=someone@localhost")
    subprocess.run(["git", *someone, "commit", "-qam", "another"], cwd=other, check=True)
    before = (tiny.git("rev-parse", "HEAD"), tiny.git("status"), tiny.git("reflog"))
    code = "import sys; from xent_numba.cli import main; sys.exit(main(sys.argv[1:]))"
    arguments = ["gate", "--exact", "HEAD~1", "HEAD", "--python", sys.executable]
    variables = {"GIT_DIR": str(other / ".git"), "GIT_INDEX_FILE": str(other / ".git" / "index")}
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments],
        cwd=tiny.folder,
        env={**os.environ, **variables, "GIT_WORK_TREE": str(other), "GIT_PREFIX": "x/"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 1, done.stderr
    assert "3  " in done.stdout
    assert tiny.git("rev-parse", "HEAD")[:10] in done.stdout
    assert before == (tiny.git("rev-parse", "HEAD"), tiny.git("status"), tiny.git("reflog"))


@pytest.mark.slow
def test_rates_are_a_clocks_unless_the_configuration_says_which_way_is_better(tiny):
    tiny.package.write_text(tiny.package.read_text() + "\n\nrate = 5\n")
    text = "\n\ndef track_rate():\n    return tiny.rate\n\n\ntrack_rate.unit = 'it/s'\n"
    tiny.benchmarks.write_text(tiny.benchmarks.read_text() + text)
    tiny.commit()
    tiny.edit("rate = 5", "rate = 4")
    status, found = outcome(tiny, "HEAD", exact=True)
    assert status == 0
    assert "all.track_rate" not in {value.benchmark for value in found.values}
    path = tiny.folder / "asv.conf.json"
    configuration = json.loads(path.read_text())
    path.write_text(json.dumps({**configuration, "gate_better": {"it/s": "higher"}}))
    status, found = outcome(tiny, "HEAD", exact=True)
    assert status == 1
    assert found.regressions == ["all.track_rate"]
    path.write_text(json.dumps({**configuration, "gate_better": {"it/s": "up"}}))
    with pytest.raises(GateError, match="says 'up' of the unit 'it/s'; accepted are lower and hi"):
        outcome(tiny, "HEAD", exact=True)


def configure(tiny, **changed):
    path = tiny.folder / "asv.conf.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **changed}))


@pytest.mark.slow
def test_a_benchmark_has_the_time_it_asks_for_and_so_has_the_listing(tiny):
    configure(tiny, default_benchmark_timeout=1.0)
    slow = (
        "def track_slow():\n    time.sleep(1.5)\n    return tiny.width\n\n\ntrack_slow.timeout = 60"
    )
    text = f"{tiny.benchmarks.read_text()}\n\ntime.sleep(1.5)\n\n\n{slow}\n"
    tiny.benchmarks.write_text(
        text.replace("track_width.better", "track_width.timeout = 60\ntrack_width.better")
    )
    tiny.commit()
    status, found = outcome(tiny, "HEAD", "HEAD", "track_slow|track_width", exact=True)
    assert status == 0
    assert {value.benchmark for value in found.values} == {"all.track_slow", "all.track_width"}


def test_a_python_that_the_matrix_excludes_is_used_if_it_is_asked_for(tiny):
    configure(tiny, exclude=[{"environment_type": "virtualenv"}])
    tiny.edit("return 3", "return 4")
    assert outcome(tiny, "HEAD", exact=True)[0] == 1
