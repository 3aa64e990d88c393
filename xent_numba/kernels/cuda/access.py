"""How samples come out of device memory, and results go in.

A lane takes several neighbouring samples at once: 16 bytes of scores are one load, and the one-byte
labels beside them another of four bytes. This needs contiguous arrays that start on a multiple of
those bytes; from all others the same samples are taken one by one. Nothing else differs, so that
results have the same bits either way.

The simulator has no vector loads. There every array is taken sample by sample, which is the whole
difference between a simulated kernel and a compiled one.

Scores of half precision are read as their 16 bits and widened to float32, which is exact: float16
by the hardware's conversion, bfloat16, which is the upper half of a float32, by a shift.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any, Literal

import numpy as np
from llvmlite import ir
from numba import config, cuda, types
from numba.extending import intrinsic

Encoding = Literal["plain", "float16", "bfloat16"]
SIMULATED = bool(config.ENABLE_CUDASIM)
VECTOR_BYTES = 16
"""What one instruction moves at most."""


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


@dataclass(frozen=True, slots=True)
class Column:
    """A device array, and what its elements stand for.

    Attributes
    ----------
    array : device array
        Of numbers, or of the bits of numbers of half precision as uint16.
    encoding : {"plain", "float16", "bfloat16"}
        Which of them.
    """

    array: Any
    encoding: Encoding = "plain"

    @property
    def dtype(self) -> np.dtype:
        """Dtype of the numbers that are computed with; half precision is widened to float32."""
        return np.dtype(np.float32 if self.encoding != "plain" else self.array.dtype)

    def numbers(self, elements: np.ndarray) -> np.ndarray:
        """Return the numbers that elements of the array, copied to the host, stand for."""
        if self.encoding == "float16":
            return elements.view(np.float16).astype(np.float32)
        if self.encoding == "bfloat16":
            return (elements.astype(np.uint32) << 16).view(np.float32)
        return elements


def _parts(
    context: Any, builder: Any, array_type: Any, array: Any, i: Any, width: int
) -> tuple[list[Any], int]:
    """Return pointers to what one instruction each moves of ``width`` elements from i on.

    Of elements shorter than a word more than four are moved as words: LLVM would load them in two.
    """
    element = context.get_data_type(array_type.dtype)
    size = context.get_abi_sizeof(element)
    length = min(width, VECTOR_BYTES // size)
    words = size < 4 and length > 4
    moved = ir.VectorType(
        ir.IntType(32) if words else element, size * length // (4 if words else size)
    )
    start = builder.gep(context.make_array(array_type)(context, builder, array).data, [i])
    pointer = builder.addrspacecast(builder.bitcast(start, moved.as_pointer()), moved.as_pointer(1))
    return [builder.gep(pointer, [ir.IntType(32)(k)]) for k in range(width // length)], size


def _elements(builder: Any, loaded: Any, element: Any) -> Any:
    """Yield what a loaded vector holds, taken from its words if it is one of words."""
    width, count = element.width if isinstance(element, ir.IntType) else 0, loaded.type.count
    for k in range(count):
        value = builder.extract_element(loaded, ir.IntType(32)(k))
        if value.type == element:
            yield value
            continue
        for shift in range(0, 32, width):
            yield builder.trunc(builder.lshr(value, value.type(shift)), element)


@cache
def vector_load(width: int) -> Callable[[Any, int], Any]:
    """Return ``f(array, i)``: the elements i to i + width - 1, in as few loads as there can be."""

    @intrinsic
    def load(typing: Any, array: Any, i: Any) -> Any:
        def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            array_, first = args
            pointers, size = _parts(context, builder, array, array_, first, width)
            model = context.data_model_manager[array.dtype]
            values = [
                model.from_data(builder, value)
                for pointer in pointers
                for value in _elements(
                    builder,
                    builder.load(pointer, align=size * width // len(pointers)),
                    context.get_data_type(array.dtype),
                )
            ]
            return context.make_tuple(builder, signature.return_type, values)

        return types.UniTuple(array.dtype, width)(array, i), generate

    return load


@cache
def vector_store(width: int) -> Callable[[Any, int, Any], None]:
    """Return ``f(array, i, values)``, the counterpart of `vector_load`."""

    @intrinsic
    def store(typing: Any, array: Any, i: Any, values: Any) -> Any:
        if values != types.UniTuple(array.dtype, width):
            return None

        def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            array_, first, packed = args
            pointers, size = _parts(context, builder, array, array_, first, width)
            for part, pointer in enumerate(pointers):
                filled = pointer.type.pointee(ir.Undefined)
                for k in range(filled.type.count):
                    value = builder.extract_value(packed, part * filled.type.count + k)
                    filled = builder.insert_element(filled, value, ir.IntType(32)(k))
                builder.store(filled, pointer, align=size * filled.type.count)
            return context.get_dummy_value()

        return types.none(array, i, values), generate

    return store


@intrinsic
def _widened_float16(typing: Any, bits: Any) -> Any:
    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        convert = ir.FunctionType(ir.FloatType(), [ir.IntType(16)])
        return builder.asm(convert, "cvt.f32.f16 $0, $1;", "=f,h", args, False)

    return types.float32(types.uint16), generate


@intrinsic
def _widened_bfloat16(typing: Any, bits: Any) -> Any:
    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        word = ir.IntType(32)
        return builder.bitcast(builder.shl(builder.zext(args[0], word), word(16)), ir.FloatType())

    return types.float32(types.uint16), generate


@cuda.jit(device=True)
def _as_it_is(value: Any) -> Any:
    return value


def _simulated_float16(bits: Any) -> Any:
    return np.float32(bits.view(np.float16))


def _simulated_bfloat16(bits: Any) -> Any:
    return (np.uint32(bits) << np.uint32(16)).view(np.float32)


_DECODERS: dict[str, Any] = {
    "plain": _as_it_is,
    "float16": _simulated_float16 if SIMULATED else _widened_float16,
    "bfloat16": _simulated_bfloat16 if SIMULATED else _widened_bfloat16,
}


@cache
def reader(encoding: Encoding, ndim: int) -> Callable[[Any, int], Any]:
    """Return ``f(array, i)``: sample i as a number, from an array of any strides."""
    index, decode = position(ndim), _DECODERS[encoding]

    @cuda.jit(device=True)
    def read(array: Any, i: int) -> Any:
        return decode(array[index(i, array.shape)])

    return read


@cache
def _decoded(encoding: Encoding, width: int) -> Callable[[Any], Any]:
    """Return ``f(values)``: a tuple of so many numbers."""
    decode = _DECODERS[encoding]
    if width == 1:

        @cuda.jit(device=True)
        def numbers(values: Any) -> Any:
            return (decode(values[0]),)

    else:
        before, last = _decoded(encoding, width - 1), width - 1

        @cuda.jit(device=True)
        def numbers(values: Any) -> Any:
            return before(values[:last]) + (decode(values[last]),)  # noqa: RUF005

    return numbers


@cache
def group_reader(
    encoding: Encoding, ndim: int, width: int, *, vector: bool
) -> Callable[[Any, int], Any]:
    """Return ``f(array, i)``: the samples i to i + width - 1 as a tuple of numbers.

    Parameters
    ----------
    encoding : {"plain", "float16", "bfloat16"}
        What the elements of the array stand for.
    ndim : int
        Dimensions of the array.
    width : int
        Samples.
    vector : bool
        Whether the array is contiguous, and sample i on a multiple of the bytes that are read.
    """
    if vector and not SIMULATED:
        load, numbers = vector_load(width), _decoded(encoding, width)

        @cuda.jit(device=True)
        def group(array: Any, i: int) -> Any:
            return numbers(load(array, i))

    elif width == 1:
        read = reader(encoding, ndim)

        @cuda.jit(device=True)
        def group(array: Any, i: int) -> Any:
            return (read(array, i),)

    else:
        read, last = reader(encoding, ndim), width - 1
        before = group_reader(encoding, ndim, last, vector=False)

        @cuda.jit(device=True)
        def group(array: Any, i: int) -> Any:
            return before(array, i) + (read(array, i + last),)  # noqa: RUF005

    return group


@cache
def writer(ndim: int) -> Callable[[Any, int, Any], None]:
    """Return ``f(array, i, value)``, which stores sample i."""
    index = position(ndim)

    @cuda.jit(device=True)
    def write(array: Any, i: int, value: Any) -> None:
        array[index(i, array.shape)] = value

    return write


@cache
def group_writer(ndim: int, width: int, *, vector: bool) -> Callable[[Any, int, Any], None]:
    """Return ``f(array, i, values)``, which stores the samples i to i + width - 1."""
    if vector and not SIMULATED:
        store = vector_store(width)

        @cuda.jit(device=True)
        def group(array: Any, i: int, values: Any) -> None:
            store(array, i, values)

    else:
        write = writer(ndim)

        @cuda.jit(device=True)
        def group(array: Any, i: int, values: Any) -> None:
            for k in range(width):
                write(array, i + k, values[k])

    return group


@cuda.jit(device=True)
def discard(array: Any, i: int, values: Any) -> None:
    """Store nothing."""


def is_aligned(array: Any, width: int) -> bool:
    """Whether groups of so many elements can be moved by vector instructions."""
    group = min(VECTOR_BYTES, width * array.dtype.itemsize)
    # In the simulator a device array has the interface of the host array that it is.
    name = "__array_interface__" if SIMULATED else "__cuda_array_interface__"
    address = getattr(array, name)["data"][0]
    return bool(array.is_c_contiguous() and address % group == 0)
