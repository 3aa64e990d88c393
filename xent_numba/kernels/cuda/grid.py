"""The kernels of `numba_cuda`, and sums that do not depend on how they are launched.

What is added to what depends on the number of samples alone. A lane goes through its chunk of the
array (`passes`) and adds the losses to a sum of its own. The sums of the lanes are added in a fixed
order, and so are those of the chunks, by one more block. No addition is atomic. Threads take lanes,
and blocks take chunks, as many as there are: a sum has the same bits for any launch.

No load of a tile waits for a sample before it: a lane has 64 bytes of scores to ask for, and their
labels, in any order and as early as its registers allow. So many bytes are on their way from each
thread that memory is kept busy although its latency is longer than all the arithmetic.

Every sum is an unevaluated pair: TwoSum (Knuth, TAOCP 2, 4.2.2) keeps what an addition rounds away.
Only within a lane are float32 losses added as plain float64, whose error is far below a float32.

All arrays have one shape. Indices are int64: an array may exceed 2^31 samples.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
from numba import cuda, float64

from xent_numba.kernels.cpu.summation import rounded_sum, two_sum
from xent_numba.kernels.cuda.access import reader, writer
from xent_numba.kernels.cuda.elementary import mean_of_sums
from xent_numba.kernels.cuda.passes import (
    BAD,
    COLUMNS,
    ERROR,
    RULES,
    SUM,
    WEIGHT_ERROR,
    WEIGHT_SUM,
    Pass,
)
from xent_numba.kernels.cuda.signature import Kernel
from xent_numba.kernels.cuda.tiles import last_tile_pass, tile_pass, tile_reader

FOLD_LANES = 1024
ADDERS = 16
"""Lanes whose sums, one after the other, add up the others'."""
_get: Any
_put: Any
_get, _put = reader("float64", 0), writer("float64", 0)
_MEAN, _WEIGHTED_MEAN = RULES.index("mean"), RULES.index("weighted mean")


@cuda.jit(device=True)
def add(high: float, low: float, value: float, error: float) -> tuple[float, float]:
    """Add value + error to high + low, both unevaluated."""
    high, lost = two_sum(high, value)
    return high, low + (error + lost)


@cache
def block_sum(lanes: int) -> Callable[[Any, np.int64], tuple[float, float]]:
    """Return ``f(scratch, row)``: thread 0 gets the sum of all lanes, added in a fixed order.

    Two levels: the first lanes add every `ADDERS`-th pair, then thread 0 their sums. A binary tree
    would add fewer numbers one after the other, and wait for a barrier after each.
    """

    @cuda.jit(device=True)
    def total(scratch: Any, row: np.int64) -> tuple[float, float]:
        t = cuda.threadIdx.x
        high = low = 0.0
        cuda.syncthreads()
        if t < ADDERS:
            for lane in range(t, lanes, ADDERS):
                high, low = add(high, low, scratch[row, lane], scratch[row + 1, lane])
            scratch[row, t] = high
            scratch[row + 1, t] = low
        cuda.syncthreads()
        if t == 0:
            for lane in range(1, ADDERS):
                high, low = add(high, low, scratch[row, lane], scratch[row + 1, lane])
        return high, low

    return total


@cuda.jit(device=True)
def _outcome(rule: int, size: int, bad: int, sums: Any) -> float:
    """Return the sum or mean, rounded; NaN where a value was bad, or weights have no mean."""
    high, low, weight, weight_error = sums
    if bad != 0:
        return np.nan
    if rule == _MEAN:
        return mean_of_sums(high, low, np.float64(size), 0.0)
    if rule == _WEIGHTED_MEAN:
        if not (weight > 0.0 and weight < np.inf):
            return np.nan
        return mean_of_sums(high, low, weight, weight_error)
    return rounded_sum(high, low)


@cache
def _finisher(result: str) -> Any:
    """Return ``f(rule, size, bad, sums, totals, out)``: one thread stores what is asked for.

    The sums are those of losses and weights, each a pair; a sum or mean is stored in `out`.
    """
    put: Any = writer(result, 0)
    number = np.dtype(result).type

    @cuda.jit(device=True)
    def finish(rule: int, size: int, bad: int, sums: Any, totals: Any, out: Any) -> None:
        put(out, 0, number(_outcome(rule, size, bad, sums)))
        _put(totals, SUM, sums[0])
        _put(totals, ERROR, sums[1])
        _put(totals, WEIGHT_SUM, sums[2])
        _put(totals, WEIGHT_ERROR, sums[3])
        _put(totals, BAD, np.float64(bad))

    return finish


