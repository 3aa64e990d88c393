"""The kernels of `numba_cuda`, and sums that do not depend on how they are launched.

An array is cut into chunks by its size alone. A block of threads goes through one chunk: each
thread takes one sample in as many as the block has threads, in order, and adds the losses to a sum
of its own; the sums of the threads are added in a fixed order, and so are those of the chunks, by
one more block. No addition is atomic: a sum has the same bits in every run, on any device.

Every sum is an unevaluated pair: TwoSum (Knuth, TAOCP 2, 4.2.2) keeps what an addition rounds away.
Only within a thread are float32 losses added as plain float64, whose error is far below a float32.

All arrays have one shape. Where all are contiguous the caller passes them flat; any other strides
are reached through an index in each dimension. Indices are int64: an array may exceed 2^31 samples.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
from numba import cuda, float64, njit

from xent_numba.kernels.cuda_samples import is_weight, weighted_sample
from xent_numba.kernels.sums import two_sum

THREADS = 256
LANES = 16
MIN_ITEMS = 8
MAX_CHUNKS = 8192
FOLD_THREADS = 1024

SUM, ERROR, WEIGHT_SUM, WEIGHT_ERROR, BAD, COLUMNS = range(6)
"""Rows of the table of partial results, one column for each chunk."""


def chunk_size(size: int) -> int:
    """Samples in a chunk, a multiple of THREADS, for an array of this size."""
    rows = -(-size // THREADS)
    return THREADS * max(MIN_ITEMS, -(-rows // MAX_CHUNKS))


def block_threads(items: int, most: int = THREADS) -> int:
    """Threads in a block: a power of two, whole warps, and no more than there is work for."""
    return min(most, max(32, 1 << (items - 1).bit_length()))


@cache
def position(ndim: int) -> Callable[[int, Any], Any]:
    """Return ``f(i, shape)``: the index, in each of the dimensions, of sample i in C order."""
    if ndim == 1:

        @cuda.jit(device=True)
        def index(i: int, shape: Any) -> Any:
            return (i,)

    else:
        outer, last = position(ndim - 1), ndim - 1

        @cuda.jit(device=True)
        def index(i: int, shape: Any) -> Any:
            return outer(i // shape[last], shape) + (i % shape[last],)  # noqa: RUF005

    return index


@cuda.jit(device=True)
def add(high: float, low: float, value: float, error: float) -> tuple[float, float]:
    """Add value + error to high + low, both unevaluated."""
    high, lost = two_sum(high, value)
    return high, low + (error + lost)


@cache
def accumulator(compensated: bool) -> Callable[[float, float, float], tuple[float, float]]:
    """Return the function that adds one value to a thread's own sum."""

    @cuda.jit(device=True)
    def accumulate(high: float, low: float, value: float) -> tuple[float, float]:
        if compensated:
            return add(high, low, np.float64(value), 0.0)
        return high + np.float64(value), low

    return accumulate


@cuda.jit(device=True)
def block_sum(scratch: Any, high: float, low: float) -> tuple[float, float]:
    """Add up the pairs of all threads of a block in a fixed order; thread 0 returns the sum.

    Two levels: the first LANES threads add every LANES-th pair, then thread 0 their sums. A binary
    tree would add fewer numbers one after the other, and wait for a barrier after each.
    """
    t = cuda.threadIdx.x
    scratch[0, t] = high
    scratch[1, t] = low
    cuda.syncthreads()
    if t < LANES:
        for i in range(t + LANES, cuda.blockDim.x, LANES):
            high, low = add(high, low, scratch[0, i], scratch[1, i])
        scratch[0, t] = high
        scratch[1, t] = low
    cuda.syncthreads()
    if t == 0:
        for i in range(1, LANES):
            high, low = add(high, low, scratch[0, i], scratch[1, i])
    cuda.syncthreads()  # before the next sum overwrites it
    return high, low


@cache
def map_kernel(function: Callable[[float], float], ndim: int) -> Any:
    """Return the kernel that applies a function of one sample to all."""
    index = position(ndim)

    @cuda.jit
    def kernel(size: int, chunk: int, values: Any, out: Any) -> None:
        start = np.int64(cuda.blockIdx.x) * chunk
        stop = min(start + chunk, size)
        i = start + cuda.threadIdx.x
        while i < stop:
            at = index(i, values.shape)
            out[at] = function(values[at])
            i += cuda.blockDim.x

    return kernel


