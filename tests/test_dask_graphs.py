"""The graph of a dask array has a few tasks a chunk, and reads and computes a chunk in one."""

from __future__ import annotations

import numpy as np
import pytest

import xent_numba
from xent_numba.operations import OPERATIONS, REDUCTIONS

da = pytest.importorskip(
    "dask.array", reason="dask is not installed: pip install 'xent-numba[dask]'"
)
dask = pytest.importorskip("dask")

LOSSES = [operation for operation in OPERATIONS.values() if operation.labels]
CHUNKS = 64


def stored(values, chunk=100):
    """An array that is read chunk by chunk, as from a store."""

    class Store:
        shape, dtype, ndim = values.shape, values.dtype, values.ndim

        def __getitem__(self, place):
            return values[place]

    return da.from_array(Store(), chunks=chunk, inline_array=True, name=False)


def tasks(lazy):
    """Tasks of the graph that a scheduler is given."""
    found = dask.optimize(*lazy) if isinstance(lazy, tuple) else dask.optimize(lazy)
    return len({key for one in found for key in dict(one.__dask_graph__())})


@pytest.mark.parametrize("reduction", REDUCTIONS)
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("operation", LOSSES[1:4:2], ids=lambda operation: operation.name)
def test_reading_and_computing_are_one_task_a_chunk(operation, reduction, weighted):
    first, labels, weights = (stored(np.full(100 * CHUNKS, 0.5, kind)) for kind in "fbf")
    labels = stored(np.ones(100 * CHUNKS, np.int8))
    lazy = getattr(xent_numba, operation.name)(
        first, labels, sample_weight=weights if weighted else None, reduction=reduction
    )
    # Beside it a gradient is taken out of what a task gives, and an eighth and a bit joins.
    of_items = operation.gradient * (2 if reduction == "none" else 1)
    joined = 0 if reduction == "none" else 1 / 7 + 1 / CHUNKS
    # The weights of a mean are summed before its gradient is computed, from one reading.
    before = weighted and operation.gradient and reduction == "mean"
    assert tasks(lazy) <= CHUNKS * (1 + of_items + joined + before * (2 + joined))


def test_the_graph_grows_as_the_chunks_do():
    def size(chunks):
        scores, labels = da.zeros(chunks, chunks=1), da.ones(chunks, chunks=1, dtype=np.int8)
        return tasks(xent_numba.logistic_loss(scores, labels))

    few, more, many = size(100), size(200), size(400)
    assert many - more <= 2 * (more - few) + 10
    assert many < 1.2 * 400


def test_labels_in_other_chunks_cost_a_task_a_chunk_more():
    scores, labels = (stored(np.ones(100 * CHUNKS), chunk) for chunk in (100, 150))
    assert tasks(xent_numba.logistic_loss(scores, labels)) < 4.2 * CHUNKS


@pytest.mark.parametrize("dtype", ["float16", "float32"])
def test_dtype_and_meta_are_those_of_the_result(dtype):
    scores, labels = da.zeros(9, chunks=4, dtype=dtype), da.ones(9, chunks=2, dtype=np.int8)
    lazy = [xent_numba.sigmoid(scores)]
    for reduction in REDUCTIONS:
        lazy += [
            xent_numba.logistic_loss(scores, labels, reduction=reduction),
            *xent_numba.logistic_loss_and_grad(scores, labels, reduction=reduction),
        ]
    for one in lazy:
        found = one.compute()
        assert one.dtype == one._meta.dtype == found.dtype
        assert one.shape == found.shape
        assert type(one._meta) is np.ndarray
