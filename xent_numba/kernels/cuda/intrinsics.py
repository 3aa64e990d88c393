"""What the kernels say to the compiler in LLVM's own words: instructions Python has no name for.

All that depends on llvmlite for a GPU is here, so that another compiler than numba-cuda would find
it in one place; what both wings share of it is `kernels.cpu.bits`. A kernel is given an address as
a ``CPointer``. What it points to is global memory, and is said to be: a generic address would be
looked up in three places.

References
----------
PTX ISA, https://docs.nvidia.com/cuda/parallel-thread-execution/
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from xent_numba.kernels.cpu.bits import instruction, on_gpu

VECTOR_BYTES = 16
"""What one instruction moves at most."""
_FLOATS = (types.float32, types.float64)
_GLOBAL = 1


@intrinsic
def approximate_reciprocal(typing: Any, x: Any) -> Any:
    """Return 1/x within 1 ULP of float32, or 2^-18 for float64; on a CPU correctly rounded."""
    if x not in _FLOATS:
        return None

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        if not on_gpu(builder):
            return builder.fdiv(args[0].type(1.0), args[0])
        suffix = "f32" if x == types.float32 else "f64"
        return instruction(builder, f"rcp.approx.ftz.{suffix} $0, $1;", args[0])

    return x(x), generate


@intrinsic
def at_least(typing: Any, low: Any, x: Any) -> Any:
    """Return the larger of the two, +0 of +0 and -0 where low is +0; NaN if x is NaN."""
    if low != x or x not in _FLOATS:
        return None

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        low, x_ = args
        if on_gpu(builder) and x == types.float32:
            return instruction(builder, "max.NaN.f32 $0, $1, $2;", low, x_)
        return builder.select(builder.fcmp_unordered(">", x_, low), x_, low)

    return x(low, x), generate


@intrinsic
def flip_sign(typing: Any, x: Any, like: Any) -> Any:
    """Return x, or -x where the integer is negative: one exclusive or."""
    if not isinstance(like, types.Integer):
        return None

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        bits = ir.IntType(x.bitwidth)
        negative = builder.icmp_signed("<", args[1], args[1].type(0))
        flip = builder.select(negative, bits(1 << (x.bitwidth - 1)), bits(0))
        return builder.bitcast(builder.xor(builder.bitcast(args[0], bits), flip), args[0].type)

    return x(x, like), generate


@intrinsic
def widened_float16(typing: Any, bits: Any) -> Any:
    """Return the float32 of a float16's bits."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        convert = ir.FunctionType(ir.FloatType(), [ir.IntType(16)])
        return builder.asm(convert, "cvt.f32.f16 $0, $1;", "=f,h", args, False)

    return types.float32(types.uint16), generate