@njit
def same(value: Any) -> Any:
    """Return the value."""
    return value


@cache
def fill_kernel(ndim: int) -> Any:
    """Return the kernel that stores one value everywhere."""
    index = position(ndim)

    @cuda.jit
    def kernel(size: int, chunk: int, out: Any, value: float) -> None:
        start = np.int64(cuda.blockIdx.x) * chunk
        stop = min(start + chunk, size)
        i = start + cuda.threadIdx.x
        while i < stop:
            out[index(i, out.shape)] = value
            i += cuda.blockDim.x

    return kernel


@cache
def loss_kernel(
    operation: str,
    ndim: int,
    *,
    compensated: bool,
    weighted: bool,
    with_gradient: bool,
    divided: bool,
    reduced: bool,
) -> Any:
    """Return the one pass over the samples: check, compute, store or add up.

    Parameters
    ----------
    operation : str
        Name of the operation.
    ndim : int
        Dimensions of the arrays.
    compensated : bool
        Whether what an addition within a thread rounds away is kept, as float64 losses need.
    weighted : bool
        Whether there are weights.
    with_gradient : bool
        Whether the gradient is stored.
    divided : bool
        Whether the gradient is divided by ``divisor``.
    reduced : bool
        Whether losses are added up; else they are stored.
    """
    index = position(ndim)
    evaluate = weighted_sample(operation, weighted, divided)
    accumulate = accumulator(compensated)

    @cuda.jit
    def kernel(
        size: int,
        chunk: int,
        divisor: float,
        first: Any,
        labels: Any,
        weights: Any,
        losses: Any,
        gradients: Any,
        partials: Any,
    ) -> None:
        scratch = cuda.shared.array((2, THREADS), float64)
        start = np.int64(cuda.blockIdx.x) * chunk
        stop = min(start + chunk, size)
        high = low = weight_high = weight_low = 0.0
        bad = 0
        i = start + cuda.threadIdx.x
        while i < stop:
            at = index(i, first.shape)
            allowed, loss, gradient = evaluate(first[at], labels[at], weights[at], divisor)
            if not allowed:
                bad = 1
            if with_gradient:
                gradients[at] = gradient
            if reduced:
                high, low = accumulate(high, low, loss)
                if weighted:
                    weight_high, weight_low = accumulate(weight_high, weight_low, weights[at])
            else:
                losses[at] = loss
            i += cuda.blockDim.x
        bad = cuda.syncthreads_or(bad)
        if reduced:
            high, low = block_sum(scratch, high, low)
            if weighted:
                weight_high, weight_low = block_sum(scratch, weight_high, weight_low)
        if cuda.threadIdx.x == 0:
            column = cuda.blockIdx.x
            partials[SUM, column] = high
            partials[ERROR, column] = low
            partials[WEIGHT_SUM, column] = weight_high
            partials[WEIGHT_ERROR, column] = weight_low
            partials[BAD, column] = bad

    return kernel


@cache
def weight_kernel(ndim: int) -> Any:
    """Return the pass over the weights that the gradient of a weighted mean needs beforehand."""
    index = position(ndim)

    @cuda.jit
    def kernel(size: int, chunk: int, weights: Any, partials: Any) -> None:
        scratch = cuda.shared.array((2, THREADS), float64)
        start = np.int64(cuda.blockIdx.x) * chunk
        stop = min(start + chunk, size)
        high = low = 0.0
        bad = 0
        i = start + cuda.threadIdx.x
        while i < stop:
            at = index(i, weights.shape)
            if not is_weight(weights[at]):
                bad = 1
            high, low = add(high, low, np.float64(weights[at]), 0.0)
            i += cuda.blockDim.x
        bad = cuda.syncthreads_or(bad)
        high, low = block_sum(scratch, high, low)
        if cuda.threadIdx.x == 0:
            column = cuda.blockIdx.x
            partials[SUM, column] = 0.0
            partials[ERROR, column] = 0.0
            partials[WEIGHT_SUM, column] = high
            partials[WEIGHT_ERROR, column] = low
            partials[BAD, column] = bad

    return kernel


