"""A loop whose iterations are shared by a team of threads, or are all made by the one that calls.

Both ways run the same machine code, which is compiled once: Numba's ``prange`` would make a second
kernel of it, and optimise that four times, once in each of the functions it wraps around a loop.
Who is in the team is found out by the caller at run time, so no thread is started to compile.
"""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

ALONE = (0, 1)
"""A team of the calling thread: no address and one thread."""

_BYTES, _SIZE = ir.IntType(8).as_pointer(), ir.IntType(64)
_SIZES = _SIZE.as_pointer()
_LOOP = ir.FunctionType(ir.VoidType(), [_BYTES.as_pointer(), _SIZES, _SIZES, _BYTES])
"""A loop as Numba's threads call it: where in each array, how many iterations, strides, data."""

_SHARE = ir.FunctionType(ir.VoidType(), [_BYTES] * 5 + [_SIZE] * 3)
"""Numba's ``parallel_for``: a loop, its arguments, dimensions, arrays, threads."""


def _loop(context: Any, builder: Any, iteration: Any, arguments: Any) -> Any:
    """Generate ``iteration(i, *arguments)`` for consecutive i, as a function of its own."""
    # The one array has a byte for each iteration and begins at address 0: addresses are indices.
    name = f"{builder.function.name}.iterations"
    function = ir.Function(builder.module, _LOOP, builder.module.get_unique_name(name))
    function.linkage = "internal"
    inner = ir.IRBuilder(function.append_basic_block())
    places, counts, _, data = function.args
    begin = inner.ptrtoint(inner.load(places), _SIZE)
    kind = context.get_value_type(arguments).as_pointer()
    values = cgutils.unpack_tuple(inner, inner.load(inner.bitcast(data, kind)), len(arguments))
    callee = context.declare_function(builder.module, iteration.fndesc)
    context.active_code_library.add_linking_library(iteration.library)
    with cgutils.for_range(inner, inner.load(counts)) as loop:
        index = inner.add(begin, loop.index)
        context.call_conv.call_function(
            inner, callee, iteration.fndesc.restype, iteration.fndesc.argtypes, [index, *values]
        )
    inner.ret_void()
    return function


@intrinsic
def share(typing: Any, count: Any, iteration: Any, arguments: Any, team: Any) -> Any:
    """``iteration(i, *arguments)`` for i from 0 to count - 1, in any order; it must not raise.

    The team is the address of Numba's ``parallel_for`` and a number of threads, or `ALONE`.
    """
    asked = iteration.get_call_type(typing, (types.intp, *arguments), {})
    result = types.none(types.intp, iteration, arguments, types.UniTuple(types.intp, 2))

    def generate(context: Any, builder: Any, _signature: Any, args: Any) -> Any:
        count, _, values, team = args
        loop = _loop(context, builder, iteration.dispatcher.get_compile_result(asked), arguments)
        data = cgutils.alloca_once_value(builder, values)
        places = cgutils.alloca_once_value(builder, ir.Constant(_BYTES, None))
        counts = cgutils.alloca_once_value(builder, count)
        steps = cgutils.alloca_once_value(builder, _SIZE(1))
        address, threads = cgutils.unpack_tuple(builder, team, 2)
        given = [places, counts, steps, builder.bitcast(data, _BYTES)]
        with builder.if_else(cgutils.is_null(builder, address)) as (alone, together):
            with alone:
                builder.call(loop, given)
            with together:
                shared = builder.inttoptr(address, _SHARE.as_pointer())
                pointers = [builder.bitcast(value, _BYTES) for value in (loop, *given)]
                builder.call(shared, [*pointers, _SIZE(1), _SIZE(1), threads])
        return context.get_dummy_value()

    return result, generate
