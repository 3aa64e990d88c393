"""A sum over a dask array has the bits of the sum over the NumPy array, however it is cut."""

from __future__ import annotations

import numpy as np
import pytest

import xent_numba
from xent_numba.operations import OPERATIONS

da = pytest.importorskip(
    "dask.array", reason="dask is not installed: pip install 'xent-numba[dask]'"
)

dask = pytest.importorskip("dask")

LOSSES = [operation for operation in OPERATIONS.values() if operation.labels]
SIZES = (0, 1, 2, 1023, 1024, 1025, 2047, 2048, 2049, 4096, 10_007, 100_003)
SCALES = (None, 1.0, 1e-300, 1e300, 1e-30, 1e30)


def partition(rng, size, most=12):
    """Chunk sizes of one axis, some of them 0, 1 or one off a section."""
    cuts = rng.integers(0, size + 1, rng.integers(0, most))
    near = rng.integers(0, max(size // 2048, 1) + 1, 3) * 2048 + rng.integers(-1, 2, 3)
    cuts = np.sort(np.concatenate([cuts, np.clip(near, 0, size)]))
    return tuple(np.diff(np.concatenate([[0], cuts, [size]])).tolist())


def in_pieces(rng, array):
    if rng.random() < 0.5:  # as what is mapped, or comes from a store, is
        array = array.copy()
        array.flags.writeable = False
    return da.from_array(array, chunks=tuple(partition(rng, length) for length in array.shape))


def drawn(rng, operation, label_dtypes):
    """A first argument, labels, and options of a call."""
    size = int(rng.choice(SIZES))
    dtype = rng.choice(["float32", "float64"])
    shape = (size,)
    if rng.random() < 0.3 and size > 2:
        shape = (size // 3, 3) if rng.random() < 0.5 else (2, size // 2)
    first = rng.normal(size=shape) * rng.choice([0.1, 1, 8, 1e4])
    if operation.first == "probabilities":
        first = np.clip(rng.beta(0.3, 0.3, size=shape), 1e-30, 1)
    kind = str(rng.choice(label_dtypes)) if operation.labels.soft else "int8"
    if operation.labels.soft and kind.startswith("float") and rng.random() < 0.5:
        labels = np.where(rng.random(shape) < 0.3, rng.random(shape), rng.random(shape) < 0.5)
    else:
        labels = rng.choice(operation.labels.hard, size=shape)
    options = {"reduction": str(rng.choice(["sum", "mean"] if first.size else ["sum"]))}
    scale = SCALES[rng.integers(len(SCALES))]
    if scale is not None:
        weights = rng.random(shape) * scale
        weights[rng.random(shape) < 0.2] = 0
        if weights.size and not weights.any():
            weights[...] = scale
        options["sample_weight"] = weights
    return first.astype(dtype), labels.astype(kind), options


def differing(rng, operation, label_dtypes=("int8",)):
    """Results of a random call, 0 to 2, that have other bits than those of NumPy arrays."""
    first, labels, options = drawn(rng, operation, label_dtypes)
    function = getattr(xent_numba, operation.name)
    expected = function(first, labels, **options)
    weights = {
        name: in_pieces(rng, value) for name, value in options.items() if name == "sample_weight"
    }
    lazy = function(in_pieces(rng, first), in_pieces(rng, labels), **options | weights)
    if not operation.gradient:
        lazy, expected = (lazy,), (expected,)
    found = dask.compute(*lazy, scheduler=str(rng.choice(["synchronous", "threads"])))
    return sum(
        (got.dtype, got.shape, got.tobytes()) != (want.dtype, want.shape, want.tobytes())
        for got, want in zip(found, expected, strict=True)
    )


def seeds(count):
    """The first in every run, the others where there is time."""
    return [0, *(pytest.param(seed, marks=pytest.mark.slow) for seed in range(1, count))]


@pytest.mark.parametrize("operation", LOSSES, ids=lambda o: o.name)
@pytest.mark.parametrize("seed", seeds(11))
def test_random_partitions(operation, seed):
    assert not differing(np.random.default_rng((seed, len(operation.name))), operation)


@pytest.mark.parametrize("name", ["logistic_loss", "logistic_loss_and_grad"])
@pytest.mark.parametrize("chunks", [(0,), (0, 2051, 0, 500)])
def test_pieces_without_samples(chunks, name):
    size = sum(chunks)
    scores = np.linspace(-9, 9, size, dtype=np.float32)
    labels = np.where(np.arange(size) % 3, 1, -1).astype(np.int8)
    weights = np.linspace(0, 1, size, dtype=np.float32)
    options = {"reduction": "mean" if size else "sum"}
    arrays = scores, labels, weights
    first, second, third = (da.from_array(array, chunks=(chunks,)) for array in arrays)
    function = getattr(xent_numba, name)
    lazy = function(first, second, sample_weight=third, **options)
    expected = function(scores, labels, sample_weight=weights, **options)
    if name == "logistic_loss":
        lazy, expected = (lazy,), (expected,)
    for got, want in zip(dask.compute(*lazy), expected, strict=True):
        np.testing.assert_array_equal(got, want)
        assert got.dtype == want.dtype


@pytest.mark.parametrize("name", ["binary_cross_entropy", "binary_cross_entropy_with_logits"])
@pytest.mark.parametrize("seed", seeds(4))
def test_random_partitions_of_soft_labels(seed, name):
    assert not differing(np.random.default_rng((1, seed)), OPERATIONS[name], ("float32",))
