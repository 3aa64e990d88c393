"""``xent-numba accuracy``: files whole or not at all, errors in one sentence."""

from __future__ import annotations

import dataclasses

import pytest

from xent_numba.accuracy import journal, study
from xent_numba.accuracy.study import STUDY
from xent_numba.cli import main
from xent_numba.results import store

SMALL = ["accuracy", "--implementation", "numpy_stable", "--operation", "binary_cross_entropy"]


@pytest.fixture(autouse=True)
def few_steps(monkeypatch):
    monkeypatch.setattr(study, "REACH", 3)
    monkeypatch.setattr(study, "ROUNDS", 1)


def studied(folder):
    return store.read(folder / "accuracy.json", STUDY).content


@pytest.mark.slow
def test_writes_json_and_markdown(tmp_path, capsys):
    arguments = [*SMALL, "--samples", "1", "--processes", "1", "--output", str(tmp_path)]
    assert main([*arguments, "--dtype", "float64"]) == 0
    first = studied(tmp_path)
    assert [(row.quantity.label, row.complete) for row in first.rows] == [(0, False), (1, False)]
    # Where NumPy takes the C library's logarithm, a result is as good as rounded correctly.
    assert all(0.49 < row.normal.max_ulp < 2 for row in first.rows)
    assert all(run.command.startswith("xent-numba accuracy --implementation") for run in first.runs)
    page = (tmp_path / "accuracy.md").read_text()
    assert "| binary_cross_entropy | 0 | float64 | ≥ " in page
    assert "numpy_stable" in capsys.readouterr().out

    # The same again, from the journals: nothing is counted twice.
    assert main([*arguments, "--dtype", "float64", "--resume"]) == 0
    again = studied(tmp_path)
    assert again.rows == first.rows

    # Another dtype is added, and what is there stays.
    assert main([*arguments, "--dtype", "float32"]) == 0
    both = studied(tmp_path)
    assert len(both.rows) == 4
    assert all(row in [dataclasses.replace(b, run=0) for b in both.rows] for row in again.rows)
    assert len(both.runs) == 2


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("accuracy", "accuracy"),
        ("sums", "errors of sums"),
        ("functions", "functions of vectormath"),
    ],
)
@pytest.mark.parametrize("content", ["", '{"rows": []}', "[" * 9999])
def test_what_is_malformed_is_noticed_before_the_sweep(
    tmp_path, capsys, monkeypatch, content, name, kind
):
    monkeypatch.setattr(study, "measure", lambda *arguments, **options: pytest.fail("was swept"))
    (tmp_path / f"{name}.json").write_text(content)
    assert main([*SMALL, "--output", str(tmp_path)]) == 2
    error = capsys.readouterr().err
    assert f"{name}.json' holds no {kind} of this version" in error
    assert error.count("\n") == 1
    assert (tmp_path / f"{name}.json").read_text() == content


def test_unavailable_implementation_is_a_line(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("xent_numba.registry.Implementation.unavailable", lambda self: "no reason")
    assert main([*SMALL, "--processes", "1", "--output", str(tmp_path)]) == 0
    assert "numpy_stable: unavailable: no reason." in capsys.readouterr().out


def test_refuses_the_journal_of_other_sources(tmp_path, capsys, monkeypatch):
    arguments = [*SMALL, "--samples", "1", "--processes", "1", "--output", str(tmp_path)]
    assert main([*arguments, "--dtype", "float32"]) == 0
    monkeypatch.setattr(journal, "sources_digest", lambda name: "of other sources")
    assert main([*arguments, "--dtype", "float32", "--resume"]) == 2
    assert "belongs to another sweep" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("option", "message"),
    [
        (["--samples", "0"], "'0'; accepted is a whole number"),
        (["--samples", "2^40"], "'2^40'; accepted is a whole number from 1 to 1000000000"),
        (["--implementation", "numpy_stabel"], "did you mean 'numpy_stable'?"),
        (["--output", __file__], "accepted is a folder"),
    ],
)
def test_bad_options(option, message, capsys):
    with pytest.raises(SystemExit) as stop:
        main(["accuracy", *option])
    assert stop.value.code == 2
    assert message in capsys.readouterr().err
