"""The kernels of `numba_cuda`, and sums that do not depend on how they are launched.

What is added to what depends on the number of samples alone. An array is cut into tiles, and tiles
in a row make a chunk. In a tile every one of the lanes has the same number of samples, in groups of
neighbours that the lanes take in turn, so that a warp reads memory from end to end; a lane goes
through its chunk and adds the losses to a sum of its own. The sums of the lanes are added in a
fixed order, and so are those of the chunks, by one more block. No addition is atomic. Threads take
lanes, and blocks take chunks, as many as there are: a sum has the same bits for any launch.

No load of a tile waits for a sample before it: a lane has 64 bytes of scores to ask for, and their
labels, in any order and as early as its registers allow. So many bytes are on their way from each
thread that memory is kept busy although its latency is longer than all the arithmetic.

Every sum is an unevaluated pair: TwoSum (Knuth, TAOCP 2, 4.2.2) keeps what an addition rounds away.
Only within a lane are float32 losses added as plain float64, whose error is far below a float32.

All arrays have one shape. Where all are contiguous the caller passes them flat; any other strides
are reached through an index in each dimension. Indices are int64: an array may exceed 2^31 samples.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
from numba import cuda, float64

from xent_numba.kernels.cpu.summation import two_sum
from xent_numba.kernels.cuda.access import (
    SIMULATED,
    VECTOR_BYTES,
    Column,
    Encoding,
    discard,
    group_reader,
    group_writer,
    is_aligned,
    reader,
    writer,
)
from xent_numba.kernels.cuda.samples import weighted_sample

FOLD_LANES = 1024
ADDERS = 16
"""Lanes whose sums, one after the other, add up the others'."""

SUM, ERROR, WEIGHT_SUM, WEIGHT_ERROR, BAD, ROWS = range(6)
"""Rows of the table of partial results, one column for each chunk."""


