"""Where a result comes from is told in full, and invented nowhere."""

import dataclasses
import datetime

from xent_numba import __version__
from xent_numba.results import machine, provenance
from xent_numba.results.machine import Machine
from xent_numba.results.provenance import Provenance


def test_a_run_that_starts_now_says_where_and_when():
    found = Provenance.now("xent-numba compare")
    age = datetime.datetime.now(datetime.UTC) - datetime.datetime.fromisoformat(found.started)
    assert datetime.timedelta(0) <= age < datetime.timedelta(minutes=1)
    assert found.machine.versions["xent-numba"] == __version__
    assert found.machine.usable_cpus == machine.usable_cpus() >= 1
    assert found.commit is None or len(found.commit) == 40


def test_the_commit_is_that_of_the_checkout_the_package_is_in(monkeypatch, tmp_path):
    inside = tmp_path / "venv" / "xent_numba" / "results"
    inside.mkdir(parents=True)
    assert machine.output_of("git", "init", "-q", str(tmp_path)) == ""
    monkeypatch.setattr(provenance, "__file__", str(inside / "provenance.py"))
    assert provenance.commit() == (None, False)


def test_the_sentence_has_all_of_it_and_no_holes():
    full = Provenance(
        "xent-numba info",
        "2026-01-01T00:00:00+00:00",
        "0123456789abcdef",
        True,
        Machine(
            cpu="a processor", gpu="a GPU", system="a system", python="3.12", versions={"n": "1"}
        ),
    )
    assert str(full) == (
        "a processor, a GPU, a system, Python 3.12, n 1. "
        "2026-01-01T00:00:00+00:00, by `xent-numba info` at 0123456789 (modified)."
    )
    bare = dataclasses.replace(full, started="", commit=None, modified=False, machine=Machine())
    assert str(bare) == "no GPU. By `xent-numba info` at no commit."
