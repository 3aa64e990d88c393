"""Dask arrays: every chunk is computed by the public function, and nothing until it is asked for.

Chunk sums are rounded to the dtype of the scores and added in float64, in dask's order: unlike the
sum over a NumPy array, the last bit may depend on how the data is chunked. An error that names an
index means the index within the chunk.
"""

from __future__ import annotations

import math
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
    import dask
    import dask.array as da

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
    inputs = _inputs(call, first)
    chunks = (array.to_delayed().ravel() for array in (first, *inputs.values()))
    one = dask.delayed(_chunk, nout=3)
    shares, losses, gradients = zip(
        *(
            one(compute, call.reduction, arrays[0], dict(zip(inputs, arrays[1:], strict=True)))
            for arrays in zip(*chunks, strict=True)
        ),
        strict=True,
    )
    loss, factors = dask.delayed(_combined, nout=2)(call.reduction, shares, losses, first.dtype)
    if call.reduction == "none":
        loss = _assembled(first, losses)
    else:
        loss = da.from_delayed(loss, (), first.dtype)
    if not operation.gradient:
        return loss
    if call.reduction == "mean":
        times = dask.delayed(_times)
        gradients = tuple(times(part, factors, i) for i, part in enumerate(gradients))
    return loss, _assembled(first, gradients)


def _inputs(call: Call, first: Any) -> dict[str, Any]:
    """Labels and weights in the chunks of `first`."""
    inputs = {}
    for name in ("labels", "sample_weight"):
        if name == "labels" or call.sample_weight is not None:
            array = _chunked(name, getattr(call, name))
            check_shape(name, array, call, first.shape)
            inputs[name] = array.rechunk(first.chunks)
    return inputs


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


def _chunk(
    compute: Callable[..., Any], reduction: str, first: np.ndarray, others: dict[str, Any]
) -> tuple[tuple[float, int], Any, Any]:
    """Compute one chunk: its share in a mean, its losses or their sum or mean, and its gradient.

    The share is the sum of its weights as a number near its largest one's, and the power of two
    that was taken out: neither can overflow, nor is lost where all weights are tiny.
    """
    share: tuple[float, int] = (float(first.size), 0)
    if reduction == "mean" and (weights := others.get("sample_weight")) is not None:
        with np.errstate(all="ignore"):
            weights = np.asarray(weights, np.float64)
            exponent = int(np.frexp(weights.max(initial=0.0))[1])
            share = (float(np.ldexp(weights, -exponent).sum()), exponent)
    if reduction == "mean" and not share[0] > 0:
        reduction = "sum"  # which is 0, or names the weight that is not accepted
    result = compute(first, **others, reduction=reduction)
    return (share, *result) if isinstance(result, tuple) else (share, result, None)


def _combined(
    reduction: str, shares: list[tuple[float, int]], losses: list[Any], dtype: np.dtype
) -> tuple[Any, list[float]]:
    """Return the sum or mean of all chunks, and what the mean of each counts for."""
    if reduction == "none":
        return None, []
    factors = [1.0] * len(shares)
    if reduction == "mean":
        largest = max((exponent for weight, exponent in shares if weight > 0), default=0)
        weights = [
            math.ldexp(weight, max(exponent - largest, -1100)) for weight, exponent in shares
        ]
        total = math.fsum(weights)
        if not total > 0:
            raise_bad_weight_sum(total)
        factors = [weight / total for weight in weights]
    with np.errstate(all="ignore"):
        return dtype.type(np.dot(factors, np.array(losses, np.float64))), factors


def _times(gradient: np.ndarray, factors: list[float], index: int) -> np.ndarray:
    return (gradient * factors[index]).astype(gradient.dtype)


def _assembled(first: Any, parts: tuple[Any, ...]) -> Any:
    """One array of what was computed per sample of each chunk."""
    import dask.array as da

    grid = np.empty(first.numblocks, object)
    for place, part in zip(np.ndindex(grid.shape), parts, strict=True):
        shape = tuple(sizes[i] for sizes, i in zip(first.chunks, place, strict=True))
        grid[place] = da.from_delayed(part, shape, first.dtype)
    return da.block(grid.tolist())
