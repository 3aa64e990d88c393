"""Passes over arrays on a device: which kernel, how many blocks, where partial results go.

Nothing here waits for the device, but for the functions that say so.
"""

from __future__ import annotations

import struct
import threading
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from typing import Any, Literal, NamedTuple

from xent_numba.kernels.cuda.passes import (
    COLUMNS,
    LAYOUT,
    ROWS,
    RULES,
    SIMULATED,
    VECTOR_BYTES,
    Launch,
    Layout,
    Pass,
    Rule,
    stored_dtype,
)
from xent_numba.kernels.cuda.signature import Kernel, of_pass

machine: Any = import_module(f"{__package__}.{'simulator' if SIMULATED else 'driver'}")
"""The driver, or what stands for it in the simulator."""
FOLD_THREADS = 1024
DEFAULT = Launch()


class Totals(NamedTuple):
    """What the host reads of a pass that it waits for.

    Attributes
    ----------
    sum, error, weight_sum, weight_error : float
        Of the losses and of the weights, unevaluated.
    bad : float
        Not 0 if a value was bad.
    result : float
        The sum or mean, of the dtype of the results.
    """

    sum: float
    error: float
    weight_sum: float
    weight_error: float
    bad: float
    result: float


_TOTALS = {"float32": struct.Struct(f"{ROWS}df"), "float64": struct.Struct(f"{ROWS}dd")}


@dataclass(slots=True)
class Task:
    """What one pass is to do, with arrays of one shape on one device.

    Attributes
    ----------
    operation : str
        Name of the operation.
    first : DeviceArray
        At least one sample.
    labels, weights : DeviceArray or None
        Where the operation takes labels, and where there are weights.
    losses, gradients : DeviceArray or None
        Losses are added up instead of stored where there is no array for them.
    divisor : {"", "size", "sum"}
        What gradients are divided by: nothing, the number of samples, or the sum of weights that
        the last pass left in the scratch memory.
    rule : {"sum", "mean", "weighted mean"}
        What becomes of the sums.
    """

    operation: str
    first: Any
    labels: Any = None
    weights: Any = None
    losses: Any = None
    gradients: Any = None
    divisor: Literal["", "size", "sum"] = ""
    rule: Rule = "sum"


class _Scratch:
    """Memory for the results of a pass before they are what is asked for.

    Allocating takes longer than a small pass, and freeing waits for the whole device: each thread
    of the host keeps what it needs for each stream. What is in it is overwritten by the next pass.
    """

    __slots__ = ("memory", "pinned", "result", "table", "totals")

    def __init__(self) -> None:
        of_table = 8 * ROWS * COLUMNS
        self.memory = machine.Memory(of_table + 8 * ROWS + 8)
        self.table = self.memory.address
        self.totals = self.table + of_table
        self.result = self.totals + 8 * ROWS
        self.pinned = machine.Pinned(8 * ROWS + 8)


KEPT = 16
"""Streams for which a thread keeps memory; a program may make any number of them."""


class _Kept(threading.local):
    def __init__(self) -> None:
        self.scratch: dict[tuple[int, int], _Scratch] = {}


kept = _Kept()
_of_graphs: list[_Scratch] = []
"""Memory that is written when a captured graph is launched, at any time from then on."""


def scratch_on(device: int, stream: int) -> _Scratch:
    """Return the memory of this thread for a stream; what is being captured has its own."""
    if stream > 1 and machine.captured(stream):
        of_graph = _Scratch()
        _of_graphs.append(of_graph)
        return of_graph
    found = kept.scratch.get((device, stream))
    if found is None:
        if len(kept.scratch) >= KEPT:
            kept.scratch.clear()
        found = kept.scratch[device, stream] = _Scratch()
    return found


launchers: dict[Any, Any] = {}
"""Those of passes that have been made, by what can be told of a call at one look."""


@cache
def _mask(number: str, width: int) -> int:
    """Return the bits of an address that vector loads of so many elements need to be 0."""
    return min(VECTOR_BYTES, width * stored_dtype(number).itemsize) - 1


def _aligned(arrays: tuple[Any, ...], width: int) -> bool:
    return not any(array.address & _mask(array.number, width) for array in arrays)


def addresses(arrays: tuple[Any, ...], strided: int) -> list[int]:
    """Return what a kernel is given for arrays."""
    if not strided:
        return [array.address for array in arrays]
    given: list[int] = []
    for array in arrays:
        given += (array.address, *array.shape, *array.all_strides)
    return given


def dimensions_with_strides(arrays: tuple[Any, ...]) -> int:
    """Return the dimensions of arrays if one has strides, 0 if all are contiguous."""
    for array in arrays:
        if array.strides is not None:
            return len(array.shape)
    return 0


