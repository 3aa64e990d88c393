"""The way of a call that is like one before it: of few samples, the checks outweigh the kernel.

Contiguous arrays of PyTorch's or CuPy's, all of one type, are asked a handful of attributes. What
follows from shapes, dtypes and devices is kept as a plan; the kernel has been launched before. What
is out of the ordinary, a value outside its set included, gets None here, and is computed, or
refused, by the longer way.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Callable
from contextlib import suppress
from functools import cache, cached_property, partial
from typing import Any, NamedTuple

import numpy as np

from xent_numba.kernels.cuda import arrays, exchange, launch
from xent_numba.kernels.cuda.passes import (
    LAYOUT,
    ROWS,
    RULES,
    computed_dtype,
    stored_dtype,
)
from xent_numba.operations import OPERATIONS

NUMBERS = ("float16", "bfloat16", "float32", "float64", "int8", "uint8", "int32", "int64")
_BYTES = {number: stored_dtype(number).itemsize for number in NUMBERS}
_RESULTS = {number: str(computed_dtype(number)) for number in NUMBERS if "float" in number}
MOST_PLANS = 1024
"""Of calls; a program may make them with arrays of any number of shapes."""


_NOTHING = 0, None
"""The look at an array that there is none of."""


def _looked_at(library: Any, first: Any, labels: Any, out: Any, gradient: Any) -> Any:
    """Return what is the same in another call like this one, and addresses; None to look longer."""
    look = library.look
    one, two, three, four = look(first), look(labels), look(out), look(gradient)
    if one is None or two is None or three is None or four is None:
        return None
    return (one[1], two[1], three[1], four[1]), (one[0], two[0], three[0], four[0])


class Tensors:
    """How tensors of PyTorch's are looked at, one attribute after another."""

    seen = _looked_at

    def __init__(self, torch: Any) -> None:
        self.numbers = {getattr(torch, number): number for number in NUMBERS}
        self.numbers[torch.bool] = "uint8"
        self.stream_of = torch._C._cuda_getCurrentRawStream
        self.empty_like = torch.empty_like
        self.strided = torch.strided
        self.kind = torch.Tensor

    def look(self, tensor: Any) -> Any:
        """Return the address, and shape, dtype and device; None where it takes a longer look.

        The device is negative for a tensor of the host's, of which there is no plan.
        """
        if tensor is None:
            return _NOTHING
        if type(tensor) is not self.kind or tensor.requires_grad:
            return None
        if tensor.layout is not self.strided or tensor.is_neg() or not tensor.is_contiguous():
            return None
        return tensor.data_ptr(), (tensor.shape, tensor.dtype, tensor.get_device())


class DescribedTensors(Tensors):
    """How tensors of PyTorch's are looked at, where it describes them to compiled code."""

    def __init__(self, torch: Any) -> None:
        super().__init__(torch)
        self.function = exchange.function_for(self.kind)
        if not self.function:
            raise AttributeError(f"{self.kind} has no table of functions that is known")

    @cached_property
    def describe(self) -> Callable[..., Any]:
        """See `exchange.describer`."""
        return exchange.describer(self.function)

    def seen(self, first: Any, labels: Any, out: Any, gradient: Any) -> Any:
        """See `_looked_at`."""
        kind = self.kind
        for tensor in (first, labels, out, gradient):
            # What DLPack does not know of.
            if tensor is not None and (
                type(tensor) is not kind or tensor.requires_grad or tensor.is_neg()
            ):
                return None
        return self.describe(first, labels, out, gradient)


class ArraysOfCupy:
    """How arrays of CuPy's are looked at."""

    seen = _looked_at

    def __init__(self, cupy: Any) -> None:
        self.numbers = {np.dtype(n): n for n in NUMBERS if n != "bfloat16"}
        self.numbers[np.dtype(np.bool_)] = "uint8"
        self.current = cupy.cuda.get_current_stream
        self.empty_like = cupy.empty_like
        self.kind = cupy.ndarray

    def stream_of(self, device: int) -> int:
        """Return the handle of the current stream; 1 is the default one."""
        return self.current().ptr or 1

    def look(self, array: Any) -> Any:
        """Return the address, and shape, dtype and device; None where it takes a longer look."""
        if array is None:
            return _NOTHING
        if type(array) is not self.kind or not array.flags.c_contiguous:
            return None
        data = array.data
        return data.ptr, (array.shape, array.dtype, data.device_id)


