"""Dask arrays: every chunk is computed by the public function, and nothing until it is asked for.

Chunk sums are added in float64. Their order is dask's, so unlike the sum over a NumPy array the
last bit may depend on how the data is chunked.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from xent_numba.operations import REDUCTIONS, Operation


def evaluate(
    compute: Callable[..., Any],
    operation: Operation,
    first: Any,
    labels: Any,
    sample_weight: Any,
    reduction: str,
    implementation: str,
) -> Any:
    """The operation on dask arrays, lazily.

    Parameters
    ----------
    compute : callable
        The public function, called with the NumPy arrays of one chunk.
    operation : Operation
        What `compute` computes.
    first : dask.array.Array
        Scores or probabilities; its chunks are the unit of work.
    labels, sample_weight : array_like or None
        Brought to the chunks of `first`.
    reduction : {"none", "sum", "mean"}
        As in the public function.
    implementation : str
        Computes each chunk.

    Returns
    -------
    dask.array.Array or tuple of dask.array.Array
        What the public function returns, as dask arrays.
    """
    import dask
    import dask.array as da

    if reduction not in REDUCTIONS:
        raise ValueError(f"reduction is {reduction!r}; accepted are {', '.join(REDUCTIONS)}")
    if first.dtype not in (np.float32, np.float64):
        first = first.astype(np.float64)
    if operation.labels is None:
        return first.map_blocks(compute, implementation=implementation, dtype=first.dtype)

    inputs = {"labels": labels, "sample_weight": sample_weight}
    inputs = {name: da.asarray(value) for name, value in inputs.items() if value is not None}
    for name, array in inputs.items():
        if array.shape != first.shape:
            raise ValueError(
                f"{name} has shape {array.shape}; accepted is the shape of {operation.first}, "
                f"{first.shape}"
            )
        inputs[name] = array.rechunk(first.chunks)
    if reduction == "mean" and first.size == 0:
        raise ValueError(
            f"reduction is 'mean' and {operation.first} has shape {first.shape}, no samples; "
            "accepted is at least one sample, or the reduction 'sum' or 'none'"
        )

    chunks = list(first.blocks.ravel())
    results = []
    for chunk, *others in zip(chunks, *(a.blocks.ravel() for a in inputs.values()), strict=True):
        call = dask.delayed(compute, nout=2 if operation.gradient else None)(
            chunk,
            **dict(zip(inputs, others, strict=True)),
            reduction="none" if reduction == "none" else "sum",
            implementation=implementation,
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
            scale = first.size if weights is None else weights.sum(dtype=np.float64)
        loss = (total.sum(dtype=np.float64) / scale).astype(first.dtype)
    if not operation.gradient:
        return loss
    return loss, (assemble(gradients[0]) / scale).astype(first.dtype)
