"""Dask arrays: every chunk is computed by the public function, and nothing until it is asked for.

Chunk sums are rounded to the dtype of the scores and added in float64, in dask's order: unlike the
sum over a NumPy array, the last bit may depend on how the data is chunked. An error that names an
index means the index within the chunk.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from xent_numba.operations import Call
from xent_numba.validation import (
    check_reduction,
    check_shape,
    float_dtype,
    raise_bad_weight_sum,
)


def evaluate(compute: Callable[..., Any], call: Call) -> Any:
    """The operation on dask arrays, lazily.

    Parameters
    ----------
    compute : callable
        The public function, called with the NumPy arrays of one chunk.
    call : Call
        `first` is a dask array, whose chunks are the unit of work; labels and weights are brought
        to its chunks.

    Returns
    -------
    dask.array.Array or tuple of dask.array.Array
        What the public function returns, as dask arrays.
    """
    import dask
    import dask.array as da

    operation, first, labels, sample_weight, reduction, _, _ = call
    first = first.astype(float_dtype(operation.first, first.dtype))
    if np.isnan(first.size):
        raise ValueError(
            f"{operation.first} has chunks of unknown size, shape {first.shape}; accepted are "
            "known chunk sizes, such as those after .compute_chunk_sizes()"
        )
    if operation.labels is None:
        return first.map_blocks(compute, dtype=first.dtype)

    inputs = {"labels": labels, "sample_weight": sample_weight}
    inputs = {name: da.asarray(value) for name, value in inputs.items() if value is not None}
    for name, array in inputs.items():
        check_shape(name, array, call, first.shape)
        inputs[name] = array.rechunk(first.chunks)
    check_reduction(call, first.shape)

    chunks = list(first.blocks.ravel())
    results = []
    for chunk, *others in zip(chunks, *(a.blocks.ravel() for a in inputs.values()), strict=True):
        call = dask.delayed(compute, nout=2 if operation.gradient else None)(
            chunk,
            **dict(zip(inputs, others, strict=True)),
            reduction="none" if reduction == "none" else "sum",
        )
        results.append(tuple(call) if operation.gradient else (call,))

    def assemble(parts: Any) -> Any:
        grid = np.empty(first.numblocks, object)
        for place, chunk, part in zip(np.ndindex(grid.shape), chunks, parts, strict=True):
            grid[place] = da.from_delayed(part, chunk.shape, first.dtype)
        return da.block(grid.tolist())

    losses, *gradients = zip(*results, strict=True)
    if reduction == "none":
        loss, scale = assemble(losses), 1
    else:
        total = da.stack([da.from_delayed(part, (), first.dtype) for part in losses])
        scale = 1
        if reduction == "mean":
            weights = inputs.get("sample_weight")
            scale = first.size
            if weights is not None:
                scale = weights.sum(dtype=np.float64).map_blocks(_checked_sum, dtype=np.float64)
        loss = (total.sum(dtype=np.float64) / scale).astype(first.dtype)
    if not operation.gradient:
        return loss
    return loss, (assemble(gradients[0]) / scale).astype(first.dtype)


def _checked_sum(total: np.ndarray) -> np.ndarray:
    if not 0 < total < np.inf:
        raise_bad_weight_sum(float(total))
    return total
