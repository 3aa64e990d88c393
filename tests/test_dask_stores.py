"""Dask arrays that come from files, good and bad; and chunks that are not what they were said."""

from __future__ import annotations

import re
import runpy
import sys
from pathlib import Path

import numpy as np
import pytest

import xent_numba

dask = pytest.importorskip("dask", reason="dask is not installed: pip install 'xent-numba[dask]'")
da = pytest.importorskip("dask.array")

ROOT = Path(__file__).parents[1]
EXAMPLE = ROOT / "examples" / "larger_than_memory.py"
SIZE, CHUNK = 10_007, 1_000
RNG = np.random.default_rng(8)
SCORES = RNG.normal(0, 4, SIZE).astype(np.float32)
LABELS = RNG.choice([-1, 1], SIZE).astype(np.int8)


@pytest.fixture
def example():
    return runpy.run_path(str(EXAMPLE))


@pytest.fixture
def paths(tmp_path):
    found = {"scores": SCORES, "labels": LABELS}
    for name, values in found.items():
        np.save(tmp_path / f"{name}.npy", values)
    return [tmp_path / f"{name}.npy" for name in found]


def test_files_are_read_by_chunk_with_the_bits_of_the_whole(example, paths):
    scores, labels = (example["lazily"](path, CHUNK) for path in paths)
    lazy = xent_numba.logistic_loss(scores, labels)
    assert lazy.compute() == xent_numba.logistic_loss(SCORES, LABELS)
    # Reading and computing are one task, and eleven chunks are joined by two and one.
    assert len(dict(dask.optimize(lazy)[0].__dask_graph__())) <= 11 + 3


def test_the_example_prints_and_names_what_is_wrong(example, paths, capsys):
    example["main"]([str(path) for path in paths])
    loss = xent_numba.logistic_loss(SCORES, LABELS)
    assert f"{SIZE} samples, mean loss {loss!r}" in capsys.readouterr().out
    with pytest.raises(SystemExit, match=r"missing.npy cannot be opened .*; accepted is a whole"):
        example["main"]([str(paths[0]), "missing.npy"])
    wrong = LABELS.copy()
    wrong[7_777] = 3
    np.save(paths[1], wrong)
    with pytest.raises(SystemExit, match=r"^labels\[7777\] is 3; accepted is -1 or \+1$"):
        example["main"]([str(path) for path in paths])


@pytest.mark.parametrize("scheduler", ["synchronous", "threads"])
def test_a_file_that_is_cut_off_meanwhile_is_named_with_the_samples(example, paths, scheduler):
    scores, labels = (example["lazily"](path, CHUNK) for path in paths)
    whole = paths[0].read_bytes()
    paths[0].write_bytes(whole[: len(whole) // 2])
    lazy = xent_numba.logistic_loss(scores, labels)
    with pytest.raises(OSError, match=r"scores.npy cannot be read at samples \d+ to \d+ \("):
        lazy.compute(scheduler=scheduler)
    paths[0].write_bytes(b"")
    with pytest.raises(OSError, match=r"scores\.npy cannot be opened"):
        example["lazily"](paths[0])


@pytest.mark.parametrize("reduction", ["none", "sum", "mean"])
def test_a_store_that_fails_is_not_taken_for_a_bad_value(reduction):
    """What a reader says stays what it says."""

    def read(block):
        if block.size:
            raise ValueError("checksum of chunk 0.0 differs")
        return block

    scores = da.from_array(SCORES, chunks=CHUNK).map_blocks(read, dtype="f4", meta=SCORES[:0])
    lazy = xent_numba.logistic_loss(scores, LABELS, reduction=reduction)
    with pytest.raises(ValueError, match=r"^checksum of chunk 0\.0 differs$"):
        lazy.compute()


@pytest.mark.parametrize("name", ["scores", "labels", "sample_weight"])
@pytest.mark.parametrize("by", ["auto", "numpy_stable"])
@pytest.mark.parametrize("reduction", ["none", "mean"])
def test_a_chunk_that_is_not_what_it_was_said_to_be_is_named(name, by, reduction):
    given = {
        "scores": da.from_array(SCORES, chunks=CHUNK),
        "labels": da.from_array(LABELS, chunks=CHUNK),
        "sample_weight": da.ones(SIZE, chunks=CHUNK),
    }

    def masked(block, block_info=None):
        return np.ma.masked_array(block) if block_info[0]["chunk-location"] == (4,) else block

    def text(block, block_info=None):
        return block.astype("U4") if block_info[0]["chunk-location"] == (4,) else block

    for fault, said in ((masked, "is a MaskedArray, whose mask"), (text, "has dtype <U4; ")):
        meta = np.empty(0, given[name].dtype)
        bad = {**given, name: given[name].map_blocks(fault, dtype=meta.dtype, meta=meta)}
        lazy = xent_numba.logistic_loss(**bad, implementation=by, reduction=reduction)
        with pytest.raises(
            TypeError, match=rf"^{name} {said}.*, in the chunk that begins at \[4000\]$"
        ):
            lazy.compute()


def test_so_it_is_of_the_sigmoid():
    scores = da.from_array(SCORES, chunks=CHUNK)
    bad = scores.map_blocks(np.ma.masked_array, dtype="f4", meta=SCORES[:0])
    with pytest.raises(TypeError, match=r"^scores is a MaskedArray.*, in the chunk that begins at"):
        xent_numba.sigmoid(bad).compute()


@pytest.mark.parametrize("name", ["scores", "labels", "sample_weight"])
def test_objects_are_refused_before_anything_is_computed(name):
    objects = np.array([1, None, 1, 1], object)
    for bad in (da.from_array(objects, chunks=2), objects):
        given = {"scores": da.zeros(4), "labels": LABELS[:4], "sample_weight": np.ones(4)}
        given[name] = bad
        with pytest.raises(TypeError, match=f"^{name} has dtype object; accepted are"):
            xent_numba.logistic_loss(**given)


def test_dask_and_numpy_of_other_shapes():
    for scores, labels in (
        (da.zeros(4), np.ones(5)),
        (da.zeros(4), da.ones((4, 1))),
        (da.zeros((2, 2)), np.ones(4)),
    ):
        sentence = rf"labels has shape {re.escape(str(labels.shape))}; accepted is the shape of sco"
        with pytest.raises(ValueError, match=sentence):
            xent_numba.logistic_loss(scores, labels)


def test_parquet_by_a_dask_dataframe(tmp_path):
    """The example of the page, on files that are made here."""
    for package in ("pandas", "pyarrow"):
        pytest.importorskip(package, reason=f"{package} is not installed: pip install {package}")
    import pandas as pd

    for part, rows in enumerate((slice(0, 4_000), slice(4_000, SIZE))):
        frame = pd.DataFrame({"score": SCORES[rows], "label": LABELS[rows]})
        frame.to_parquet(tmp_path / f"part-{part}.parquet")
    page = (ROOT / "docs" / "dask.md").read_text()
    (block,) = re.findall(r"^```python\n(import dask\.dataframe.*?)^```", page, re.S | re.M)
    names = {}
    exec(block.replace('"scores/*.parquet"', repr(str(tmp_path / "*.parquet"))), names)
    assert names["loss"] == xent_numba.logistic_loss(SCORES, LABELS)


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_the_out_of_core_trial_leaves_no_file(tmp_path):
    import os
    import subprocess

    trial = ROOT / "tests" / "soak" / "out_of_core.py"
    done = subprocess.run(
        [sys.executable, str(trial), "5000"],
        env={**os.environ, "TMPDIR": str(tmp_path)}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert not done.returncode, done.stderr
    assert not list(tmp_path.iterdir())
