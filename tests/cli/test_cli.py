"""The command line: what it prints, what it writes, and what it says to bad options."""

from __future__ import annotations

import csv
import dataclasses
import os
import re
import signal
import subprocess
import sys
import time
from xml.etree import ElementTree

import psutil
import pytest
import shtab
from fake_implementations import write

from xent_numba import cli, registry
from xent_numba.cli import output
from xent_numba.measurement import compare as measuring
from xent_numba.measurement import suite
from xent_numba.measurement.comparison import COMPARISON
from xent_numba.measurement.participant import AGAIN
from xent_numba.measurement.statistics import Interval
from xent_numba.results import store

REST = ("--patience", "0.1")
QUICK = ("--quick", "--size", "1000", "--workload", "gaussian", *REST)
TINY = (*QUICK, "--budget", "0.2")
"""Of one case, which is measured whatever the budget."""


@pytest.fixture(scope="module")
def compared(tmp_path_factory):
    """What one run printed and wrote: fakes, on two operations of which they know one."""
    folder = tmp_path_factory.mktemp("compared")
    names = ["fake_right", "fake_half", "fake_missing", "fake_exiting", "fake_raising"]
    arguments = ["compare", *QUICK, "--operation", "sigmoid", "--operation", "logistic_loss"]
    for path in write(folder, *names):
        arguments += ["--implementation", path]
    for kind in ("json", "markdown", "csv", "figure"):
        arguments += [f"--{kind}", str(folder / f"run.{kind}")]
    done = subprocess.run(
        [sys.executable, "-W", "error", "-m", "xent_numba", *arguments],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
        env={**os.environ, "COLUMNS": "80"},
    )
    return done, folder


def table_rows(text):
    """Rows of all tables by implementation."""
    lines = [line.split() for line in text.splitlines()]
    return [line for line in lines if line and line[0].startswith(("fake", "numpy", "memory"))]


@pytest.mark.slow
def test_the_table_has_a_row_for_every_implementation(compared):
    text = compared[0].stdout
    sigmoid, logistic = text.split("logistic_loss (sum)")[0], text.split("logistic_loss (sum)")[1]
    words = [" ".join(row) for row in table_rows(sigmoid)]
    assert any(re.match(r"fake_right ok [\d.]+ [\d.]+ .s ±", row) for row in words)
    assert any(re.match(r"numpy_stable ok .* baseline$", row) for row in words)
    assert any(re.match(r"memory limit .* 100%", row) for row in words)
    assert {row.split()[1] for row in words} >= {"ok", "WRONG", "unavailable", "crashed", "limit"}
    assert re.search(r"^fake_right +n/a *$", logistic, re.MULTILINE)


@pytest.mark.slow
def test_one_that_was_asked_for_and_is_wrong_is_an_exit_status(compared, tmp_path):
    assert compared[0].returncode == 1
    run = str(compared[1] / "run.json")
    # A default row that is wrong was not asked for.
    assert cli.main(["compare", "--from-json", run]) == 0
    (half,) = write(tmp_path, "fake_half")
    assert cli.main(["compare", "--from-json", run, "--implementation", half]) == 1


def test_a_time_is_printed_only_where_the_result_agreed(compared):
    """Below the other words there is at most the largest error, a single number."""
    for row in table_rows(compared[0].stdout):
        if row[1] in ("WRONG", "unavailable", "crashed", "n/a"):
            assert len(row) <= 3, row


def test_reasons_are_below_the_tables(compared):
    text = re.sub(r"\s+", " ", compared[0].stdout)
    assert "fake_half, sigmoid float32 on gaussian: WRONG: result[0] is 0.5 and should be" in text
    assert "fake_raising, sigmoid float32 on gaussian: WRONG: raised OverflowError" in text
    assert "fake_missing: unavailable: no abacus was found: pip install abacus[beads]." in text
    assert "fake_exiting, sigmoid float32 on gaussian: crashed: its process ended with" in text


def test_nothing_but_the_table_is_printed_when_piped(compared):
    done, _ = compared
    assert "\x1b" not in done.stdout
    assert "Traceback" not in done.stderr


def test_the_json_holds_everything_that_was_measured(compared):
    kept = store.read(compared[1] / "run.json", COMPARISON)
    run, provenance = kept.content, kept.provenance
    assert provenance.command.startswith("xent-numba compare --quick")
    assert provenance.machine.versions["numba"]
    assert run.numba["simd_bits"] in (None, 128, 256, 512)
    assert "sigmoid" in run.calls["numpy_stable"]
    right = next(row for row in run.rows if row.implementation == "fake_right")
    assert len(right.rounds) >= 6
    # The package itself is not judged here, but found by the path that was given.
    assert {row.preparation.status for row in run.rows if row.implementation == "fake_half"} == {
        "wrong",
        "n/a",
    }


def test_the_csv_has_a_line_for_each_row(compared):
    with (compared[1] / "run.csv").open(newline="") as file:
        lines = list(csv.DictReader(file))
    run = store.read(compared[1] / "run.json", COMPARISON).content
    assert len(lines) == len(run.rows)
    for line, row in zip(lines, run.rows, strict=True):
        assert line["implementation"] == row.implementation
        assert line["status"] == row.preparation.status
        assert bool(line["seconds"]) == (row.preparation.status == "ok")


