"""Dask arrays: nothing is computed until it is asked for, and then chunk by chunk.

Where the implementation can add up an array that lies in pieces (`kernels.cpu.pieces`), a sum or
mean has the bits of the same call on the whole array, whatever the chunks and whoever computes
them. With another implementation, chunk sums are rounded to the dtype of the scores and added in
float64, and the last bits depend on the chunks.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np

from xent_numba import piecewise, registry
from xent_numba.host_arrays import float_dtype, is_on_device, label_dtype, refuse_meaning, take
from xent_numba.operations import Call
from xent_numba.validation import check_reduction, check_shape

FAN_IN = 8
"""Partial results that one task puts together, so that no worker holds those of all chunks."""


def evaluate(compute: Callable[..., Any], call: Call, implementation: str) -> Any:
    """The operation on dask arrays, lazily.

    Parameters
    ----------
    compute : callable
        The public function, called with the arrays of one chunk.
    call : Call
        `first` is a dask array, whose chunks are the unit of work; labels and weights are brought
        to its chunks. A series of a dask DataFrame becomes an array, for which the lengths of its
        partitions are computed.
    implementation : str
        Name of the one that computes host arrays.

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
    arrays = [first, *_others(call, first)] if operation.labels else [first]
    if call.reduction == "none" or operation.labels is None:
        return _per_sample(compute, call, arrays)
    on_host = not is_on_device(operation.first, first._meta)
    if on_host and registry.get(implementation).loss_rows is not None:
        return _summed_as_one(call, implementation, arrays)
    return _summed_by_chunk(compute, call, arrays)


def _others(call: Call, first: Any) -> list[Any]:
    """Labels, and weights if any, in the chunks of `first`."""
    labels = _chunked("labels", call.labels)
    label_dtype(labels.dtype)
    others = [labels]
    check_shape("labels", labels, call, first.shape)
    if call.sample_weight is not None:
        weights = _chunked("sample_weight", call.sample_weight)
        float_dtype("sample_weight", weights.dtype)
        check_shape("sample_weight", weights, call, first.shape)
        others.append(weights)
    return [_in_chunks(array, first.chunks) for array in others]


def _in_chunks(array: Any, chunks: tuple[tuple[int, ...], ...]) -> Any:
    """`array` in these chunks; one without elements, which dask would leave as it is, too."""
    import dask.array as da

    return array.rechunk(chunks) if array.size else da.zeros(array.shape, array.dtype, chunks)


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
        array = take(name, value)
        # dask cannot tell how large objects are; they are refused by their dtype.
        return da.from_array(array, chunks=-1 if array.dtype.hasobject else "auto")
    if not is_on_device(name, value._meta):
        take(name, value._meta)
    if np.isnan(value.size):
        raise ValueError(
            f"{name} has chunks of unknown size, shape {value.shape}; accepted are known chunk "
            "sizes, such as those after .compute_chunk_sizes()"
        )
    return value


def _blockwise(
    function: Callable[..., Any], arrays: Sequence[Any], like: Any, *, extra: Any = None
) -> Any:
    """``function(place, *blocks, extra)`` of every block, in the chunks of `like`.

    `like` is an array of what the function returns, or None where that is no array.
    """
    import dask.array as da
    from dask.layers import ArraySliceDep

    first = arrays[0]
    index = tuple(range(first.ndim))
    inputs: list[Any] = [ArraySliceDep(first.chunks), index]
    for array in arrays:
        inputs += [array, index]
    if extra is not None:
        inputs += [extra, ()]
    meta = np.empty((0,) * first.ndim, object) if like is None else like._meta
    return da.blockwise(function, index, *inputs, dtype=meta.dtype, meta=meta, align_arrays=False)


def _item(i: int, computed: Any, like: Any) -> Any:
    """Item i of what was computed, for each block or for all; an array like `like`."""
    import dask.array as da

    index = tuple(range(computed.ndim))
    item = operator.itemgetter(i)
    meta = like._meta if computed.ndim == like.ndim else np.empty((), like.dtype)
    return da.blockwise(item, index, computed, index, dtype=like.dtype, meta=meta)


