"""The runs that tell how often the gate is wrong are kept, resumed, and shown as they are."""

from __future__ import annotations

import dataclasses
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "tools"))

measure_gate = pytest.importorskip("measure_gate")

from xent_numba.results import store  # noqa: E402


def test_the_page_is_that_of_the_runs():
    assert (measure_gate.REPORTS / "README.md").read_text() == measure_gate.markdown()


def test_runs_of_this_commit_on_this_machine_go_on_and_others_do_not(tmp_path, monkeypatch):
    monkeypatch.setattr(measure_gate, "REPORTS", tmp_path)
    kept = store.read(ROOT / "reports" / "gate" / "clock.json", measure_gate.TRIALS)
    here = kept.provenance
    assert measure_gate.done("clock", here) == []
    store.write(tmp_path / "clock.json", measure_gate.TRIALS, here, kept.content)
    assert measure_gate.done("clock", here) == kept.content.runs
    assert measure_gate.done("clock", dataclasses.replace(here, commit="0" * 40)) == []
    slower = dataclasses.replace(here.machine, cpu="another")
    assert measure_gate.done("clock", dataclasses.replace(here, machine=slower)) == []