@intrinsic
def widened_bfloat16(typing: Any, bits: Any) -> Any:
    """Return the float32 of a bfloat16's bits."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        word = ir.IntType(32)
        return builder.bitcast(builder.shl(builder.zext(args[0], word), word(16)), ir.FloatType())

    return types.float32(types.uint16), generate


def _global(builder: Any, pointer: Any, pointee: Any) -> Any:
    """Return a pointer to what lies there in global memory."""
    there = builder.bitcast(pointer, pointee.as_pointer())
    return builder.addrspacecast(there, pointee.as_pointer(_GLOBAL))


def _element(context: Any, builder: Any, pointer_type: Any, pointer: Any, offset: Any) -> Any:
    """Return a pointer to the element so many bytes from another."""
    byte = ir.IntType(8)
    start = builder.gep(builder.bitcast(pointer, byte.as_pointer()), [offset])
    return _global(builder, start, context.get_data_type(pointer_type.dtype))


@intrinsic
def load(typing: Any, pointer: Any, offset: Any) -> Any:
    """Return the element so many bytes from where a pointer points."""
    if not (isinstance(pointer, types.CPointer) and offset == types.int64):
        return None

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        value = builder.load(_element(context, builder, pointer, *args))
        return context.data_model_manager[pointer.dtype].from_data(builder, value)

    return pointer.dtype(pointer, offset), generate


@intrinsic
def store(typing: Any, pointer: Any, offset: Any, value: Any) -> Any:
    """Store an element so many bytes from where a pointer points."""
    if not (isinstance(pointer, types.CPointer) and offset == types.int64):
        return None

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        place = _element(context, builder, pointer, *args[:2])
        converted = context.cast(builder, args[2], value, pointer.dtype)
        builder.store(context.data_model_manager[pointer.dtype].as_data(builder, converted), place)
        return context.get_dummy_value()

    return types.none(pointer, offset, value), generate


def _parts(
    context: Any, builder: Any, pointer_type: Any, pointer: Any, i: Any, width: int
) -> tuple[list[Any], int]:
    """Return pointers to what one instruction each moves of ``width`` elements from i on.

    Of elements shorter than a word more than four are moved as words: LLVM would load them in two.
    """
    element = context.get_data_type(pointer_type.dtype)
    size = context.get_abi_sizeof(element)
    length = min(width, VECTOR_BYTES // size)
    words = size < 4 and length > 4
    moved = ir.VectorType(
        ir.IntType(32) if words else element, size * length // (4 if words else size)
    )
    start = _global(builder, builder.gep(pointer, [i]), moved)
    return [builder.gep(start, [ir.IntType(32)(k)]) for k in range(width // length)], size


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
    """Return ``f(pointer, i)``: the elements i to i + width - 1, in as few loads as can be."""

    @intrinsic
    def load(typing: Any, pointer: Any, i: Any) -> Any:
        def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            start, first = args
            pointers, size = _parts(context, builder, pointer, start, first, width)
            model = context.data_model_manager[pointer.dtype]
            values = [
                model.from_data(builder, value)
                for part in pointers
                for value in _elements(
                    builder,
                    builder.load(part, align=size * width // len(pointers)),
                    context.get_data_type(pointer.dtype),
                )
            ]
            return context.make_tuple(builder, signature.return_type, values)

        return types.UniTuple(pointer.dtype, width)(pointer, i), generate

    return load


@cache
def vector_store(width: int) -> Callable[[Any, int, Any], None]:
    """Return ``f(pointer, i, values)``, the counterpart of `vector_load`."""

    @intrinsic
    def store(typing: Any, pointer: Any, i: Any, values: Any) -> Any:
        if values != types.UniTuple(pointer.dtype, width):
            return None

        def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            start, first, packed = args
            pointers, size = _parts(context, builder, pointer, start, first, width)
            for part, place in enumerate(pointers):
                filled = place.type.pointee(ir.Undefined)
                for k in range(filled.type.count):
                    value = builder.extract_value(packed, part * filled.type.count + k)
                    filled = builder.insert_element(filled, value, ir.IntType(32)(k))
                builder.store(filled, place, align=size * filled.type.count)
            return context.get_dummy_value()

        return types.none(pointer, i, values), generate

    return store


@cache
def scan(count: int) -> Callable[..., Any]:
    """Return ``f(step, state, given)``: ``step(k, state, given)`` for k from 0 to count - 1.

    A step returns the next state, of the same type, and any number of values. There come back the
    last state and, for each of those values, a tuple of what the steps returned. The steps follow
    each other in the code, each with its k: nothing is left of k once they have been inlined.
    """

    @intrinsic
    def run(typing: Any, step: Any, state: Any, given: Any) -> Any:
        asked = step.get_call_type(typing, (types.int64, state, given), {})
        kinds = tuple(asked.return_type)
        if kinds[0] != state:
            return None
        columns = [types.UniTuple(kind, count) for kind in kinds[1:]]

        def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            _, last, fixed = args
            call = context.get_function(step, asked)
            rows = []
            for k in range(count):
                result = call(builder, (ir.IntType(64)(k), last, fixed))
                last, *row = cgutils.unpack_tuple(builder, result, len(kinds))
                rows.append(row)
            packed = (
                context.make_tuple(builder, kind, column)
                for kind, column in zip(columns, zip(*rows, strict=True), strict=True)
            )
            return context.make_tuple(builder, signature.return_type, (last, *packed))

        return types.Tuple((state, *columns))(step, state, given), generate

    return run