@cache
def framework_of(kind: Any) -> Any:
    """Return how arrays of a type are looked at; None where there is no such way."""
    for name, array, library in (
        ("torch", "Tensor", DescribedTensors),
        ("torch", "Tensor", Tensors),
        ("cupy", "ndarray", ArraysOfCupy),
    ):
        module = sys.modules.get(name)
        if module is not None and kind is getattr(module, array, None):
            with suppress(AttributeError):  # not of a version that is known
                return library(module)
    return None


class _Plan(NamedTuple):
    """What a call does, as far as shapes, dtypes and devices say.

    Attributes
    ----------
    launcher : callable
        Of the kernel.
    grid, head : tuple of int
        Blocks and threads, and what the kernel is given before addresses.
    device, single : int, bool
        Where the arrays are, and whether there is no other: then a launch sees to a context itself.
    masks, lengths : tuple of int
        Of the first argument, labels, `out` and `grad_out`: the bits of an address that have to be
        0, and the bytes of the array; zeros for one that there is none of.
    fold : tuple or None
        Launcher, threads and head of the kernel that adds up partial results, if there are any.
    result : str
        Name of the dtype of the results.
    """

    launcher: Callable[..., None]
    grid: tuple[int, int]
    head: tuple[int, ...]
    device: int
    single: bool
    masks: tuple[int, ...]
    lengths: tuple[int, ...]
    fold: Any
    result: str


plans: dict[Any, _Plan] = {}


def way_of(kind: Any) -> Callable[[Any], Any] | None:
    """Return what computes a call on arrays of a type, or returns None; None if nothing does."""
    library = framework_of(kind)
    return None if library is None else partial(_evaluate, library)


def _evaluate(library: Any, call: Any) -> Any:
    if not launch.launchers:  # a process that makes one call does without all this
        return None
    operation, first, labels, weights, reduction, out, gradient = call
    if weights is not None or arrays.stream_is_chosen() or type(reduction) is not str:
        return None
    if labels is None and out is None:
        out = library.empty_like(first)
    seen = library.seen(first, labels, out, gradient)
    if seen is None:
        return None
    said, places = seen
    key = operation.name, reduction, said
    plan = plans.get(key) or _planned(library, key, (first, labels, out, gradient))
    if plan is None or _is_odd(places, plan.masks, plan.lengths):
        return None
    entered = not plan.single and launch.machine.enter(plan.device)
    try:
        stream = library.stream_of(plan.device)
        if labels is None:
            plan.launcher(*plan.grid, stream, *plan.head, places[0], places[2])
            return out
        done = _launched(plan, places, reduction == "none", stream)
    finally:
        if entered:
            launch.machine.leave()
    if done is None:
        return None
    result = done if out is None else out
    return (result, gradient) if operation.gradient else result


def _is_odd(places: Any, masks: Any, lengths: Any) -> bool:
    """Whether an array is not aligned, or an output shares memory with another array.

    What there is none of has no length, and shares memory with nothing.
    """
    first, labels, out, gradient = places
    of_first, of_labels, of_out, of_gradient = masks
    if first & of_first | labels & of_labels | out & of_out | gradient & of_gradient:
        return True
    of_first, of_labels, of_out, of_gradient = lengths
    end = out + of_out
    if (out < first + of_first and first < end) or (out < labels + of_labels and labels < end):
        return True
    if not gradient:
        return False
    stop = gradient + of_gradient
    return (
        (gradient < first + of_first and first < stop)
        or (gradient < labels + of_labels and labels < stop)
        or (gradient < end and out < stop)
    )


