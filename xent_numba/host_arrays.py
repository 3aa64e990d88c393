"""NumPy arrays, and what becomes one: no mask or unit is lost, no result lands on an argument."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from numbers import Number
from typing import Any

import numpy as np
from numpy import ndarray

LABEL_DTYPES = tuple(
    np.dtype(name) for name in ("bool", "int8", "uint8", "int32", "int64", "float32", "float64")
)
"""The label dtypes that are read as they are; others become the next wider one of these."""
FLOATS = frozenset((np.dtype(np.float32), np.dtype(np.float64)))
_LABELS = frozenset(LABEL_DTYPES)
_PLAIN_ELEMENTS = (int, float, str, np.generic, type(None))
_WRITABLE_TYPES = (ndarray, np.memmap)


class HostArrays:
    """How NumPy arrays are taken in and made; see `validation.Arrays`."""

    plain: type = ndarray

    @staticmethod
    def adopt(name: str, value: Any) -> ndarray:
        """See `validation.Arrays`."""
        array = take(name, value)
        if array.dtype in FLOATS:
            return array
        dtype = label_dtype(array.dtype) if name == "labels" else float_dtype(name, array.dtype)
        if array.dtype == dtype:
            return array
        with np.errstate(all="ignore"):
            return array.astype(dtype)

    @staticmethod
    def empty_like(first: ndarray) -> ndarray:
        """See `validation.Arrays`."""
        return np.empty(first.shape, first.dtype)

    @staticmethod
    def check_out(name: str, out: Any, inputs: tuple[Any, ...]) -> ndarray:
        """See `validation.Arrays`."""
        if type(out) not in _WRITABLE_TYPES:
            raise TypeError(
                f"{name} is a {type(out).__name__}; accepted is a numpy.ndarray"
                + (" itself, such as its .view(numpy.ndarray)" if isinstance(out, ndarray) else "")
            )
        # carray: one look tells that it is writable, and one piece.
        if not out.flags.carray:
            if not out.flags.writeable:
                raise ValueError(f"{name} is read-only; accepted is a writable array")
            if _overlaps_itself(out):
                raise ValueError(
                    f"{name} has elements that share memory with each other (strides "
                    f"{out.strides}); accepted is an array whose elements are distinct"
                )
        for other in inputs:
            # What was passed is looked at, as a converted copy shares nothing.
            if other is not None and _overlaps(out, memory := take("an argument", other)):
                raise ValueError(
                    f"{name} shares memory with another argument, of shape {memory.shape}; "
                    "accepted is memory of its own"
                )
        return out if type(out) is ndarray else out.view(ndarray)

    @staticmethod
    def poison(out: ndarray) -> None:
        """See `validation.Arrays`."""
        out.fill(np.nan)


HOST = HostArrays()


def take(name: str, value: Any) -> ndarray:
    """`value` as a NumPy array of any dtype; TypeError where that would drop a mask or a unit."""
    if type(value) is ndarray:
        return value
    if is_labelled(value):
        return take(name, value.data)
    refuse_meaning(name, value)
    try:
        array: Any = np.asanyarray(value)
    except Exception as error:  # noqa: BLE001 - libraries refuse in many ways
        kind = ValueError if isinstance(error, ValueError) else TypeError
        raise kind(
            f"{name} is no array ({_first_line(error)}); accepted is an array of "
            "real numbers on the host, without gradients"
        ) from None
    if type(array) is not ndarray:
        refuse_meaning(name, array, type(value).__name__)
        array = np.asarray(array)
    taken: ndarray = array
    return taken


def is_labelled(value: Any) -> bool:
    """Whether `value` is an xarray.DataArray; xarray is not imported to find out."""
    xarray = sys.modules.get("xarray")
    return xarray is not None and isinstance(value, xarray.DataArray)


def is_on_device(name: str, value: Any) -> bool:
    """Whether `value` offers memory of a GPU; TypeError where it offers it and then refuses."""
    # A tensor of PyTorch's says it at once; to ask for its interface takes longer than a kernel.
    # Some objects answer to every name, with no answer.
    if isinstance(said := getattr(value, "is_cuda", None), bool):
        return said
    try:
        return hasattr(value, "__cuda_array_interface__")
    except Exception as error:  # noqa: BLE001 - libraries refuse in many ways
        raise TypeError(
            f"{name} is a {type(value).__name__} that cannot be read ({_first_line(error)}); "
            "accepted is an array of real numbers, without gradients"
        ) from None


def float_dtype(name: str, dtype: np.dtype) -> np.dtype:
    """The dtype in which numbers of a dtype are computed; TypeError for what is no real number."""
    if dtype.kind not in "biuf":
        raise TypeError(
            f"{name} has dtype {dtype}; accepted are float32, float64, float16, which becomes "
            "float32, and other real numbers, which become float64"
        )
    native = dtype.newbyteorder("=")
    if native in FLOATS:
        return native
    return np.dtype(np.float32 if native == np.float16 else np.float64)


def label_dtype(dtype: np.dtype) -> np.dtype:
    """The dtype in which labels of a dtype are read; TypeError for what is no real number."""
    if dtype.kind not in "biuf":
        raise TypeError(
            f"labels has dtype {dtype}; accepted are bool, integers and floating-point numbers"
        )
    native = dtype.newbyteorder("=")
    if native in _LABELS:
        return native
    if native.kind == "f":
        return float_dtype("labels", native)
    # Of uint64 that is float64: what an integer cannot hold must not wrap into the label set.
    return np.promote_types(native, np.int32)


def fits(out: Any, scores: ndarray) -> bool:
    """Whether results for scores may go to out; False where that takes a longer look."""
    return (
        type(out) is ndarray
        and out.dtype is scores.dtype
        and out.shape == scores.shape
        and out.flags.carray
        and not _overlaps(out, scores)
    )


def refuse_meaning(name: str, value: Any, said: str = "") -> None:
    """Raise where NumPy's numbers would not be what `value` means: a mask, a unit, a device."""
    said = said or type(value).__name__
    if is_on_device(name, value):
        raise TypeError(
            f"{name} is a device array of type {said}; accepted is a host array, as the other "
            "arguments and the implementation have"
        )
    if isinstance(value, np.ma.MaskedArray):
        raise TypeError(
            f"{name} is a {said}, whose mask would be ignored; accepted is an array without a "
            "mask, such as its .compressed()"
        )
    if (unit := _unit(value)) is not None:
        raise TypeError(
            f"{name} is a {said} in units of {str(unit) or 'one'}, which would be ignored; "
            "accepted is an array of plain numbers"
        )
    if isinstance(value, ndarray) and _computes_otherwise(type(value)):
        raise TypeError(
            f"{name} is a {said}, whose arithmetic is its own and would be ignored; accepted is an "
            "array of plain numbers, such as its .view(numpy.ndarray)"
        )
    if isinstance(value, Sequence) and not isinstance(value, str | bytes):
        _refuse_elements(name, value)


