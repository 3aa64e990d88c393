"""The way of a call that is like one before it: of few samples, the checks outweigh the kernel.

Contiguous arrays of PyTorch's or CuPy's, all of one type, are asked a handful of attributes. That
their dtypes are accepted shows in that the kernel has been launched before. What is out of the
ordinary, a value outside its set included, gets None here, and is computed, or refused, by the
longer way.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Callable
from functools import cache, partial
from typing import Any, NamedTuple

import numpy as np

from xent_numba.kernels.cuda import arrays, launch
from xent_numba.kernels.cuda.passes import (
    LAYOUT,
    ROWS,
    RULES,
    computed_dtype,
    stored_dtype,
)
from xent_numba.operations import REDUCTIONS

NUMBERS = ("float16", "bfloat16", "float32", "float64", "int8", "uint8", "int32", "int64")
_BYTES = {number: stored_dtype(number).itemsize for number in NUMBERS}
_RESULTS = {number: computed_dtype(number) for number in NUMBERS if "float" in number}
_OF_RESULTS = {number: str(dtype) for number, dtype in _RESULTS.items()}
_STEPS = {number: LAYOUT.width(_BYTES[number]) for number in _RESULTS}
_TILES = {number: LAYOUT.tile(_BYTES[number]) for number in _RESULTS}


class Tensors:
    """How tensors of PyTorch's are looked at."""

    def __init__(self, torch: Any) -> None:
        self.numbers = {getattr(torch, number): number for number in NUMBERS}
        self.numbers[torch.bool] = "uint8"
        self.stream_of = torch._C._cuda_getCurrentRawStream
        self.empty_like = torch.empty_like
        self.strided = torch.strided

    def look(self, tensor: Any) -> Any:
        """Return address, shape, number and device; None where it takes a longer look."""
        if tensor.requires_grad or not tensor.is_cuda or tensor.layout is not self.strided:
            return None
        if tensor.is_neg() or not tensor.is_contiguous():
            return None
        number = self.numbers.get(tensor.dtype)
        return tensor.data_ptr(), tensor.shape, number, tensor.get_device()


class ArraysOfCupy:
    """How arrays of CuPy's are looked at."""

    def __init__(self, cupy: Any) -> None:
        self.numbers = {np.dtype(n): n for n in NUMBERS if n != "bfloat16"}
        self.numbers[np.dtype(np.bool_)] = "uint8"
        self.current = cupy.cuda.get_current_stream
        self.empty_like = cupy.empty_like

    def stream_of(self, device: int) -> int:
        """Return the handle of the current stream; 1 is the default one."""
        return self.current().ptr or 1

    def look(self, array: Any) -> Any:
        """Return address, shape, number and device; None where it takes a longer look."""
        if not array.flags.c_contiguous:
            return None
        data = array.data
        return data.ptr, array.shape, self.numbers.get(array.dtype), data.device_id


@cache
def _library(kind: Any) -> Any:
    """Return how arrays of a type are looked at; None where there is no such way."""
    for name, array, library in (("torch", "Tensor", Tensors), ("cupy", "ndarray", ArraysOfCupy)):
        module = sys.modules.get(name)
        if module is not None and kind is getattr(module, array, None):
            try:
                return library(module)
            except AttributeError:  # not of a version that is known
                return None
    return None


class _Seen(NamedTuple):
    """One array, at a look."""

    address: int
    shape: tuple[int, ...]
    number: str
    device: int


def way_of(kind: Any) -> Callable[[Any], Any] | None:
    """Return what computes a call on arrays of a type, or returns None; None if nothing does."""
    library = _library(kind)
    return None if library is None else partial(_evaluate, library)


def _evaluate(library: Any, call: Any) -> Any:
    if arrays.stream_is_chosen():
        return None
    seen = library.look(call.first)
    if seen is None or seen[2] not in _RESULTS or seen[0] & 15:
        return None
    return (_map if call.operation.labels is None else _losses)(library, call, seen)


