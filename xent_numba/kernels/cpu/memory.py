"""Where arrays lie: parts without an owner, scratch away from its input, stores past the caches.

None of it changes a bit of a result; all of it is what a block of samples costs besides its
arithmetic.
"""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic
from numba.np.arrayobj import populate_array

from xent_numba.kernels.cpu.bits import exact
from xent_numba.kernels.cpu.lanes import LINE

PAGE = 4096
"""Bytes of a page."""

WORK_AT, VALUES_AT = 640, 1344
"""Where scratch begins, in bytes after the place in its page where the input begins.

Addresses that agree in their last 12 bits look alike to a core that has yet to finish a store:
a load that follows waits for it (Intel 64 and IA-32 Architectures Optimization Reference Manual,
"4-KByte Memory Aliasing"; the same is seen on Zen). Scratch that begins a line or two after its
input cost a quarter of the time, and where memory begins is otherwise chance. The rows of a
whole block are half a page or a page long, so that input, work and values stay 570 bytes or more
apart. Output is where the caller has it.
"""

PAST_CACHES = 2**26
"""Bytes of output from which it is written past the caches, which could not hold it anyway.

A store into a cache reads the line first: of three bytes that are moved, one is for nothing.
"""


def _parts(context: Any, builder: Any, signature: Any, args: Any) -> list[Any]:
    """The structures of the arrays among the arguments."""
    return [
        context.make_array(kind)(context, builder, value)
        for kind, value in zip(signature.args, args, strict=True)
        if isinstance(kind, types.Array)
    ]


@intrinsic
def window(typing: Any, array: Any, start: Any, stop: Any) -> Any:
    """array[start:stop] of one contiguous dimension, 0 <= start <= stop <= size; None of None.

    A slice counts a reference to its memory, in an atomic instruction that threads wait for. A
    window counts none: whoever makes one holds the array for as long as the window is used. No
    function may return a window of memory that it allocated.
    """
    signature = array(array, types.intp, types.intp)
    if array == types.none:
        return signature, lambda context, *_: context.get_dummy_value()
    if not (isinstance(array, types.Array) and array.ndim == 1 and array.layout == "C"):
        return None

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        (whole,) = _parts(context, builder, signature, args)
        _, begin, end = args
        part = context.make_array(array)(context, builder)
        populate_array(
            part,
            data=builder.gep(whole.data, [begin], inbounds=True),
            shape=[builder.sub(end, begin)],
            strides=[whole.itemsize],
            itemsize=whole.itemsize,
            meminfo=None,
        )
        return part._getvalue()

    return signature, generate


@intrinsic
def rows_of(typing: Any, array: Any, columns: Any) -> Any:
    """The same items in two dimensions, so many in a row; for as long as `window` allows."""
    table = array.copy(ndim=2)

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        whole = context.make_array(array)(context, builder, args[0])
        row = builder.mul(args[1], whole.itemsize)
        part = context.make_array(table)(context, builder)
        populate_array(
            part,
            data=whole.data,
            shape=[builder.sdiv(whole.nitems, args[1]), args[1]],
            strides=[row, whole.itemsize],
            itemsize=whole.itemsize,
            meminfo=None,
        )
        return part._getvalue()

    return table(array, types.intp), generate


@intrinsic
def address(typing: Any, array: Any) -> Any:
    """Where in memory the array begins, in bytes."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        (whole,) = _parts(context, builder, signature, args)
        return builder.ptrtoint(whole.data, context.get_value_type(types.intp))

    return types.intp(array), generate


@intrinsic
def stack(typing: Any, size: Any, dtype: Any) -> Any:
    """Room for `size` items, a constant, on the stack of the function that calls this.

    Of a dtype, or of that of an array; None of None.

    An allocation inside a parallel region can fail without anybody being told: Numba drops what a
    worker thread raises, and the chunk is missing from the sum.
    """
    if not isinstance(size, types.IntegerLiteral):
        return None
    if dtype == types.none:
        return dtype(size, dtype), lambda context, *_: context.get_dummy_value()
    count, array = size.literal_value, types.Array(dtype.dtype, 1, "C")

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        item = context.get_data_type(array.dtype)
        itemsize = context.get_constant(types.intp, context.get_abi_sizeof(item))
        data = cgutils.alloca_once(builder, ir.ArrayType(item, count))
        data.align = LINE
        room = context.make_array(array)(context, builder)
        populate_array(
            room,
            data=builder.bitcast(data, item.as_pointer()),
            shape=[context.get_constant(types.intp, count)],
            strides=[itemsize],
            itemsize=itemsize,
            meminfo=None,
        )
        return room._getvalue()

    return array(size, dtype), generate


@exact
def place(room: Any, size: int, beside: Any, at: int) -> Any:
    """Return `size` items of a room, which begin `at` bytes after their input in a page.

    The room has a page more than that.
    """
    ahead = (address(beside) // LINE * LINE + at - address(room)) % PAGE // room.itemsize
    return window(room, ahead, ahead + size)


@exact
def before_line(array: Any) -> int:
    """How many items come before the first that begins a line."""
    return -address(array) % LINE // array.itemsize


@intrinsic
def stream(typing: Any, source: Any, target: Any) -> Any:
    """Copy whole lines to a target that begins one, past the caches."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        read, written = _parts(context, builder, signature, args)
        itemsize = source.dtype.bitwidth // 8
        line = ir.VectorType(context.get_data_type(source.dtype), LINE // itemsize).as_pointer()
        begin, end = (builder.bitcast(part.data, line) for part in (read, written))
        lines = builder.udiv(read.nitems, read.nitems.type(LINE // itemsize))
        hint = builder.module.add_metadata([ir.IntType(32)(1)])
        with cgutils.for_range(builder, lines) as loop:
            value = builder.load(builder.gep(begin, [loop.index]), align=itemsize)
            store = builder.store(value, builder.gep(end, [loop.index]), align=LINE)
            store.set_metadata("nontemporal", hint)
        return context.get_dummy_value()

    return types.none(source, target), generate


@intrinsic
def settle(typing: Any) -> Any:
    """Order what `stream` wrote before all later stores: who sees those sees it too."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        builder.fence("seq_cst")
        return context.get_dummy_value()

    return types.none(), generate