def _reduced(join: Callable[..., Any], finish: Callable[..., Any], blocks: Any, dtype: Any) -> Any:
    """Blocks joined in order, FAN_IN at a time, and what they come to; without dimensions."""
    import dask.array as da
    from dask.base import tokenize
    from dask.core import flatten
    from dask.highlevelgraph import HighLevelGraph

    name = f"sum-{tokenize(join, finish, blocks.name)}"
    keys = list(flatten(blocks.__dask_keys__()))
    layer: dict[Any, Any] = {}
    level = 0
    while len(keys) > FAN_IN:
        groups = [keys[i : i + FAN_IN] for i in range(0, len(keys), FAN_IN)]
        keys = [(f"{name}-{level}", i) for i in range(len(groups))]
        layer.update((key, (join, group)) for key, group in zip(keys, groups, strict=True))
        level += 1
    layer[(name,)] = (finish, (join, keys))
    graph = HighLevelGraph.from_collections(name, layer, dependencies=[blocks])
    return da.Array(graph, name, (), meta=np.empty((), dtype))


def _per_sample(compute: Callable[..., Any], call: Call, arrays: list[Any]) -> Any:
    """Sigmoids or losses one by one, and the gradient, in the chunks of the scores."""
    first, operation = arrays[0], call.operation
    function = partial(piecewise.per_sample, compute, operation)
    if not operation.gradient:
        return _blockwise(function, arrays, first)
    both = _blockwise(function, arrays, None)
    return _item(0, both, first), _item(1, both, first)


def _summed_as_one(call: Call, implementation: str, arrays: list[Any]) -> Any:
    """Sum or mean with the bits of the whole, and the gradient."""
    chunks = arrays[0].chunks
    arrays = [array.rechunk(_whole_rows(array)) for array in arrays]
    first, _, *weights = arrays
    sums = piecewise.Sums(
        call.operation.name,
        implementation,
        first.shape,
        first.dtype.str,
        call.reduction == "mean",
        bool(weights),
    )
    scaling = None
    if call.operation.gradient and sums.mean and weights:
        scaling = _reduced(
            partial(piecewise.join_weights, sums),
            partial(piecewise.finish_weights, sums),
            _blockwise(partial(piecewise.weights_of_chunk, sums), weights, None),
            object,
        )
    blocks = _blockwise(partial(piecewise.losses_of_chunk, sums), arrays, None, extra=scaling)
    join, finish = (partial(f, sums) for f in (piecewise.join_losses, piecewise.finish_losses))
    loss = _reduced(join, finish, blocks, first.dtype)
    if not call.operation.gradient:
        return loss
    return loss, _item(1, blocks, first).rechunk(chunks)


def _whole_rows(array: Any) -> dict[int, int]:
    """How to rechunk so that every chunk is one piece of the array in C order."""
    cut = next((axis for axis, length in enumerate(array.shape) if length > 1), array.ndim)
    return dict.fromkeys(range(cut + 1, array.ndim), -1)


def _summed_by_chunk(compute: Callable[..., Any], call: Call, arrays: list[Any]) -> Any:
    """Sum or mean of the sums or means of the chunks, and the gradient."""
    first = arrays[0]
    function = partial(piecewise.sum_of_chunk, compute, call.operation, call.reduction)
    blocks = _blockwise(function, arrays, None)
    finish = partial(piecewise.finish_sums, call.reduction, first.dtype)
    whole = _reduced(piecewise.join_sums, finish, blocks, object)
    loss = _item(0, whole, first)
    if not call.operation.gradient:
        return loss
    if call.reduction == "sum":
        return loss, _item(1, blocks, first)
    return loss, _blockwise(piecewise.gradient_of_chunk, [blocks], first, extra=whole)