@cuda.jit
def fold_kernel(partials: Any, totals: Any) -> None:
    """Add up the partial results of all chunks; one block."""
    scratch = cuda.shared.array((2, FOLD_THREADS), float64)
    chunks = partials.shape[1]
    for row in range(SUM, BAD, 2):
        high = low = 0.0
        for c in range(cuda.threadIdx.x, chunks, cuda.blockDim.x):
            high, low = add(high, low, partials[row, c], partials[row + 1, c])
        high, low = block_sum(scratch, high, low)
        if cuda.threadIdx.x == 0:
            totals[row] = high
            totals[row + 1] = low
    bad = 0
    for c in range(cuda.threadIdx.x, chunks, cuda.blockDim.x):
        if partials[BAD, c] != 0.0:
            bad = 1
    bad = cuda.syncthreads_or(bad)
    if cuda.threadIdx.x == 0:
        totals[BAD] = bad


def flat(*arrays: Any) -> list[Any]:
    """Return the device arrays as one dimension if all are contiguous, else with one at least."""
    if all(array.is_c_contiguous() for array in arrays) or not arrays[0].shape:
        return [array.reshape(array.size) for array in arrays]
    return list(arrays)


def apply(function: Callable[[Any], Any], values: Any, out: Any) -> None:
    """Store function(value) of each value in out; does not wait for the device."""
    values, out = flat(values, out)
    if values.size:
        chunk = chunk_size(values.size)
        kernel = map_kernel(function, values.ndim)
        kernel[-(-values.size // chunk), block_threads(values.size)](
            values.size, chunk, values, out
        )


def fill(out: Any, value: Any) -> None:
    """Store one value everywhere in out; does not wait for the device."""
    (out,) = flat(out)
    if out.size:
        chunk = chunk_size(out.size)
        kernel = fill_kernel(out.ndim)
        kernel[-(-out.size // chunk), block_threads(out.size)](out.size, chunk, out, value)


def to_host(array: Any) -> np.ndarray:
    """Copy a device array of any strides to the host."""
    if not array.is_c_contiguous():
        gathered = cuda.device_array(array.shape, array.dtype)
        apply(same, array, gathered)
        array = gathered
    return np.asarray(array.copy_to_host()).reshape(array.shape)


def weigh(weights: Any) -> np.ndarray:
    """Return the totals of a pass over the weights alone."""
    (weights,) = flat(weights)
    chunk = chunk_size(weights.size)
    partials = cuda.device_array((COLUMNS, -(-weights.size // chunk)), np.float64)
    weight_kernel(weights.ndim)[partials.shape[1], THREADS](weights.size, chunk, weights, partials)
    return _fold(partials)


def compute_losses(
    operation: str,
    first: Any,
    labels: Any,
    weights: Any,
    losses: Any,
    gradients: Any,
    divisor: float | None,
) -> np.ndarray:
    """Make the one pass, wait for it, and return the totals.

    Parameters
    ----------
    operation : str
        Name of the operation.
    first, labels : device array
        At least one sample.
    weights, losses, gradients : device array or None
        Losses are added up instead of stored where there is no array for them.
    divisor : float or None
        What gradients are divided by.

    Returns
    -------
    numpy.ndarray
        SUM, ERROR, WEIGHT_SUM, WEIGHT_ERROR and BAD over all samples.
    """
    given = [first, labels, weights, losses, gradients]
    arrays = iter(flat(*(array for array in given if array is not None)))
    first, labels, *rest = (None if array is None else next(arrays) for array in given)
    # A kernel of fixed arity reads or writes no array that its flags leave out.
    weights_, losses_, gradients_ = (first if array is None else array for array in rest)
    chunk = chunk_size(first.size)
    partials = cuda.device_array((COLUMNS, -(-first.size // chunk)), np.float64)
    kernel = loss_kernel(
        operation,
        first.ndim,
        compensated=first.dtype == np.float64,
        weighted=weights is not None,
        with_gradient=gradients is not None,
        divided=divisor is not None,
        reduced=losses is None,
    )
    kernel[partials.shape[1], block_threads(first.size)](
        first.size,
        chunk,
        first.dtype.type(divisor or 1),
        first,
        labels,
        weights_,
        losses_,
        gradients_,
        partials,
    )
    return _fold(partials)


def _fold(partials: Any) -> np.ndarray:
    totals = cuda.device_array(COLUMNS, np.float64)
    fold_kernel[1, block_threads(partials.shape[1], FOLD_THREADS)](partials, totals)
    return np.asarray(totals.copy_to_host())
