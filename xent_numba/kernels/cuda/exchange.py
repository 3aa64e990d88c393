"""What DLPack says of tensors, found out by one call of compiled code.

An attribute of a tensor takes Python 0.1 to 0.5 microseconds, and the arrays of a loss have fifteen
that matter. A library with DLPack's table of functions (`__dlpack_c_exchange_api__`, DLPack 1.3:
https://github.com/dmlc/dlpack/pull/174) describes a tensor to C in a few nanoseconds. LLVM compiles
what asks it, in milliseconds; Numba would begin with half a second for its own target.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from typing import Any

from llvmlite import binding, ir
from numba.core import cgutils

_I32, _I64, _VOID = ir.IntType(32), ir.IntType(64), ir.VoidType()
_OBJECT = ir.IntType(8).as_pointer()
_TENSOR = ir.ArrayType(_I64, 6)
"""A DLTensor in words: address; device; dimensions and dtype; extents; strides; offset in bytes."""

_DESCRIBE = ir.FunctionType(_I32, [_OBJECT, _TENSOR.as_pointer()])
"""``dltensor_from_py_object_no_sync``; it returns 0, or raises an error of Python's."""

_TABLE_NAME, _MAJOR, _OF_DESCRIBE = b"dlpack_exchange_api", 1, 40
"""Of the table: what its capsule is called, the version that is read, where the function is."""

ARRAYS = 4
_MOST_DIMENSIONS = 6
_ROW = 2 + _MOST_DIMENSIONS
"""Words that are told of an array: device, dimensions and dtype, extents."""

_FAST_CALL = 0x80
"""Python's METH_FASTCALL: the function takes itself, its arguments, and how many there are."""

_pointer_in = ctypes.PYFUNCTYPE(ctypes.c_void_p, ctypes.py_object, ctypes.c_char_p)(
    ("PyCapsule_GetPointer", ctypes.pythonapi)
)
_new_function = ctypes.PYFUNCTYPE(ctypes.py_object, *[ctypes.c_void_p] * 3)(
    ("PyCFunction_NewEx", ctypes.pythonapi)
)


class _Definition(ctypes.Structure):
    """A PyMethodDef."""

    _fields_ = (
        ("name", ctypes.c_char_p),
        ("function", ctypes.c_void_p),
        ("flags", ctypes.c_int),
        ("doc", ctypes.c_char_p),
    )


_kept: list[Any] = []
"""Functions of Python's have no owner for the code and the definition that they need."""


def describer(kind: type) -> Callable[..., Any] | None:
    """Return ``f(*tensors)`` for tensors of a type; None if the type has no table that is known.

    It takes `ARRAYS` objects, tensors or None, and returns two things: device, dtype and shape of
    all, as bytes that are equal if these are, and a tuple of addresses, 0 for None. It returns None
    if a tensor has no address, gaps, or more than six dimensions.
    """
    describe = _function_in(getattr(kind, "__dlpack_c_exchange_api__", None))
    if not describe:
        return None
    binding.initialize_native_target()
    binding.initialize_native_asmprinter()
    machine = binding.Target.from_default_triple().create_target_machine()
    engine = binding.create_mcjit_compiler(binding.parse_assembly(str(_code(describe))), machine)
    engine.finalize_object()
    address = engine.get_function_address("described")
    definition = _Definition(b"described", address, _FAST_CALL, None)
    _kept.append((engine, definition))
    return _new_function(ctypes.addressof(definition), None, None)


def _function_in(table: Any) -> int:
    """Return the address of what describes tensors to C, 0 if there is none."""
    try:
        start = _pointer_in(table, _TABLE_NAME)
    except ValueError:  # not such a capsule
        return 0
    if ctypes.c_uint32.from_address(start).value != _MAJOR:
        return 0
    return ctypes.c_uint64.from_address(start + _OF_DESCRIBE).value


def _code(describe: int) -> ir.Module:
    """Return the function that `describer` promises, to compile.

    Each object but None is described. Elements have no gaps between them where the stride of each
    dimension of more than one of them is the product of the extents after it.
    """
    module = ir.Module()
    kind = ir.FunctionType(_OBJECT, [_OBJECT, _OBJECT.as_pointer(), _I64])
    builder = ir.IRBuilder(ir.Function(module, kind, "described").append_basic_block())
    _, given, _ = builder.function.args
    none = builder.inttoptr(_I64(id(None)), _OBJECT)
    described = builder.inttoptr(_I64(describe), _DESCRIBE.as_pointer())
    words = cgutils.alloca_once_value(builder, ir.ArrayType(_I64, ARRAYS * _ROW)(None))
    places = cgutils.alloca_once_value(builder, ir.ArrayType(_I64, ARRAYS)(None))
    tensor = cgutils.alloca_once(builder, _TENSOR)
    step = cgutils.alloca_once(builder, _I64)

    def python(name: str, result: ir.Type, *arguments: Any, more: tuple[Any, ...] = ()) -> Any:
        signature = ir.FunctionType(result, [one.type for one in arguments], var_arg=bool(more))
        function = cgutils.get_or_insert_function(module, signature, name)
        return builder.call(function, [*arguments, *more])

    def none_if(refused: Any) -> None:
        with cgutils.if_unlikely(builder, refused):
            python("PyErr_Clear", _VOID)
            python("Py_IncRef", _VOID, none)
            builder.ret(none)

    def element(array: Any, index: Any) -> Any:
        return builder.gep(array, [_I64(0), index])

    with cgutils.for_range(builder, _I64(ARRAYS)) as array:
        one = builder.load(builder.gep(given, [array.index]))
        with builder.if_then(builder.icmp_unsigned("!=", one, none)):
            none_if(cgutils.is_not_null(builder, builder.call(described, [one, tensor])))
            address, device, sort, extents, strides, offset = cgutils.unpack_tuple(
                builder, builder.load(tensor), _TENSOR.count
            )
            dimensions = builder.and_(sort, _I64(0xFFFFFFFF))
            none_if(builder.icmp_unsigned(">", dimensions, _I64(_MOST_DIMENSIONS)))
            row = builder.mul(array.index, _I64(_ROW))
            builder.store(device, element(words, row))
            builder.store(sort, element(words, builder.add(row, _I64(1))))
            builder.store(_I64(1), step)
            with cgutils.for_range(builder, dimensions) as inner:
                axis = builder.sub(builder.sub(dimensions, inner.index), _I64(1))
                extent, stride = (
                    builder.load(builder.gep(builder.inttoptr(numbers, _I64.as_pointer()), [axis]))
                    for numbers in (extents, strides)
                )
                is_gap = builder.icmp_signed("!=", stride, builder.load(step))
                none_if(builder.and_(is_gap, builder.icmp_signed("!=", extent, _I64(1))))
                builder.store(extent, element(words, builder.add(builder.add(row, _I64(2)), axis)))
                builder.store(builder.mul(extent, builder.load(step)), step)
            builder.store(builder.add(address, offset), element(places, array.index))
    size = _I64(8 * ARRAYS * _ROW)
    said = python("PyBytes_FromStringAndSize", _OBJECT, builder.bitcast(words, _OBJECT), size)
    form = cgutils.global_constant(module, "form", cgutils.make_bytearray(b"N(KKKK)\0"))
    found = [builder.load(element(places, _I64(i))) for i in range(ARRAYS)]
    result = python("Py_BuildValue", _OBJECT, builder.bitcast(form, _OBJECT), more=(said, *found))
    builder.ret(result)
    return module