def test_the_markdown_is_tables(compared):
    """All cases at a glance, and then a table of each."""
    text = (compared[1] / "run.markdown").read_text()
    blocks = [block.splitlines() for block in text.split("\n\n") if block.startswith("|")]
    for lines in blocks:
        assert len({line.count("|") for line in lines}) == 1
    kept = store.read(compared[1] / "run.json", COMPARISON).content
    cases = [case for case, _ in kept.cases()]
    assert len(blocks) == 1 + len(cases)
    assert [f"{case.dtype}, {case.size:,}" in blocks[0][0] for case in cases] == [True] * len(cases)
    sigmoid, logistic = blocks[0][2:]
    assert re.match(r"\| sigmoid, gaussian \| [\d.]+ [mµn]?s; ", sigmoid)
    # It does not compute that, and so has no time.
    assert logistic == "| logistic_loss (sum), gaussian |  |"
    assert any("fake_half | WRONG |" in line for lines in blocks[1:] for line in lines)


def test_the_figure_is_svg_and_the_same_for_the_same_run(compared):
    from xent_numba.reporting import figure

    first = (compared[1] / "run.figure").read_text()
    assert ElementTree.fromstring(first).tag.endswith("svg")
    run = store.read(compared[1] / "run.json", COMPARISON)
    assert figure.draw(run) == first


def test_a_kept_comparison_is_shown_again(compared, capsys):
    assert cli.main(["compare", "--from-json", str(compared[1] / "run.json")]) == 0
    assert capsys.readouterr().out == compared[0].stdout


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


@pytest.mark.parametrize(("command", "extra"), [("compare", "bench"), ("gate", "gate")])
def test_without_the_extra_one_sentence_says_what_to_install(monkeypatch, capsys, command, extra):
    monkeypatch.setattr(cli.importlib.util, "find_spec", lambda name: None)
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
            *("compare", *TINY, "--operation", "sigmoid", "--implementation", hanging),
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


@pytest.mark.slow
def test_a_part_of_the_suite_is_measured_and_written(tmp_path, monkeypatch, compared, capsys):
    kept = store.read(compared[1] / "run.json", COMPARISON)
    # Whatever the clock said: a control that holds, and below one that does not.
    holds = dataclasses.replace(kept.content, overall=Interval(1.0, 0.9, 1.1))
    kept = dataclasses.replace(kept, content=holds)
    monkeypatch.setattr(measuring, "compare", lambda entries, plan, **settings: kept)
    command = ["compare", "--suite", "full", *REST]
    assert cli.main(command) == 2
    assert "accepted is --output FOLDER" in capsys.readouterr().err
    command += ["--output", str(tmp_path / "new")]
    assert cli.main(command) == 0
    names = {path.name for path in (tmp_path / "new").iterdir()}
    assert names == {f"{part}.{kind}" for part in suite.PARTS for kind in ("json", "md", "csv")}
    assert cli.main(command) == 2
    assert "is there; accepted is a folder without it" in capsys.readouterr().err
    assert cli.main([*command, "--replace"]) == 0
    shifted = dataclasses.replace(kept.content, overall=Interval(1.5, 1.4, 1.6))
    kept = dataclasses.replace(kept, content=shifted)
    (tmp_path / "new" / "flights.md").unlink()
    assert cli.main([*command, "--replace"]) == 3
    aside = tmp_path / "new" / "flights.doubtful.json"
    said = f"flights failed its A/A control, and is kept in {str(aside)!r} alone"
    assert said in capsys.readouterr().err
    assert store.read(aside, COMPARISON).content.overall == shifted.overall
    assert not (tmp_path / "new" / "flights.md").exists()


def test_a_resolution_that_is_too_coarse_is_no_comparison(compared, tmp_path, capsys, monkeypatch):
    """Said above the table, never as `same`, and a status of its own if that is asked for."""
    kept = store.read(compared[1] / "run.json", COMPARISON)
    coarse = Interval(1.0, 0.7, 22.0)
    rows = [
        dataclasses.replace(row, ratio=coarse) if row.implementation.endswith(AGAIN) else row
        for row in kept.content.rows
    ]
    file = tmp_path / "coarse.json"
    store.write(file, COMPARISON, kept.provenance, dataclasses.replace(kept.content, rows=rows))
    assert cli.main(["compare", "--from-json", str(file)]) == 0
    text = capsys.readouterr().out
    first = next(line for line in text.splitlines() if "NO COMPARISON" in line)
    assert "resolution ±2100.0%" in first
    assert text.index("NO COMPARISON") < text.index("fake_right")
    assert " same" not in text.partition("logistic_loss")[0]
    assert cli.main(["compare", "--from-json", str(file), "--strict"]) == 3


@pytest.mark.slow
def test_rows_appear_as_they_are_ready_with_the_time_that_is_left(capsys, monkeypatch):
    monkeypatch.setattr(output.Progress, "EVERY", 0.0)
    command = ["compare", *QUICK, "--operation", "sigmoid", "--size", "100"]
    assert cli.main([*command, "--implementation", "numpy_stable"]) == 0
    printed = capsys.readouterr()
    assert re.search(r"\d+% (judging|timing).*, about \d+ s left", printed.err)
    assert printed.out.count("numpy_stable (A/A)") == 2
    assert printed.out.index("numpy_stable (A/A)") < printed.out.index("Times are medians")


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
