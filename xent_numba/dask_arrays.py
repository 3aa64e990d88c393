"""Dask arrays: every chunk is computed by the public function, and nothing until it is asked for.

Chunk sums are rounded to the dtype of the scores and added in float64, in dask's order: unlike the
sum over a NumPy array, the last bit may depend on how the data is chunked. An error that names an
index means the index within the chunk.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from xent_numba.host_arrays import float_dtype, is_on_device, refuse_meaning, take
from xent_numba.operations import Call
from xent_numba.validation import check_reduction, check_shape, raise_bad_weight_sum


def evaluate(compute: Callable[..., Any], call: Call) -> Any:
    """The operation on dask arrays, lazily.

    Parameters
    ----------
    compute : callable
        The public function, called with the NumPy arrays of one chunk.
    call : Call
        `first` is a dask array, whose chunks are the unit of work; labels and weights are brought
        to its chunks. A series of a dask DataFrame becomes an array, for which the lengths of its
        partitions are computed.

    Returns
    -------
    dask.array.Array or tuple of dask.array.Array
        What the public function returns, as dask arrays.
    """
    operation = call.operation
    for name, array in (("out", call.out), ("grad_out", call.grad_out)):
        if array is not None:
            raise TypeError(
                f"{name} is a {type(array).__name__}; accepted with a dask array is None, since "
                "nothing is computed yet"
            )
    first = _chunked(operation.first, call.first)
    first = first.astype(float_dtype(operation.first, first.dtype))
    check_reduction(call, first.shape)
    if operation.labels is None:
        return first.map_blocks(compute, dtype=first.dtype)
    inputs = {}
    for name in ("labels", "sample_weight"):
        if name == "labels" or call.sample_weight is not None:
            array = _chunked(name, getattr(call, name))
            check_shape(name, array, call, first.shape)
            inputs[name] = array.rechunk(first.chunks)
    losses, gradients = _by_chunk(compute, call, first, inputs)
    scale = _scale(call, first, inputs) if call.reduction == "mean" else 1
    if call.reduction == "none":
        loss = _assembled(first, losses)
    else:
        loss = (_total(losses, first.dtype) / scale).astype(first.dtype)
    if not operation.gradient:
        return loss
    return loss, (_assembled(first, gradients) / scale).astype(first.dtype)


def _chunked(name: str, value: Any) -> Any:
    """`value` as a dask array; refused where it is another kind of graph, or hides a mask."""
    import dask.array as da

    if hasattr(type(value), "to_dask_array"):
        value = value.to_dask_array(lengths=True)
    if hasattr(type(value), "__dask_graph__") and not isinstance(value, da.Array):
        refuse_meaning(name, value)
        raise TypeError(
            f"{name} is a dask {type(value).__name__}; accepted is a dask.array.Array, such as "
            "that of dask.array.from_delayed"
        )
    if not isinstance(value, da.Array):
        return da.from_array(take(name, value))
    if not is_on_device(name, value._meta):
        take(name, value._meta)
    if np.isnan(value.size):
        raise ValueError(
            f"{name} has chunks of unknown size, shape {value.shape}; accepted are known chunk "
            "sizes, such as those after .compute_chunk_sizes()"
        )
    return value


def _by_chunk(
    compute: Callable[..., Any], call: Call, first: Any, inputs: dict[str, Any]
) -> tuple[list[Any], list[Any]]:
    """What is computed of each chunk, in C order: losses or their sum, and gradients."""
    import dask

    gradient = call.operation.gradient
    computed = dask.delayed(compute, nout=2 if gradient else None)
    reduction = "none" if call.reduction == "none" else "sum"
    losses, gradients = [], []
    chunks = (array.to_delayed().ravel() for array in (first, *inputs.values()))
    for chunk, *others in zip(*chunks, strict=True):
        named = dict(zip(inputs, others, strict=True))
        result = computed(chunk, **named, reduction=reduction)
        loss, slope = result if gradient else (result, None)
        losses.append(loss)
        gradients.append(slope)
    return losses, gradients


def _assembled(first: Any, parts: list[Any]) -> Any:
    """One array of what was computed per sample of each chunk."""
    import dask.array as da

    grid = np.empty(first.numblocks, object)
    for place, part in zip(np.ndindex(grid.shape), parts, strict=True):
        shape = tuple(sizes[i] for sizes, i in zip(first.chunks, place, strict=True))
        grid[place] = da.from_delayed(part, shape, first.dtype)
    return da.block(grid.tolist())


def _total(parts: list[Any], dtype: np.dtype) -> Any:
    import dask.array as da

    return da.stack([da.from_delayed(part, (), dtype) for part in parts]).sum(dtype=np.float64)


def _scale(call: Call, first: Any, inputs: dict[str, Any]) -> Any:
    """What a mean is divided by."""
    if call.sample_weight is None:
        return first.size
    total = inputs["sample_weight"].sum(dtype=np.float64)
    return total.map_blocks(_checked_sum, dtype=np.float64)


def _checked_sum(total: np.ndarray) -> np.ndarray:
    if not 0 < total < np.inf:
        raise_bad_weight_sum(float(total))
    return total
