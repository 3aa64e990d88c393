"""A sweep that is killed goes on where it was, and counts nothing twice."""

from __future__ import annotations

import dataclasses

import pytest
from in_process import Here

from xent_numba.accuracy.journal import Journal, OtherSweepError
from xent_numba.accuracy.plans import Exhaustive, float_to_bits
from xent_numba.accuracy.sweep import Sweep, total
from xent_numba.errors import ResultFileError
from xent_numba.results.machine import Machine
from xent_numba.results.provenance import Provenance

SWEEP = Sweep("numpy_stable", "float32", ("sigmoid", "logistic_loss"))
PLAN = Exhaustive(float_to_bits(1.0), float_to_bits(1.0) + 3 * 64, chunk=64, piece=16)
HERE = Provenance("xent-numba accuracy", "", None, False, Machine(versions={"numpy": "2"}))


@pytest.fixture
def journal(tmp_path):
    return Journal(tmp_path / "journal", SWEEP, PLAN, HERE)


def test_resumes_what_a_kill_left(journal):
    whole = journal.carry_out(Here())
    assert {path.name for path in journal.folder.iterdir()} == {
        *("sweep.json", "chunk-0.json", "chunk-1.json", "chunk-2.json")
    }
    (journal.folder / "chunk-1.json").unlink()
    (journal.folder / "chunk-2.json").unlink()
    seen = []
    again = journal.carry_out(Here(), resume=True, progress=lambda *done: seen.append(done))
    assert again == whole
    assert [total(f[q] for f in whole).normal.count for q in whole[0]] == [2 * 3 * 64] * 3
    assert seen == [(1, 3), (2, 3), (3, 3)]


def test_begins_anew_without_resume(journal):
    journal.carry_out(Here())
    seen = []
    journal.carry_out(Here(), progress=lambda *done: seen.append(done))
    assert seen[0] == (0, 3)


@pytest.mark.parametrize(
    "other",
    [
        {"sweep": Sweep("numpy_textbook", "float32", SWEEP.operations)},
        {"plan": dataclasses.replace(PLAN, stop=PLAN.stop + 1)},
        {"plan": dataclasses.replace(PLAN, piece=32)},
        {"provenance": dataclasses.replace(HERE, machine=Machine(versions={"numpy": "3"}))},
    ],
    ids=["sweep", "plan", "piece", "version"],
)
def test_refuses_the_journal_of_another(journal, other):
    journal.carry_out(Here())
    with pytest.raises(OtherSweepError, match="another sweep, plan, source code, processor or"):
        dataclasses.replace(journal, **other).carry_out(Here(), resume=True)


@pytest.mark.parametrize("name", ["sweep.json", "chunk-1.json"])
@pytest.mark.parametrize(
    "damage",
    [
        lambda content: b"",
        lambda content: content[: len(content) // 2],
        lambda content: bytes(range(256)),
        lambda content: content.replace(b'"content"', b'"contents"'),
    ],
    ids=["empty", "cut", "binary", "renamed"],
)
def test_a_damaged_journal_gets_one_sentence(journal, name, damage):
    journal.carry_out(Here())
    path = journal.folder / name
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(ResultFileError, match=f"{name}.*without --resume$"):
        journal.carry_out(Here(), resume=True)


def test_a_chunk_beyond_the_plan_is_refused(journal):
    journal.carry_out(Here())
    (journal.folder / "chunk-1.json").rename(journal.folder / "chunk-3.json")
    with pytest.raises(ResultFileError, match="is no chunk of this sweep, which has 3"):
        journal.carry_out(Here(), resume=True)


def test_counts_of_others_are_refused(journal):
    journal.carry_out(Here())
    path = journal.folder / "chunk-0.json"
    path.write_text(path.read_text().replace("sigmoid loss", "sigmoid gain"))
    with pytest.raises(ResultFileError, match="holds counts of other quantities"):
        journal.carry_out(Here(), resume=True)
