"""The command line: its help, what it makes of options, and what it says to bad ones."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time

import psutil
import pytest
import shtab
from fake_implementations import QUICK, REST, write

from xent_numba import cli, registry
from xent_numba.measurement import compare as measuring
from xent_numba.measurement import suite


@pytest.mark.parametrize(
    ("options", "named", "accepted"),
    [
        (["--operation", "sigmoit"], "--operation: 'sigmoit'", "(did you mean 'sigmoid'?)"),
        (["--implementation", "numpy_stabel"], "'numpy_stabel'", "did you mean 'numpy_stable'"),
        (["--implementation", "absent.py"], "'absent.py'", "accepted is a name"),
        (["--baseline", "nonsense"], "--baseline: 'nonsense'", "accepted are"),
        (["--dtype", "float16"], "--dtype: 'float16'", "float32, float64"),
        (["--workload", "flight"], "--workload: 'flight'", "did you mean 'flights'"),
        (["--reduction", "max"], "--reduction: 'max'", "none, sum, mean"),
        (["--label-dtype", "int16"], "--label-dtype: 'int16'", "int8"),
        (["--size", "0"], "--size: '0'", "a whole number from 1 to"),
        (["--size", "many"], "--size: 'many'", "a whole number from 1 to"),
        (["--size", str(2**31)], "--size: '2147483648'", "a whole number from 1 to"),
        (["--size", "2^40"], "--size: '2^40'", "a whole number from 1 to"),
        (["--sizes", "8"], "--sizes: '8'", "LOW:HIGH"),
        (["--sizes", "8:1"], "--sizes: '8:1'", "sizes that grow"),
        (["--sizes", "1:8:1"], "--sizes: '1:8:1'", "a factor of at least 2"),
        (["--implementation", "numpy_stable@0"], "'0'", "a whole number from 1 to"),
        (["--suite", "ful"], "--suite: 'ful'", "did you mean 'full'"),
        (["--suite", "full", "--size", "8"], "--suite is given with --size", "accepted are"),
        (["--threads", "0"], "--threads: '0'", "a whole number from 1 to"),
        (["--threads", "100000"], "--threads: '100000'", "a whole number from 1 to"),
        (["--budget", "-1"], "--budget: '-1'", "seconds above 0"),
        (["--budget", "nan"], "--budget: 'nan'", "seconds above 0"),
        (["--budget", "inf"], "--budget: 'inf'", "seconds above 0"),
        (["--json", "/nowhere/at/all.json"], "--json", "a folder that exists"),
        (["--csv", "/"], "--csv", "a file in a folder"),
        (["--from-json", "/nowhere.json"], "--from-json", "a file that exists"),
        (["--from-json", __file__], "test_cli.py", "holds no comparison of this version"),
        (
            ["--operation", "logistic_loss", "--workload", "gaussian", "--label-dtype", "uint8"],
            "label_dtype is uint8",
            "accepted is a signed dtype",
        ),
        (["--size", "9" * 5000], "--size", "a whole number from 1 to"),
        (["--colour", "red"], "--colour", "unrecognized arguments"),
    ],
)
def test_a_bad_option_gets_one_sentence(options, named, accepted, capsys):
    try:
        status = cli.main(["compare", *options])
    except SystemExit as end:
        status = end.code
    printed = capsys.readouterr()
    assert status == 2
    assert printed.out == ""
    (line,) = printed.err.splitlines()
    assert named in line
    assert accepted in line


def help_of(*command):
    with pytest.raises(SystemExit) as ended:
        cli.main([*command, "--help"])
    assert ended.value.code == 0


def test_every_command_has_help(capsys):
    help_of()
    commands = re.search(r"{([\w,]+)}", capsys.readouterr().out)[1].split(",")
    for command in commands:
        help_of(command)
        printed = capsys.readouterr().out
        assert f"xent-numba {command}" in printed
        assert "--help" in printed
        assert "%%" not in printed
    assert "compare" in commands


@pytest.mark.parametrize("shell", shtab.SUPPORTED_SHELLS)
def test_every_shell_gets_its_completion(shell):
    script = shtab.complete(cli.parser(), shell)
    assert "implementation" in script
    assert "%%" not in script


@pytest.mark.usefixtures("without_packages")
@pytest.mark.parametrize(("command", "extra"), [("compare", "bench"), ("gate", "gate")])
def test_without_the_extra_one_sentence_says_what_to_install(capsys, command, extra):
    assert cli.main([command]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert f"pip install 'xent-numba[{extra}]'" in line


@pytest.mark.skipif(sys.platform == "win32", reason="sends SIGINT to a group of processes")
def test_an_interruption_ends_all_processes_and_writes_nothing(tmp_path):
    (hanging,) = write(tmp_path, "fake_hanging")
    report = tmp_path / "run.json"
    running = subprocess.Popen(
        [
            *(sys.executable, "-m", "xent_numba"),
            *("compare", *QUICK, "--budget", "0.2"),
            *("--operation", "sigmoid", "--implementation", hanging),
            *("--json", str(report)),
        ],
        start_new_session=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )

    def workers():
        children = psutil.Process(running.pid).children(recursive=True)
        # Before them others come and go, whose callers may keep an interruption to themselves.
        try:
            spawned = any("process.py" in "".join(child.cmdline()) for child in children)
        except psutil.Error:  # one of them has ended meanwhile
            return []
        return children if spawned else []

    children = wait_for(workers)
    time.sleep(1.0)
    os.killpg(running.pid, signal.SIGINT)
    out, err = running.communicate(timeout=60)
    assert running.returncode == 130
    assert err.strip().splitlines()[-1].endswith("interrupted")
    assert "Traceback" not in out + err
    assert not list(tmp_path.glob("*run.json*"))
    psutil.wait_procs(children, timeout=10)
    assert not [child for child in children if child.is_running()]


def wait_for(ask):
    until = time.monotonic() + 60
    while time.monotonic() < until:
        if found := ask():
            return found
        time.sleep(0.05)
    raise TimeoutError


def asked_for(monkeypatch, *options):
    """The cases, implementations and settings that options lead to."""
    seen = {}

    def record(entries, plan, **settings):
        seen.update(baseline=plan.baseline, control=plan.control)
        seen.update(cases=list(entries), entries=entries)
        seen["implementations"] = [one.implementation for one in next(iter(entries.values()))]
        raise KeyboardInterrupt

    monkeypatch.setattr(measuring, "compare", record)
    assert cli.main(["compare", *REST, *options]) == 130
    return seen


def test_the_defaults_compare_everything_on_real_data(monkeypatch):
    asked = asked_for(monkeypatch)
    assert asked["implementations"] == list(registry.names())
    assert asked["baseline"] == "numpy_stable"
    assert {case.operation for case in asked["cases"]} == {
        "sigmoid",
        "binary_cross_entropy",
        "logistic_loss",
    }
    assert {case.workload for case in asked["cases"]} == {"flights"}
    assert {case.dtype for case in asked["cases"]} == {"float32", "float64"}
    assert {case.reduction for case in asked["cases"] if case.label_dtype} == {"sum"}


def test_the_baseline_takes_part_even_if_it_was_not_named(monkeypatch):
    asked = asked_for(monkeypatch, "--implementation", "naive", "--baseline", "numpy_textbook")
    assert asked["implementations"] == ["naive", "numpy_textbook"]


def test_all_is_every_combination(monkeypatch):
    options = ["--workload", "gaussian", "--size", "10", "--size", "20", "--dtype", "all"]
    asked = asked_for(monkeypatch, "--operation", "all", *options)
    assert len(asked["cases"]) == 6 * 2 * 2


def test_info_says_what_can_run_here_and_why_not(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    assert cli.main(["info"]) == 0
    text = capsys.readouterr().out
    assert all(len(line) <= 80 for line in text.splitlines())
    for word in (
        "CPU",
        "SIMD in use",
        "threads",
        "threading layer",
        "GPU",
        "numba",
        *registry.names(),
    ):
        assert re.search(rf"^{word} ", text, re.MULTILINE), word
    for name, implementation in registry.implementations().items():
        reason = implementation.unavailable()
        assert re.search(rf"^{name} +{'no: ' if reason else 'yes'}", text, re.MULTILINE)


def test_sizes_are_log_spaced_with_both_ends(monkeypatch):
    asked = asked_for(monkeypatch, "--workload", "gaussian", "--sizes", "1:2^7:4", "--size", "2^8")
    assert sorted({case.size for case in asked["cases"]}) == [1, 4, 16, 64, 128, 256]


def test_what_the_run_is_about_is_entered_twice_if_it_takes_part(monkeypatch):
    assert asked_for(monkeypatch)["control"] == "numba_parallel"
    assert asked_for(monkeypatch, "--implementation", "naive")["control"] == "naive"


def test_one_implementation_may_take_part_with_two_numbers_of_threads(monkeypatch):
    options = ["--implementation", "numba_parallel", "--implementation", "numba_parallel@1"]
    entries = asked_for(monkeypatch, *options)["entries"]
    labels = [one.label for one in next(iter(entries.values()))]
    assert labels == ["numba_parallel", "numba_parallel@1", "numpy_stable"]


@pytest.mark.parametrize("part", suite.PARTS.values(), ids=suite.PARTS)
def test_the_suite_times_nothing_twice_and_nothing_for_too_long(part):
    entries = part.enter(registry.names(), 2)
    assert entries
    for case, members in entries.items():
        labels = [one.label for one in members]
        assert len(labels) == len(set(labels))
        assert suite.SUBJECT in labels
        assert "naive" not in labels or case.size <= 2**19
        assert case.size <= 2**24 or "scipy_special" not in labels


@pytest.mark.parametrize(
    ("line", "completed"),
    [
        ("xent-numba rep", ["report"]),
        ("xent-numba compare --suite op", ["operations"]),
        ("xent-numba accuracy --operation logistic_loss_", ["logistic_loss_and_grad"]),
        ("xent-numba gate --mark", ["--markdown"]),
        ("xent-numba compare --json run", ["run.json"]),
        ("xent-numba report run", ["run.json"]),
    ],
)
def test_a_shell_completes(line, completed, tmp_path):
    (tmp_path / "run.json").touch()
    words = line.split()
    script = shtab.complete(cli.parser(), "bash")
    script += f"""
        COMP_WORDS=({line}) COMP_CWORD={len(words) - 1}
        _shtab_xent_numba xent-numba {words[-1]} {words[-2]}
        printf '%s\\n' "${{COMPREPLY[@]}}"
    """
    done = subprocess.run(
        ["bash"], input=script, cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == completed, done.stderr