def _planned(library: Any, key: Any, given: tuple[Any, ...]) -> _Plan | None:
    """Return the plan of a call, and keep it; None for a call that takes the longer way."""
    name, reduction, _ = key
    looks = [library.look(array) for array in given]
    if None in looks:
        return None
    described = [look[1] for look in looks]
    shape, dtype, device = described[0]
    number, size = library.numbers.get(dtype), math.prod(shape)
    numbers = [one and library.numbers.get(one[1]) for one in described]
    if (
        device < 0
        or number not in _RESULTS
        or not size
        or not _fits(name, reduction, described, numbers)
    ):
        return None
    launcher, fold, head, chunks = _launchers(name, reduction, numbers, (size, device))
    if launcher is None:
        return None
    width = LAYOUT.width(_BYTES[number])
    masks, lengths = zip(
        *(
            _extent(one, *((1, 1) if role == 2 and reduction != "none" else (width, size)))
            for role, one in enumerate(numbers)
        ),
        strict=True,
    )
    grid = launch.DEFAULT.over(chunks, -(-size // width), LAYOUT.lanes)
    if len(plans) >= MOST_PLANS:
        plans.clear()
    plan = plans[key] = _Plan(
        launcher,
        grid,
        head,
        device,
        launch.machine.devices() == 1,
        masks,
        lengths,
        fold,
        _RESULTS[number],
    )
    return plan


def _extent(number: str | None, width: int, size: int) -> tuple[int, int]:
    """Return mask and length (`_Plan`) of an array, or of none, that is moved by such vectors."""
    if number is None:
        return 0, 0
    itemsize = _BYTES[number]
    return min(15, width * itemsize - 1), itemsize * size


def _fits(name: str, reduction: str, described: Any, numbers: list[Any]) -> bool:
    """Whether outputs that a call needs are there, and arrays are as the first one asks for."""
    (shape, _, device), labels, out, gradient = described
    operation = OPERATIONS[name]
    # A bad label raises where losses are allocated.
    if operation.gradient != (gradient is not None) or (out is None and reduction == "none"):
        return False
    if reduction not in operation.reductions:
        return False
    result = _RESULTS[numbers[0]]
    shapes = shape, (shape if reduction == "none" else ()), shape
    return all(
        one is None
        or (one[0] == of_one and one[2] == device and number in ((result,) if role else _BYTES))
        for role, (one, of_one, number) in enumerate(
            zip((labels, out, gradient), shapes, numbers[1:], strict=True)
        )
    )


def _launchers(name: str, reduction: str, numbers: list[Any], where: tuple[int, int]) -> Any:
    """Return launcher, fold, head and chunks of a call; no launcher where one is not known yet."""
    number, labels, _, gradient = numbers
    size, device = where
    in_chunk, chunks = LAYOUT.cut(size, _BYTES[number])
    if labels is None:
        tiles = -(-size // LAYOUT.tile(_BYTES[number]))
        return launch.launchers.get((name, number, 0, True, device, True)), None, (size,), tiles
    mean, summed = reduction == "mean", reduction != "none"
    divisor = "size" if gradient and mean else ""
    which = name, number, labels, None, summed, not gradient, divisor
    launcher, fold = launch.launchers.get((*which, 0, True, device, True)), None
    rule = RULES.index("mean") if mean else 0
    if summed and chunks > 1:
        of_fold = launch.launchers.get(("fold", _RESULTS[number], device))
        fold = of_fold, launch.fold_threads(chunks), (chunks, rule, size)
        launcher = launcher if of_fold else None
    return launcher, fold, (size, in_chunk, chunks, rule), chunks


def _launched(plan: _Plan, places: tuple[int, ...], per_sample: bool, stream: int) -> Any:
    """Launch; return True, or the sum or mean that there is no array for, None if one was bad."""
    first, labels, out, gradient = places
    scratch = launch.scratch_on(plan.device, stream)
    totals, single = scratch.totals, scratch.result
    if not out:
        totals = scratch.pinned.address
        single = totals + 8 * ROWS
    elif not per_sample:
        single = out
    plan.launcher(
        *plan.grid,
        stream,
        *plan.head,
        first,
        labels,
        first,
        out if per_sample else first,
        gradient or first,
        scratch.totals,
        scratch.table,
        totals,
        single,
    )
    if plan.fold is not None:
        launcher, threads, cut = plan.fold
        launcher(1, threads, stream, *cut, scratch.table, totals, single)
    if out:
        return True
    launch.machine.synchronize(stream)
    found = launch.read_totals(scratch, plan.result)
    return None if found.bad else np.dtype(plan.result).type(found.result)
