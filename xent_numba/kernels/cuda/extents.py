"""Where the elements of arrays lie: strides, alignment, and memory that is shared."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np

from xent_numba.kernels.cuda.passes import stored_dtype


def is_aligned(array: Any) -> bool:
    """Whether every element starts on a multiple of its size, as a GPU needs it to."""
    return not any(step % array.itemsize for step in (array.address, *(array.strides or ())))


def overlap(a: Any, b: Any) -> bool:
    """Whether two arrays share an element's memory."""
    (low, high), (other_low, other_high) = _extent(a), _extent(b)
    if high <= other_low or other_high <= low:
        return False
    if a.strides is None and b.strides is None:
        return True
    try:
        # An exact answer may take exponential time; past this much work, assume the worst.
        return np.shares_memory(shadow(a), shadow(b), 100_000)  # type: ignore[arg-type]
    except np.exceptions.TooHardError:
        return True


def overlaps_itself(array: Any) -> bool:
    """Whether two elements may be one: sorted by stride, a step must clear all smaller ones."""
    reach = array.itemsize
    for stride, length in sorted(
        (abs(step), n) for step, n in zip(array.all_strides, array.shape, strict=True) if n > 1
    ):
        if stride < reach:
            return True
        reach += stride * (length - 1)
    return False


def _extent(array: Any) -> tuple[int, int]:
    """Return the first address of an array, and the one behind its last."""
    low, size = array.address, array.itemsize
    if not array.size:
        return low, low
    if array.strides is None:
        return low, low + array.size * size
    reach = [(n - 1) * step for n, step in zip(array.shape, array.strides, strict=True)]
    return low + sum(min(0, r) for r in reach), low + size + sum(max(0, r) for r in reach)


def shadow(array: Any) -> np.ndarray:
    """Return a NumPy array with the address and strides of a device array, never to be read."""
    dtype = stored_dtype(array.number)
    if not array.size:
        return np.empty(array.shape, dtype)
    interface = {
        "version": 3,
        "typestr": dtype.str,
        "data": (array.address, False),
        "shape": array.shape,
        "strides": array.strides,
    }
    return np.asarray(SimpleNamespace(__array_interface__=interface))


def contiguous_strides(shape: tuple[int, ...], itemsize: int) -> tuple[int, ...]:
    """Return the strides, in bytes, of an array whose elements follow each other in C order."""
    lengths = np.cumprod([1, *reversed(shape[1:])])[: len(shape)]
    return tuple(int(length) * itemsize for length in reversed(lengths))


def is_contiguous(shape: tuple[int, ...], strides: tuple[int, ...], itemsize: int) -> bool:
    """Whether elements follow each other in C order; a dimension of one element has no step."""
    for length, step in zip(reversed(shape), reversed(strides), strict=True):
        if length != 1 and step != itemsize:
            return False
        itemsize *= length
    return True