def launch_map(
    operation: str, first: Any, out: Any, launch: Launch = DEFAULT, layout: Layout = LAYOUT
) -> None:
    """Store what becomes of each sample.

    Nothing is allocated, so that the launch can be captured in a CUDA graph.

    Parameters
    ----------
    operation : str
        Name of an operation without labels.
    first : DeviceArray
        At least one sample.
    out : DeviceArray
        What it is stored in.
    launch : Launch, optional
        Where and how.
    layout : Layout, optional
        How samples are dealt out.
    """
    arrays = first, out
    strided = dimensions_with_strides(arrays)
    itemsize = first.itemsize
    width = layout.width(itemsize)
    vector = not strided and _aligned(arrays, width)
    key = operation, first.number, strided, vector, first.device, layout is LAYOUT or layout
    launcher = launchers.get(key)
    if launcher is None:
        spec = Pass(
            operation,
            (first.number, "", ""),
            losses=True,
            strided=strided,
            vector=vector,
            layout=layout,
        )
        launcher = launchers[key] = machine.launcher(of_pass(spec, maps=True), first.device)
    size = first.size
    blocks, threads = launch.over(
        -(-size // layout.tile(itemsize)), -(-size // width), layout.lanes
    )
    launcher(blocks, threads, launch.stream, size, *addresses(arrays, strided))


def launch_pass(
    task: Task,
    scratch: Any,
    places: tuple[int, int],
    launch: Launch = DEFAULT,
    layout: Layout = LAYOUT,
) -> int:
    """Make one pass, and return how many columns of the table of partial results it fills.

    Of a single one what it adds up to is stored at once, as `launch_fold` does for more.

    Parameters
    ----------
    task : Task
        What to do.
    scratch : scratch memory
        Where partial results go.
    places : tuple of int
        Addresses of where the totals go, and the one number.
    launch : Launch, optional
        Where and how.
    layout : Layout, optional
        How samples are dealt out.
    """
    first = task.first
    # A kernel of fixed arity reads or writes no array that its flags leave out.
    arrays = (
        first,
        task.labels or first,
        task.weights or first,
        task.losses or first,
        task.gradients or first,
    )
    strided = dimensions_with_strides(arrays)
    itemsize = first.itemsize
    width = layout.width(itemsize)
    vector = not strided and _aligned(arrays, width)
    key = (
        task.operation,
        first.number,
        task.labels and task.labels.number,
        task.weights and task.weights.number,
        task.losses is None,
        task.gradients is None,
        task.divisor,
        strided,
        vector,
        first.device,
        layout is LAYOUT or layout,
    )
    launcher = launchers.get(key)
    if launcher is None:
        spec = Pass(
            task.operation,
            (first.number, key[2] or "", key[3] or ""),
            losses=task.losses is not None,
            gradients=task.gradients is not None,
            divisor=task.divisor,
            strided=strided,
            vector=vector,
            layout=layout,
        )
        launcher = launchers[key] = machine.launcher(of_pass(spec), first.device)
    size = first.size
    in_chunk, chunks = layout.cut(size, itemsize)
    blocks, threads = launch.over(chunks, -(-size // width), layout.lanes)
    launcher(
        blocks,
        threads,
        launch.stream,
        size,
        in_chunk,
        chunks,
        RULES.index(task.rule),
        *addresses(arrays, strided),
        scratch.totals,
        scratch.table,
        *places,
    )
    return chunks


def launch_fold(
    chunks: int, task: Task, scratch: Any, places: tuple[int, int], launch: Launch = DEFAULT
) -> None:
    """Add up the partial results of a pass.

    Parameters
    ----------
    chunks : int
        How many columns of the table there are.
    task : Task
        What the pass did.
    scratch : scratch memory
        Where the partial results are.
    places : tuple of int
        Addresses of where the totals go, and the one number.
    launch : Launch, optional
        On which stream.
    """
    first = task.losses or task.first
    key = "fold", str(first.dtype), first.device
    launcher = launchers.get(key)
    if launcher is None:
        launcher = launchers[key] = machine.launcher(Kernel("fold", key[1:2]), first.device)
    rule = RULES.index(task.rule)
    launcher(
        1,
        fold_threads(chunks),
        launch.stream,
        chunks,
        rule,
        task.first.size,
        scratch.table,
        *places,
    )


@cache
def fold_threads(chunks: int) -> int:
    """Return how many threads add up so many columns."""
    return min(FOLD_THREADS, max(32, 1 << (chunks - 1).bit_length()))


def launch_sum(
    task: Task,
    scratch: Any,
    places: tuple[int, int],
    launch: Launch = DEFAULT,
    layout: Layout = LAYOUT,
) -> None:
    """Make one pass and add up what it left; the parameters are those of `launch_pass`."""
    chunks = launch_pass(task, scratch, places, launch, layout)
    if chunks > 1:
        launch_fold(chunks, task, scratch, places, launch)


def awaited(task: Task, scratch: Any, launch: Launch = DEFAULT, layout: Layout = LAYOUT) -> Totals:
    """Make one pass, add up what it left, wait for the device, and return the totals."""
    pinned = scratch.pinned
    launch_sum(task, scratch, (pinned.address, pinned.address + 8 * ROWS), launch, layout)
    machine.synchronize(launch.stream)
    return read_totals(scratch, str(task.first.dtype))


def read_totals(scratch: Any, result: str) -> Totals:
    """Return what a pass has left for the host; the name is that of the dtype of its results."""
    return Totals(*_TOTALS[result].unpack_from(scratch.pinned.view))