@dataclass(frozen=True, slots=True)
class Layout:
    """How samples are dealt out to lanes. It decides the bits of a sum.

    Attributes
    ----------
    lanes : int
        In a chunk, a multiple of `ADDERS`.
    lane_bytes : int
        Bytes of scores of a lane in a tile.
    group_bytes : int
        Bytes of neighbouring scores that a lane takes at once.
    most_chunks : int
        The more chunks, the more evenly they fill a GPU, and the longer it takes to add them up.
    """

    lanes: int = 256
    lane_bytes: int = 4 * VECTOR_BYTES
    group_bytes: int = VECTOR_BYTES
    most_chunks: int = 16384

    def width(self, itemsize: int) -> int:
        """Samples in a group."""
        return max(1, self.group_bytes // itemsize)

    @property
    def groups(self) -> int:
        """Groups of a lane in a tile."""
        return self.lane_bytes // self.group_bytes

    def tile(self, itemsize: int) -> int:
        """Samples in a tile."""
        return self.lanes * self.groups * self.width(itemsize)

    def cut(self, size: int, itemsize: int) -> tuple[int, int]:
        """Tiles in a chunk, and chunks, for an array of this size."""
        tiles = -(-size // self.tile(itemsize))
        in_chunk = -(-tiles // self.most_chunks)
        return in_chunk, -(-tiles // in_chunk)


LAYOUT = Layout()


@dataclass(frozen=True, slots=True)
class Launch:
    """Where and how kernels run; no result depends on it.

    Attributes
    ----------
    stream : numba.cuda stream
        0 is the default stream.
    blocks, threads : int or None
        Of the grid and of a block, a multiple of 32; None leaves the choice to the size.
    """

    stream: Any = 0
    blocks: int | None = None
    threads: int | None = None

    def over(self, size: int) -> tuple[int, int, Any]:
        """Return what goes between the brackets of a kernel with a sample a thread."""
        _, threads, _ = self.configuration(1, size, LAYOUT.lanes)
        return self.blocks or min(-(-size // threads), LAYOUT.most_chunks), threads, self.stream

    def configuration(self, chunks: int, work: int, lanes: int) -> tuple[int, int, Any]:
        """Return what goes between the brackets, for so many chunks, of so many units of work."""
        threads = min(lanes, max(32, 1 << (work - 1).bit_length()))
        return self.blocks or chunks, self.threads or threads, self.stream


@dataclass(frozen=True, slots=True)
class Pass:
    """One pass over the samples: what it reads, computes and stores. A kernel is compiled for each.

    Attributes
    ----------
    operation : str
        Name of the operation.
    ndim : int
        Dimensions of the arrays.
    vector : bool
        Whether groups of samples are moved by vector instructions.
    encodings : tuple of Encoding
        Of the first argument, the labels and the weights.
    width : int
        Samples in a group.
    hard : bool
        Whether labels are integers.
    compensated : bool
        Whether what an addition within a lane rounds away is kept, as float64 losses need.
    weighted : bool
        Whether there are weights.
    with_gradient, divided : bool
        Whether the gradient is stored, and whether it is divided by the divisor.
    reduced : bool
        Whether losses are added up; else they are stored.
    layout : Layout
        How samples are dealt out.
    """

    operation: str
    ndim: int = 1
    vector: bool = True
    encodings: tuple[Encoding, ...] = ("plain", "plain", "plain")
    width: int = 4
    hard: bool = True
    compensated: bool = False
    weighted: bool = False
    with_gradient: bool = False
    divided: bool = False
    reduced: bool = True
    layout: Layout = LAYOUT

    @property
    def compiler_options(self) -> dict[str, int]:
        """How many registers ptxas may take; the simulator knows no such option.

        Left to itself it takes few, and loads a group when it has done with another. As many as
        four blocks of 256 threads can have let it load all groups first: there are fewer threads,
        and more bytes on their way. Gradients and float64 take as many anyway.
        """
        if SIMULATED or self.compensated or self.with_gradient or self.encodings[0] != "plain":
            return {}
        return {"max_registers": 64}


@dataclass(frozen=True, slots=True)
class Scratch:
    """Memory for the results of a pass before they are what is asked for.

    Allocating takes longer than a small pass, and freeing waits for the whole device: each thread
    of the host keeps what it needs for each stream. What is in it is overwritten by the next pass.

    Attributes
    ----------
    partials : device array
        Of ROWS, one column for each chunk.
    totals : device array
        Of as many.
    """

    partials: Any
    totals: Any


KEPT = 16
"""Streams for which a thread keeps memory; a program may make any number of them."""


class _Kept(threading.local):
    def __init__(self) -> None:
        self.scratch: dict[Any, Scratch] = {}

    def on(self, stream: Any, columns: int) -> Scratch:
        device = getattr(cuda.get_current_device(), "id", 0)
        key = device, int(stream), columns
        if key not in self.scratch:
            if len(self.scratch) == KEPT:
                self.scratch.clear()
            self.scratch[key] = Scratch(
                cuda.device_array((ROWS, columns), np.float64, stream=stream),
                cuda.device_array(ROWS, np.float64, stream=stream),
            )
        return self.scratch[key]


_kept = _Kept()


@dataclass(frozen=True, slots=True)
class Partials:
    """Partial results of a pass, until the next one of the same thread on the same stream.

    Attributes
    ----------
    chunks : int
        How many columns of the table are filled.
    scratch : Scratch
        The memory.
    """

    chunks: int
    scratch: Scratch


@cuda.jit(device=True)
def add(high: float, low: float, value: float, error: float) -> tuple[float, float]:
    """Add value + error to high + low, both unevaluated."""
    high, lost = two_sum(high, value)
    return high, low + (error + lost)


@cache
def accumulator(compensated: bool) -> Callable[[float, float, float], tuple[float, float]]:
    """Return the function that adds one value to a lane's own sum."""

    @cuda.jit(device=True)
    def accumulate(high: float, low: float, value: float) -> tuple[float, float]:
        if compensated:
            return add(high, low, np.float64(value), 0.0)
        return high + np.float64(value), low

    return accumulate


@cache
def lane_sums(spec: Pass) -> Callable[..., Any]:
    """Return ``f(sums, first, label, weight, divisor)``: the sums with one more sample, and it.

    `sums` are those of the losses and of the weights, each as a pair, and an integer that is not 0
    once a value was bad.
    """
    evaluate = weighted_sample(
        spec.operation, hard=spec.hard, weighted=spec.weighted, divided=spec.divided
    )
    accumulate = accumulator(spec.compensated)
    reduced, weighted = spec.reduced, spec.reduced and spec.weighted

    @cuda.jit(device=True)
    def include(sums: Any, first: Any, label: Any, weight: Any, divisor: Any) -> Any:
        high, low, weight_high, weight_low, bad = sums
        wrong, loss, gradient = evaluate(first, label, weight, divisor)
        if reduced:
            high, low = accumulate(high, low, loss)
        if weighted:
            weight_high, weight_low = accumulate(weight_high, weight_low, weight)
        bad = np.int32(bad | wrong)
        return (high, low, weight_high, weight_low, bad), loss, gradient

    return include


@cache
def group_pass(spec: Pass, width: int) -> Callable[..., Any]:
    """Return ``f(sums, firsts, labels, weights, divisor)``: the sums, the losses, the gradients."""
    include = lane_sums(spec)
    if width == 1:

        @cuda.jit(device=True)
        def evaluate(sums: Any, firsts: Any, labels: Any, weights: Any, divisor: Any) -> Any:
            sums, loss, gradient = include(sums, firsts[0], labels[0], weights[0], divisor)
            return sums, (loss,), (gradient,)

    else:
        before, last = group_pass(spec, width - 1), width - 1

        @cuda.jit(device=True)
        def evaluate(sums: Any, firsts: Any, labels: Any, weights: Any, divisor: Any) -> Any:
            sums, losses, gradients = before(
                sums, firsts[:last], labels[:last], weights[:last], divisor
            )
            sums, loss, gradient = include(sums, firsts[last], labels[last], weights[last], divisor)
            return sums, losses + (loss,), gradients + (gradient,)  # noqa: RUF005

    return evaluate


@cache
def tile_reader(spec: Pass, groups: int) -> Callable[..., Any]:
    """Return ``f(first, labels, weights, i)``: a lane's groups, of which the first starts at i."""
    stride = spec.layout.lanes * spec.width
    firsts, labels_of, weights_of = (
        group_reader(encoding, spec.ndim, spec.width, vector=spec.vector)
        for encoding in spec.encodings
    )
    if groups == 0:

        @cuda.jit(device=True)
        def read(first: Any, labels: Any, weights: Any, i: int) -> Any:
            return ()

    else:
        after = tile_reader(spec, groups - 1)

        @cuda.jit(device=True)
        def read(first: Any, labels: Any, weights: Any, i: int) -> Any:
            group = firsts(first, i), labels_of(labels, i), weights_of(weights, i)
            return (group,) + after(first, labels, weights, i + stride)  # noqa: RUF005

    return read


@cache
def tile_pass(spec: Pass, groups: int) -> Callable[..., Any]:
    """Return ``f(sums, samples, i, divisor, losses, gradients)``: the sums with what was read."""
    stride = spec.layout.lanes * spec.width
    store = group_writer(spec.ndim, spec.width, vector=spec.vector)
    store_losses = discard if spec.reduced else store
    store_gradients = store if spec.with_gradient else discard
    evaluate = group_pass(spec, spec.width)
    if groups == 0:

        @cuda.jit(device=True)
        def go(sums: Any, samples: Any, i: int, divisor: Any, losses: Any, gradients: Any) -> Any:
            return sums

    else:
        after = tile_pass(spec, groups - 1)

        @cuda.jit(device=True)
        def go(sums: Any, samples: Any, i: int, divisor: Any, losses: Any, gradients: Any) -> Any:
            firsts, labels, weights = samples[0]
            sums, loss, gradient = evaluate(sums, firsts, labels, weights, divisor)
            store_losses(losses, i, loss)
            store_gradients(gradients, i, gradient)
            return after(sums, samples[1:], i + stride, divisor, losses, gradients)

    return go


@cache
def last_tile_pass(spec: Pass) -> Callable[..., Any]:
    """Return the same for a tile that is not full, sample by sample in the same order."""
    read_first, read_label, read_weight = (
        reader(encoding, spec.ndim) for encoding in spec.encodings
    )
    store = writer(spec.ndim)
    store_loss = discard if spec.reduced else store
    store_gradient = store if spec.with_gradient else discard
    include = lane_sums(spec)
    width, stride = spec.width, spec.layout.lanes * spec.width
    items = spec.layout.groups * width

    @cuda.jit(device=True)
    def go(
        sums: Any,
        first: Any,
        labels: Any,
        weights: Any,
        size: int,
        i: int,
        divisor: Any,
        losses: Any,
        gradients: Any,
    ) -> Any:
        item, at = 0, i
        while item < items and at < size:
            sums, loss, gradient = include(
                sums,
                read_first(first, at),
                read_label(labels, at),
                read_weight(weights, at),
                divisor,
            )
            store_loss(losses, at, loss)
            store_gradient(gradients, at, gradient)
            item += 1
            at = i + item // width * stride + item % width
        return sums

    return go


@cache
def block_sum(lanes: int) -> Callable[[Any, int], tuple[float, float]]:
    """Return ``f(scratch, row)``: thread 0 gets the sum of all lanes, added in a fixed order.

    Two levels: the first lanes add every `ADDERS`-th pair, then thread 0 their sums. A binary tree
    would add fewer numbers one after the other, and wait for a barrier after each.
    """

    @cuda.jit(device=True)
    def total(scratch: Any, row: int) -> tuple[float, float]:
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


@cache
def pass_kernel(spec: Pass) -> Any:
    """Return the kernel of a pass: check, compute, store or add up."""
    lanes, groups, width = spec.layout.lanes, spec.layout.groups, spec.width
    tile = lanes * groups * width
    read, go, go_last = tile_reader(spec, groups), tile_pass(spec, groups), last_tile_pass(spec)
    total = block_sum(lanes)
    reduced, weighted = spec.reduced, spec.reduced and spec.weighted
    rows = 4 if weighted else 2

    @cuda.jit(**spec.compiler_options)
    def kernel(
        size: int,
        tiles_in_chunk: int,
        chunks: int,
        divisor: float,
        first: Any,
        labels: Any,
        weights: Any,
        losses: Any,
        gradients: Any,
        partials: Any,
    ) -> None:
        scratch = cuda.shared.array((rows, lanes), float64)
        tiles = (size + tile - 1) // tile
        chunk = np.int64(cuda.blockIdx.x)
        while chunk < chunks:
            bad = 0
            lane = cuda.threadIdx.x
            while lane < lanes:
                sums = (0.0, 0.0, 0.0, 0.0, np.int32(0))
                t: Any = chunk * tiles_in_chunk
                stop = min(t + tiles_in_chunk, tiles)
                while t < stop:
                    i = t * tile + lane * width
                    t += 1
                    if t * tile <= size:
                        samples = read(first, labels, weights, i)
                        sums = go(sums, samples, i, divisor, losses, gradients)
                    else:
                        sums = go_last(
                            sums, first, labels, weights, size, i, divisor, losses, gradients
                        )
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
                high, low = total(scratch, 0)
            if weighted:
                weight_high, weight_low = total(scratch, 2)
            if cuda.threadIdx.x == 0:
                partials[SUM, chunk] = high
                partials[ERROR, chunk] = low
                partials[WEIGHT_SUM, chunk] = weight_high
                partials[WEIGHT_ERROR, chunk] = weight_low
                partials[BAD, chunk] = bad
            cuda.syncthreads()  # before the next chunk overwrites the sums
            chunk += cuda.gridDim.x

    return kernel


@cache
def map_kernel(spec: Pass) -> Any:
    """Return the kernel of a pass that only stores what becomes of its first argument.

    A launch takes the longer the more arguments it has, and of a small array that is all there is.
    """
    lanes, groups, width = spec.layout.lanes, spec.layout.groups, spec.width
    tile = lanes * groups * width
    read, go, go_last = tile_reader(spec, groups), tile_pass(spec, groups), last_tile_pass(spec)

    @cuda.jit(**spec.compiler_options)
    def kernel(size: int, first: Any, out: Any) -> None:
        nothing = (0.0, 0.0, 0.0, 0.0, np.int32(0))
        t = np.int64(cuda.blockIdx.x)
        while t * tile < size:
            lane = cuda.threadIdx.x
            while lane < lanes:
                i = t * tile + lane * width
                if (t + 1) * tile <= size:
                    go(nothing, read(first, first, first, i), i, 1, out, out)
                else:
                    go_last(nothing, first, first, first, size, i, 1, out, out)
                lane += cuda.blockDim.x
            t += cuda.gridDim.x

    return kernel


@cache
def fold_kernel() -> Any:
    """Return the kernel that adds up the partial results of all chunks; one block."""
    total = block_sum(FOLD_LANES)

    @cuda.jit
    def kernel(chunks: int, partials: Any, totals: Any) -> None:
        scratch = cuda.shared.array((2, FOLD_LANES), float64)
        for row in range(SUM, BAD, 2):
            lane = cuda.threadIdx.x
            while lane < FOLD_LANES:
                high = low = 0.0
                for chunk in range(lane, chunks, FOLD_LANES):
                    high, low = add(high, low, partials[row, chunk], partials[row + 1, chunk])
                scratch[0, lane] = high
                scratch[1, lane] = low
                lane += cuda.blockDim.x
            high, low = total(scratch, 0)
            if cuda.threadIdx.x == 0:
                totals[row] = high
                totals[row + 1] = low
            cuda.syncthreads()
        bad = 0
        for chunk in range(cuda.threadIdx.x, chunks, cuda.blockDim.x):
            if partials[BAD, chunk] != 0.0:
                bad = 1
        bad = cuda.syncthreads_or(bad)
        if cuda.threadIdx.x == 0:
            totals[BAD] = bad

    return kernel


@cache
def copy_kernel(ndim: int) -> Any:
    """Return the kernel that copies an array of any strides to another."""
    read, write = reader("plain", ndim), writer(ndim)

    @cuda.jit
    def kernel(size: int, source: Any, target: Any) -> None:
        i = cuda.grid(1)
        while i < size:
            write(target, i, read(source, i))
            i += cuda.gridsize(1)

    return kernel


@cache
def fill_kernel(ndim: int) -> Any:
    """Return the kernel that stores one value everywhere."""
    write = writer(ndim)

    @cuda.jit
    def kernel(size: int, value: Any, target: Any) -> None:
        i = cuda.grid(1)
        while i < size:
            write(target, i, value)
            i += cuda.gridsize(1)

    return kernel


def flat(*arrays: Any) -> list[Any]:
    """Return the device arrays as one dimension if all are contiguous, else with one at least."""
    if all(array.is_c_contiguous() for array in arrays) or not arrays[0].shape:
        return [array if array.ndim == 1 else array.reshape(array.size) for array in arrays]
    return list(arrays)


def copy(source: Any, target: Any, launch: Launch) -> None:
    """Copy an array of any strides to another; does not wait for the device."""
    source, target = flat(source, target)
    if source.size:
        copy_kernel(source.ndim)[launch.over(source.size)](source.size, source, target)


def fill(out: Any, value: Any, launch: Launch) -> None:
    """Store one value everywhere in `out`; does not wait for the device."""
    (out,) = flat(out)
    if out.size:
        fill_kernel(out.ndim)[launch.over(out.size)](out.size, value, out)


def launch_map(
    operation: str,
    first: Column,
    out: Any,
    launch: Launch = Launch(),
    layout: Layout = LAYOUT,
) -> None:
    """Store what becomes of each sample, without waiting for the device.

    Nothing is allocated, so that the launch can be captured in a CUDA graph.

    Parameters
    ----------
    operation : str
        Name of an operation without labels.
    first : Column
        At least one sample.
    out : device array
        What it is stored in.
    launch : Launch, optional
        Where and how.
    layout : Layout, optional
        How samples are dealt out.
    """
    values, target = flat(first.array, out)
    width = layout.width(values.dtype.itemsize)
    spec = Pass(
        operation,
        values.ndim,
        vector=all(is_aligned(array, width) for array in (values, target)),
        encodings=(first.encoding,) * 3,
        width=width,
        compensated=first.dtype == np.float64,
        reduced=False,
        layout=layout,
    )
    size = values.size
    tiles = -(-size // layout.tile(values.dtype.itemsize))
    configuration = launch.configuration(tiles, -(-size // width), layout.lanes)
    map_kernel(spec)[configuration](size, values, target)


def launch_pass(
    operation: str,
    first: Column,
    labels: Column | None = None,
    weights: Column | None = None,
    losses: Any = None,
    gradients: Any = None,
    divisor: float | None = None,
    launch: Launch = Launch(),
    layout: Layout = LAYOUT,
) -> Partials:
    """Make the one pass, without waiting for the device, and return the partial results.

    The second call for a stream allocates nothing, and can be captured in a CUDA graph.

    Parameters
    ----------
    operation : str
        Name of the operation.
    first : Column
        At least one sample.
    labels, weights : Column or None
        Where the operation takes labels, and where there are weights.
    losses, gradients : device array or None
        Losses are added up instead of stored where there is no array for them.
    divisor : float or None
        What gradients are divided by.
    launch : Launch, optional
        Where and how.
    layout : Layout, optional
        How samples are dealt out.

    Returns
    -------
    Partials
        A column of SUM, ERROR, WEIGHT_SUM, WEIGHT_ERROR and BAD for each chunk.
    """
    # A kernel of fixed arity reads or writes no array that its flags leave out.
    columns = [first if column is None else column for column in (first, labels, weights)]
    arrays = flat(
        *(column.array for column in columns),
        *(first.array if out is None else out for out in (losses, gradients)),
    )
    precision = np.dtype(np.float64 if first.dtype == np.float64 else np.float32)
    itemsize = arrays[0].dtype.itemsize
    width = layout.width(itemsize)
    spec = Pass(
        operation,
        arrays[0].ndim,
        vector=all(is_aligned(array, width) for array in arrays),
        encodings=tuple(column.encoding for column in columns),
        width=width,
        hard=columns[1].dtype.kind in "biu",
        compensated=precision == np.float64,
        weighted=weights is not None,
        with_gradient=gradients is not None,
        divided=divisor is not None,
        reduced=losses is None,
        layout=layout,
    )
    size = arrays[0].size
    in_chunk, chunks = layout.cut(size, itemsize)
    scratch = _kept.on(launch.stream, layout.most_chunks)
    configuration = launch.configuration(chunks, -(-size // width), layout.lanes)
    pass_kernel(spec)[configuration](
        size, in_chunk, chunks, precision.type(divisor or 1), *arrays, scratch.partials
    )
    return Partials(chunks, scratch)


def launch_fold(partials: Partials, launch: Launch) -> Any:
    """Add up the partial results, without waiting; the totals are in the same order."""
    scratch = partials.scratch
    _, threads, stream = launch.configuration(1, partials.chunks, FOLD_LANES)
    fold_kernel()[1, threads, stream](partials.chunks, scratch.partials, scratch.totals)
    return scratch.totals


def fold(partials: Partials, launch: Launch) -> np.ndarray:
    """Add up the partial results, wait for them, and return the totals in the same order."""
    return to_host(launch_fold(partials, launch), launch)


def to_host(array: Any, launch: Launch) -> np.ndarray:
    """Wait for a device array of any strides and copy it to the host."""
    if not array.is_c_contiguous():
        gathered = cuda.device_array(array.shape, array.dtype, stream=launch.stream)
        copy(array, gathered, launch)
        array = gathered
    values = np.asarray(array.copy_to_host(stream=launch.stream)).reshape(array.shape)
    if launch.stream:
        launch.stream.synchronize()
    return values
