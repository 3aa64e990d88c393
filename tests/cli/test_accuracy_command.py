"""``xent-numba accuracy``: files whole or not at all, errors in one sentence."""

from __future__ import annotations

import pytest

from xent_numba.accuracy import study, sweep
from xent_numba.accuracy.study import Survey
from xent_numba.cli import main

SMALL = ["accuracy", "--implementation", "numpy_stable", "--operation", "binary_cross_entropy"]


@pytest.fixture(autouse=True)
def few_steps(monkeypatch):
    monkeypatch.setattr(study, "REACH", 3)
    monkeypatch.setattr(study, "ROUNDS", 1)


def test_writes_json_and_markdown(tmp_path, capsys):
    arguments = [*SMALL, "--samples", "1", "--processes", "1", "--output", str(tmp_path)]
    assert main([*arguments, "--dtype", "float64"]) == 0
    survey = Survey.from_json((tmp_path / "accuracy.json").read_text())
    assert [(row.target.label, row.complete) for row in survey.rows] == [(0.0, False), (1.0, False)]
    assert all(0.5 <= row.findings.normal.max_ulp < 2 for row in survey.rows)
    assert all(
        row.origin["command"].startswith("xent-numba accuracy --implementation")
        for row in survey.rows
    )
    page = (tmp_path / "accuracy.md").read_text()
    assert "| binary_cross_entropy | 0 | float64 | ≥ " in page
    assert "numpy_stable" in capsys.readouterr().out

    # The same again, from the journals: nothing is counted twice.
    assert main([*arguments, "--dtype", "float64", "--resume"]) == 0
    again = Survey.from_json((tmp_path / "accuracy.json").read_text())
    assert [row.findings for row in again.rows] == [row.findings for row in survey.rows]

    # Another dtype is added, and what is there stays.
    assert main([*arguments, "--dtype", "float32"]) == 0
    both = Survey.from_json((tmp_path / "accuracy.json").read_text())
    assert len(both.rows) == 4
    assert all(row in both.rows for row in again.rows)


def test_unavailable_implementation_is_a_line(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("xent_numba.registry.Implementation.unavailable", lambda self: "no reason")
    assert main([*SMALL, "--processes", "1", "--output", str(tmp_path)]) == 0
    assert "numpy_stable: unavailable: no reason." in capsys.readouterr().out


def test_refuses_the_journal_of_other_sources(tmp_path, capsys, monkeypatch):
    arguments = [*SMALL, "--samples", "1", "--processes", "1", "--output", str(tmp_path)]
    assert main([*arguments, "--dtype", "float32"]) == 0
    monkeypatch.setattr(sweep, "sources_digest", lambda name: "of other sources")
    assert main([*arguments, "--dtype", "float32", "--resume"]) == 2
    assert "--resume: the journal" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("option", "message"),
    [
        (["--samples", "0"], "'0'; accepted is a whole number"),
        (["--implementation", "numpy_stabel"], "did you mean 'numpy_stable'?"),
        (["--output", __file__], "accepted is a folder"),
    ],
)
def test_bad_options(option, message, capsys):
    with pytest.raises(SystemExit) as stop:
        main(["accuracy", *option])
    assert stop.value.code == 2
    assert message in capsys.readouterr().err