def _refuse_elements(name: str, values: Sequence[Any]) -> None:
    kinds = {kind for kind in set(map(type, values)) if not issubclass(kind, _PLAIN_ELEMENTS)}
    for element in values if kinds else ():
        if type(element) in kinds:
            refuse_meaning(name, element)


def _unit(value: Any) -> Any:
    """The unit that an array carries; None for none, and for one that is a note and no object."""
    for attribute in ("unit", "units"):
        # Of the class: some objects answer to every name.
        unit = getattr(value, attribute, None) if hasattr(type(value), attribute) else None
        if hasattr(type(unit), "__mul__") and not isinstance(unit, str | Number | ndarray):
            return unit
    return None


def _computes_otherwise(kind: type) -> bool:
    """Whether a class of arrays redefines what NumPy's functions do with its elements."""
    return not issubclass(kind, np.memmap) and any(
        getattr(kind, hook) is not getattr(ndarray, hook)
        for hook in ("__array_ufunc__", "__array_function__", "__array_wrap__")
    )


def _overlaps(a: ndarray, b: ndarray) -> bool:
    if a is not b and a.flags.owndata and b.flags.owndata:
        return False
    try:
        # An exact answer may take exponential time; past this much work, assume the worst.
        # By name the limit costs more than the answer.
        return np.shares_memory(a, b, 100_000)  # type: ignore[arg-type]
    except np.exceptions.TooHardError:
        return True


def _overlaps_itself(array: ndarray) -> bool:
    """Whether two elements may be one: sorted by stride, a step must clear all smaller ones."""
    if array.flags.c_contiguous:
        return False
    reach = array.itemsize
    for stride, length in sorted(
        (abs(s), n) for s, n in zip(array.strides, array.shape, strict=True) if n > 1
    ):
        if stride < reach:
            return True
        reach += stride * (length - 1)
    return False


def _first_line(error: Exception) -> str:
    return str(error).strip().partition("\n")[0].rstrip(".")
