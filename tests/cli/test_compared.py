"""What a comparison prints and writes, when it is made and when it is shown again."""

from __future__ import annotations

import csv
import dataclasses
import os
import re
import subprocess
import sys
from xml.etree import ElementTree

import pytest
from fake_implementations import QUICK, REST, write

from xent_numba import cli
from xent_numba.cli import output
from xent_numba.measurement import compare as measuring
from xent_numba.measurement import suite
from xent_numba.measurement.comparison import COMPARISON
from xent_numba.measurement.participant import AGAIN
from xent_numba.measurement.statistics import Interval
from xent_numba.results import store


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