@cache
def _divisor(spec: Pass) -> Any:
    """Return ``f(weights, size)``: what gradients are divided by, in the dtype of the results.

    `weights` are the totals of the pass over the weights alone.
    """
    number: Any = np.dtype(spec.result).type
    if spec.divisor == "sum":

        @cuda.jit(device=True)
        def divisor(weights: Any, size: int) -> Any:
            total = rounded_sum(_get(weights, SUM), _get(weights, ERROR))
            if _get(weights, BAD) != 0.0 or not (total > 0.0 and total < np.inf):
                total = np.nan
            return number(total)

    else:

        @cuda.jit(device=True)
        def divisor(weights: Any, size: int) -> Any:
            return number(size)

    return divisor


@cache
def pass_kernel(spec: Pass) -> Any:
    """Return the kernel of a pass: check, compute, store or add up.

    One chunk is all there is of a small array: what it adds up to is what is asked for, and nothing
    is left to fold.

    Parameters of the kernel: samples, tiles in a chunk, chunks, and the rule, as its place in
    `passes.RULES`; the first argument, labels and weights; where losses and gradients are stored;
    the totals of the weights, the table of partial results and the totals, float64, and where the
    sum or mean is stored, one number. What the pass does not read or write is the first argument
    once more.
    """
    lanes, groups, width = spec.layout.lanes, spec.layout.groups, spec.width
    tile = lanes * groups * width
    read, go, go_last = tile_reader(spec), tile_pass(spec), last_tile_pass(spec)
    total, divide_by, finish = block_sum(lanes), _divisor(spec), _finisher(spec.result)
    reduced, weighted = not spec.losses, not spec.losses and spec.weighted
    rows = 4 if weighted else 2

    @cuda.jit(device=True)
    def lane_sums(
        lane: int, t: int, stop: int, inputs: Any, outputs: Any, divisor: Any, size: int
    ) -> Any:
        sums = (0.0, 0.0, 0.0, 0.0, np.int32(0))
        while t < stop:
            i = t * tile + lane * width
            t += 1
            if t * tile <= size:
                sums = go(sums, read(inputs, i), i, divisor, outputs)
            else:
                sums = go_last(sums, inputs, i, divisor, outputs, size)
        return sums

    def kernel(cut: Any, inputs: Any, outputs: Any, cells: Any) -> None:
        size, tiles_in_chunk, chunks, rule = cut
        weight_totals, partials, totals, out = cells
        scratch = cuda.shared.array((rows, lanes), float64)
        tiles = (size + tile - 1) // tile
        divisor = divide_by(weight_totals, size)
        chunk = np.int64(cuda.blockIdx.x)
        while chunk < chunks:
            bad = 0
            lane = np.int64(cuda.threadIdx.x)
            while lane < lanes:
                t = chunk * tiles_in_chunk
                stop = min(t + tiles_in_chunk, tiles)
                sums = lane_sums(lane, t, stop, inputs, outputs, divisor, size)
                if sums[4] != 0:
                    bad = 1
                if reduced:
                    scratch[0, lane] = sums[0]
                    scratch[1, lane] = sums[1]
                if weighted:
                    scratch[2, lane] = sums[2]
                    scratch[3, lane] = sums[3]
                lane += cuda.blockDim.x
            bad = cuda.syncthreads_or(bad)
            high = low = weight_high = weight_low = 0.0
            if reduced:
                high, low = total(scratch, SUM)
            if weighted:
                weight_high, weight_low = total(scratch, WEIGHT_SUM)
            if cuda.threadIdx.x == 0 and chunks == 1:
                finish(rule, size, bad, (high, low, weight_high, weight_low), totals, out)
            elif cuda.threadIdx.x == 0:
                _put(partials, SUM * COLUMNS + chunk, high)
                _put(partials, ERROR * COLUMNS + chunk, low)
                if weighted:
                    _put(partials, WEIGHT_SUM * COLUMNS + chunk, weight_high)
                    _put(partials, WEIGHT_ERROR * COLUMNS + chunk, weight_low)
                _put(partials, BAD * COLUMNS + chunk, np.float64(bad))
            cuda.syncthreads()  # before the next chunk overwrites the sums
            chunk += cuda.gridDim.x

    return kernel


