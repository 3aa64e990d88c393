"""How samples come out of device memory, and results go in.

A lane takes several neighbouring samples at once: 16 bytes of scores are one load, and the one-byte
labels beside them another of four bytes. This needs contiguous arrays that start on a multiple of
those bytes; from all others the same samples are taken one by one. Nothing else differs, so that
results have the same bits either way.

A kernel sees contiguous arrays as an address, and arrays with strides as a tuple of an address, the
shape and the strides in bytes. The simulator has no addresses and no vector loads: there an array
is an array, and is taken sample by sample, which is the whole difference between a simulated kernel
and a compiled one.

Scores of half precision are read as their 16 bits and widened to float32, which is exact: float16
by the hardware's conversion, bfloat16, which is the upper half of a float32, by a shift.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
from numba import cuda

from xent_numba.kernels.cuda.intrinsics import (
    load,
    scan,
    store,
    vector_load,
    vector_store,
    widened_bfloat16,
    widened_float16,
)
from xent_numba.kernels.cuda.passes import SIMULATED, stored_dtype


@cache
def _index(ndim: int) -> Callable[[int, Any], Any]:
    """Return ``f(i, shape)``: the index, in each of the dimensions, of sample i in C order."""
    if ndim == 1:

        @cuda.jit(device=True)
        def index(i: int, shape: Any) -> Any:
            return (i,)

    else:
        outer, last = _index(ndim - 1), ndim - 1

        @cuda.jit(device=True)
        def index(i: int, shape: Any) -> Any:
            return outer(i // shape[last], shape) + (i % shape[last],)  # noqa: RUF005

    return index


@cache
def _offset(ndim: int) -> Callable[[Any, Any, Any], Any]:
    """Return ``f(i, shape, strides)``: bytes from the first sample to sample i in C order."""
    if ndim == 1:

        @cuda.jit(device=True)
        def offset(i: int, shape: Any, strides: Any) -> Any:
            return i * strides[0]

    else:
        outer, last = _offset(ndim - 1), ndim - 1

        @cuda.jit(device=True)
        def offset(i: int, shape: Any, strides: Any) -> Any:
            rest, k = i // shape[last], i % shape[last]
            return outer(rest, shape, strides) + k * strides[last]

    return offset


@cuda.jit(device=True)
def _as_it_is(value: Any) -> Any:
    return value


def _simulated_float16(bits: Any) -> Any:
    return np.float32(bits.view(np.float16))


def _simulated_bfloat16(bits: Any) -> Any:
    return (np.uint32(bits) << np.uint32(16)).view(np.float32)


def _decoder(number: str) -> Any:
    """Return what makes a number of an element of an array of such numbers."""
    decoders: dict[str, Any] = {
        "float16": _simulated_float16 if SIMULATED else widened_float16,
        "bfloat16": _simulated_bfloat16 if SIMULATED else widened_bfloat16,
    }
    return decoders.get(number, _as_it_is)


@cache
def reader(number: str, strided: int) -> Callable[[Any, int], Any]:
    """Return ``f(array, i)``: sample i as a number that is computed with.

    Parameters
    ----------
    number : str
        Name of the dtype of the elements, among them "bfloat16".
    strided : int
        Dimensions of arrays with strides; 0 for contiguous ones.
    """
    decode, size = _decoder(number), stored_dtype(number).itemsize
    if SIMULATED:
        index = _index(max(1, strided))

        @cuda.jit(device=True)
        def read(array: Any, i: int) -> Any:
            return decode(array[index(i, array.shape)])

    elif strided:
        offset = _offset(strided)

        @cuda.jit(device=True)
        def read(array: Any, i: int) -> Any:
            return decode(load(array[0], offset(np.int64(i), array[1], array[2])))

    else:

        @cuda.jit(device=True)
        def read(array: Any, i: int) -> Any:
            return decode(load(array, np.int64(i) * size))

    return read


@cache
def unrolled(count: int) -> Callable[..., Any]:
    """Return `intrinsics.scan`, or what does the same in the simulator."""
    if not SIMULATED:
        return scan(count)

    def run(step: Any, state: Any, given: Any) -> Any:
        rows = []
        for k in range(count):
            state, *row = step(np.int64(k), state, given)
            rows.append(row)
        return (state, *zip(*rows, strict=True))

    return run


@cache
def group_reader(
    number: str, strided: int, width: int, *, vector: bool
) -> Callable[[Any, int], Any]:
    """Return ``f(array, i)``: the samples i to i + width - 1 as a tuple of numbers.

    Parameters
    ----------
    number : str
        Name of the dtype of the elements.
    strided : int
        Dimensions of arrays with strides; 0 for contiguous ones.
    width : int
        Samples.
    vector : bool
        Whether the array is contiguous, and sample i on a multiple of the bytes that are read.
    """
    gather = unrolled(width)
    if vector and not SIMULATED:
        vector_of, decode = vector_load(width), _decoder(number)
        if decode is _as_it_is:
            return vector_of

        @cuda.jit(device=True)
        def decoded(k: int, nothing: Any, values: Any) -> Any:
            return nothing, decode(values[k])

        @cuda.jit(device=True)
        def group(array: Any, i: int) -> Any:
            return gather(decoded, (), vector_of(array, i))[1]

    else:
        read = reader(number, strided)

        @cuda.jit(device=True)
        def one(k: int, i: int, array: Any) -> Any:
            return i, read(array, i + k)

        @cuda.jit(device=True)
        def group(array: Any, i: int) -> Any:
            return gather(one, i, array)[1]

    return group


@cache
def writer(number: str, strided: int) -> Callable[[Any, int, Any], None]:
    """Return ``f(array, i, value)``, which stores sample i; the parameters are `reader`'s."""
    size = stored_dtype(number).itemsize
    if SIMULATED:
        index = _index(max(1, strided))

        @cuda.jit(device=True)
        def write(array: Any, i: int, value: Any) -> None:
            array[index(i, array.shape)] = value

    elif strided:
        offset = _offset(strided)

        @cuda.jit(device=True)
        def write(array: Any, i: int, value: Any) -> None:
            store(array[0], offset(np.int64(i), array[1], array[2]), value)

    else:

        @cuda.jit(device=True)
        def write(array: Any, i: int, value: Any) -> None:
            store(array, np.int64(i) * size, value)

    return write


@cache
def group_writer(
    number: str, strided: int, width: int, *, vector: bool
) -> Callable[[Any, int, Any], None]:
    """Return ``f(array, i, values)``, which stores the samples i to i + width - 1."""
    if vector and not SIMULATED:
        store_vector = vector_store(width)

        @cuda.jit(device=True)
        def group(array: Any, i: int, values: Any) -> None:
            store_vector(array, i, values)

    else:
        write = writer(number, strided)

        @cuda.jit(device=True)
        def group(array: Any, i: int, values: Any) -> None:
            for k in range(width):
                write(array, i + k, values[k])

    return group


@cuda.jit(device=True)
def discard(array: Any, i: int, values: Any) -> None:
    """Store nothing."""
