"""The floating-point state that kernels compute in: IEEE 754's default, whatever the caller's.

A library built with ``-Ofast``, or ``torch.set_flush_denormal``, makes the processor take
subnormal numbers for zero, on some threads or all; interval arithmetic rounds upwards. The kernels
are right in the default state only: to nearest, with subnormal numbers, no exception trapped.

What computes between `enter` and `leave` has to be a function of its own that is never inlined:
to LLVM an addition does not depend on the state, and could be moved to either side of both. On a
processor that is neither x86-64 nor AArch64 the state is left as it is.
"""

from __future__ import annotations

import platform
from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

_I32, _I64 = ir.IntType(32), ir.IntType(64)
_BYTES, _VOID = ir.IntType(8).as_pointer(), ir.VoidType()
_MXCSR_DEFAULT = 0x1F80  # every exception masked, none raised
_MACHINE = platform.machine().lower()
_IS_X86, _IS_ARM = _MACHINE in ("x86_64", "amd64"), _MACHINE in ("aarch64", "arm64")


def _call(builder: Any, name: str, returned: Any, *args: Any) -> Any:
    """Call what LLVM provides to read or write a register of the processor."""
    signature = ir.FunctionType(returned, [value.type for value in args])
    function = cgutils.get_or_insert_function(builder.module, signature, name)
    return builder.call(function, args)


def read(builder: Any) -> Any:
    """Generate code for the state as 64 bits, the exceptions that were raised included."""
    if _IS_X86:
        place = cgutils.alloca_once(builder, _I32)
        _call(builder, "llvm.x86.sse.stmxcsr", _VOID, builder.bitcast(place, _BYTES))
        return builder.zext(builder.load(place), _I64)
    if _IS_ARM:
        raised = builder.shl(_call(builder, "llvm.aarch64.get.fpsr", _I64), _I64(32))
        return builder.or_(raised, _call(builder, "llvm.aarch64.get.fpcr", _I64))
    return _I64(0)


def write(builder: Any, state: Any) -> None:
    """Generate code that makes what `read` gave the state."""
    if _IS_X86:
        place = cgutils.alloca_once(builder, _I32)
        builder.store(builder.trunc(state, _I32), place)
        _call(builder, "llvm.x86.sse.ldmxcsr", _VOID, builder.bitcast(place, _BYTES))
    elif _IS_ARM:
        low = builder.and_(state, _I64(0xFFFFFFFF))
        _call(builder, "llvm.aarch64.set.fpcr", _VOID, low)
        _call(builder, "llvm.aarch64.set.fpsr", _VOID, builder.lshr(state, _I64(32)))


@intrinsic
def enter(typing: Any) -> Any:
    """Set the default state; return the caller's, for `leave`."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        state = read(builder)
        write(builder, _I64(_MXCSR_DEFAULT if _IS_X86 else 0))
        return state

    return types.int64(), generate


@intrinsic
def leave(typing: Any, state: Any) -> Any:
    """Set the state that `enter` returned, so that nothing was raised in between."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        write(builder, args[0])
        return context.get_dummy_value()

    return types.none(types.int64), generate


@intrinsic
def apart(typing: Any) -> Any:
    """Keep the function that is being compiled from being inlined: see above."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        builder.function.attributes.add("noinline")
        return context.get_dummy_value()

    return types.none(), generate