@cache
def map_kernel(spec: Pass) -> Any:
    """Return the kernel of a pass that only stores what becomes of its first argument.

    A launch takes the longer the more arguments it has, and of a small array that is all there is.

    Parameters of the kernel: samples, the first argument, where results are stored.
    """
    lanes, groups, width = spec.layout.lanes, spec.layout.groups, spec.width
    tile = lanes * groups * width
    read, go, go_last = tile_reader(spec), tile_pass(spec), last_tile_pass(spec)

    def kernel(size: int, first: Any, out: Any) -> None:
        nothing = (0.0, 0.0, 0.0, 0.0, np.int32(0))
        t = np.int64(cuda.blockIdx.x)
        while t * tile < size:
            lane = np.int64(cuda.threadIdx.x)
            while lane < lanes:
                i = t * tile + lane * width
                if (t + 1) * tile <= size:
                    go(nothing, read((first, first, first), i), i, 1, (out, out))
                else:
                    go_last(nothing, (first, first, first), i, 1, (out, out), size)
                lane += cuda.blockDim.x
            t += cuda.gridDim.x

    return kernel


@cuda.jit(device=True)
def _chunks_sum(lane: np.int64, chunks: int, row: np.int64, partials: Any) -> Any:
    """Add every FOLD_LANES-th pair of two rows; four are asked for before one is waited for."""
    high = low = 0.0
    chunk, at, step = lane, row * COLUMNS, FOLD_LANES
    while chunk + 3 * step < chunks:
        i, j = at + chunk, at + COLUMNS + chunk
        a, b = _get(partials, i), _get(partials, j)
        c, d = _get(partials, i + step), _get(partials, j + step)
        e, f = _get(partials, i + 2 * step), _get(partials, j + 2 * step)
        g, h = _get(partials, i + 3 * step), _get(partials, j + 3 * step)
        high, low = add(high, low, a, b)
        high, low = add(high, low, c, d)
        high, low = add(high, low, e, f)
        high, low = add(high, low, g, h)
        chunk += 4 * step
    while chunk < chunks:
        i = at + chunk
        high, low = add(high, low, _get(partials, i), _get(partials, i + COLUMNS))
        chunk += step
    return high, low


@cache
def fold_kernel(result: str) -> Any:
    """Return the kernel that adds up the partial results of all chunks; one block.

    Parameters of the kernel: chunks, the rule, as its place in `passes.RULES`, and samples; the
    table of partial results; the totals, float64; where the sum or mean is stored, one number of
    the dtype that is the parameter.
    """
    total, finish = block_sum(FOLD_LANES), _finisher(result)

    def kernel(cut: Any, partials: Any, totals: Any, out: Any) -> None:
        chunks, rule, size = cut
        scratch = cuda.shared.array((2, FOLD_LANES), float64)
        first = cuda.threadIdx.x == 0
        bad = 0
        for chunk in range(cuda.threadIdx.x, chunks, cuda.blockDim.x):
            if _get(partials, BAD * COLUMNS + chunk) != 0.0:
                bad = 1
        bad = cuda.syncthreads_or(bad)
        high = low = weight = weight_error = 0.0
        lane = np.int64(cuda.threadIdx.x)
        while lane < FOLD_LANES:
            scratch[0, lane], scratch[1, lane] = _chunks_sum(lane, chunks, SUM, partials)
            lane += cuda.blockDim.x
        high, low = total(scratch, SUM)
        if rule == _WEIGHTED_MEAN:
            cuda.syncthreads()
            lane = np.int64(cuda.threadIdx.x)
            while lane < FOLD_LANES:
                scratch[0, lane], scratch[1, lane] = _chunks_sum(lane, chunks, WEIGHT_SUM, partials)
                lane += cuda.blockDim.x
            weight, weight_error = total(scratch, SUM)
        if first:
            finish(rule, size, bad, (high, low, weight, weight_error), totals, out)

    return kernel


@cache
def copy_kernel(number: str, strided: int) -> Any:
    """Return the kernel that copies an array of any strides to a contiguous one.

    Parameters of the kernel: samples, source, target.
    """
    read: Any = reader(number, strided)
    write: Any = writer(number, 0)

    def kernel(size: int, source: Any, target: Any) -> None:
        i = np.int64(cuda.grid(1))
        while i < size:
            write(target, i, read(source, i))
            i += cuda.gridsize(1)

    return kernel


@cache
def fill_kernel(number: str, strided: int) -> Any:
    """Return the kernel that stores one value everywhere.

    Parameters of the kernel: samples, the value, target.
    """
    write: Any = writer(number, strided)

    def kernel(size: int, value: Any, target: Any) -> None:
        i = np.int64(cuda.grid(1))
        while i < size:
            write(target, i, value)
            i += cuda.gridsize(1)

    return kernel


_MAKERS = {
    "map": map_kernel,
    "pass": pass_kernel,
    "fold": fold_kernel,
    "copy": copy_kernel,
    "fill": fill_kernel,
}


def function_of(kernel: Kernel) -> Any:
    """Return the function that numba-cuda compiles, or simulates."""
    return _MAKERS[kernel.kind](*kernel.arguments)