def _map(library: Any, call: Any, seen: Any) -> Any:
    first, out = call.first, call.out
    address, shape, number, device = seen
    if out is None:
        if _OF_RESULTS[number] != number:
            return None
        out = library.empty_like(first)
    look = library.look(out) if type(out) is type(first) else None
    if look is None:
        return None
    start, of_out, name, there = look
    size = math.prod(shape)
    odd = start & 15 or of_out != shape or there != device or name != _OF_RESULTS[number]
    end = start + size * _BYTES[name] if name else 0
    if odd or not size or (start < address + size * _BYTES[number] and address < end):
        return None
    launcher = launch.known((call.operation.name, number, 0, True, device, True))
    if launcher is None:
        return None
    entered = launch.machine.enter_unless_single(device)
    try:
        blocks, threads = _over(size, number, -(-size // _TILES[number]))
        launcher(blocks, threads, library.stream_of(device), size, address, start)
    finally:
        if entered:
            launch.machine.leave()
    return out


def _losses(library: Any, call: Any, seen: Any) -> Any:
    operation, first, labels, weights, reduction, out, grad_out = call
    if weights is not None or reduction not in REDUCTIONS:
        return None
    # A bad label raises where losses are allocated.
    if (operation.gradient and grad_out is None) or (out is None and reduction == "none"):
        return None
    others = [
        _beside(library, first, seen, labels, "labels"),
        out if out is None else _beside(library, first, seen, out, reduction),
        grad_out if grad_out is None else _beside(library, first, seen, grad_out, "none"),
    ]
    size = math.prod(seen[1])
    if not size or False in others or _overlap(seen, others, size):
        return None
    entered = launch.machine.enter_unless_single(seen[3])
    try:
        done = _sum(call, _Seen(*seen), others, size, library.stream_of(seen[3]))
    finally:
        if entered:
            launch.machine.leave()
    if done is None:
        return None
    result = done if out is None else out
    return (result, grad_out) if operation.gradient else result


def _beside(library: Any, first: Any, seen: Any, array: Any, role: str) -> Any:
    """Return address and number of an array beside the first, and its size; False if it is odd.

    It must be of the first one's type, shape and device, and start where a vector load may.
    """
    look = library.look(array) if type(array) is type(first) else None
    if look is None:
        return False
    address, shape, number, device = look
    if number is None or device != seen[3] or (number != _OF_RESULTS[seen[2]] and role != "labels"):
        return False
    if role in ("sum", "mean"):
        return shape == () and (address, number, 1)
    mask = min(15, _STEPS[seen[2]] * _BYTES[number] - 1)
    return shape == seen[1] and not address & mask and (address, number, 0)


def _overlap(seen: Any, others: list[Any], size: int) -> bool:
    """Whether an output shares memory with what is read, or with another."""
    read = [(seen[0], size * _BYTES[seen[2]])]
    for written, other in zip((False, True, True), others, strict=True):
        if other is None:
            continue
        start, number, length = other
        length = (length or size) * _BYTES[number]
        if written and any(start < low + n and low < start + length for low, n in read):
            return True
        read.append((start, length))
    return False


def _over(size: int, number: str, chunks: int) -> tuple[int, int]:
    return launch.DEFAULT.over(chunks, -(-size // _STEPS[number]), LAYOUT.lanes)


def _sum(call: Any, seen: _Seen, others: Any, size: int, stream: int) -> Any:
    address, _, number, device = seen
    labels, out, gradient = others
    per_sample, mean = call.reduction == "none", call.reduction == "mean"
    divisor = "size" if gradient and mean else ""
    which = call.operation.name, number, labels[1], None, not per_sample, not gradient, divisor
    launcher = launch.known((*which, 0, True, device, True))
    in_chunk, chunks = LAYOUT.cut(size, _BYTES[number])
    folds = chunks > 1 and not per_sample
    fold = launch.known(("fold", _OF_RESULTS[number], device)) if folds else None
    if launcher is None or (folds and fold is None):
        return None
    scratch = launch.scratch_on(device, stream)
    totals, single = scratch.totals, scratch.result
    if out is None:
        totals = scratch.pinned.address
        single = totals + 8 * ROWS
    elif not per_sample:
        single = out[0]
    arguments = (
        address,
        labels[0],
        address,
        out[0] if per_sample else address,
        gradient[0] if gradient else address,
        scratch.totals,
        scratch.table,
        totals,
        single,
    )
    rule = RULES.index("mean") if mean else 0
    launcher(*_over(size, number, chunks), stream, size, in_chunk, chunks, rule, *arguments)
    if fold is not None:
        cut = chunks, rule, size
        fold(1, launch.fold_threads(chunks), stream, *cut, scratch.table, totals, single)
    if out is not None:
        return True
    launch.machine.synchronize(stream)
    found = launch.read_totals(scratch, _OF_RESULTS[number])
    return None if found.bad else _RESULTS[number].type(found.result)
