"""The only checks of shapes, dtypes, reductions and values.

What can be said of an array without reading its elements is checked before an implementation is
called. Whether every label and probability is allowed is found out by the implementation, in the
pass it makes anyway; when it meets a bad value it calls :func:`raise_bad_value`, which looks for
the first one and names it.
"""

from __future__ import annotations

from typing import Any, NoReturn, Protocol

import numpy as np
from numpy import ndarray

from xent_numba.operations import REDUCTIONS, Call, Operation

LABEL_DTYPES = tuple(
    np.dtype(name) for name in ("bool", "int8", "uint8", "int32", "int64", "float32", "float64")
)
_LABEL_DTYPES = frozenset(LABEL_DTYPES)
FLOATS = frozenset((np.dtype(np.float32), np.dtype(np.float64)))
_new = tuple.__new__


class Arrays(Protocol):
    """How arrays of one kind (host, device) are taken in and made."""

    @property
    def plain(self) -> type | None:
        """A type whose instances need not be taken in."""

    def adopt(self, name: str, value: Any) -> Any:
        """`value` as an array of this kind, without a copy where it is one already."""

    def empty_like(self, first: Any) -> Any:
        """A new contiguous array in the shape and dtype of one that was taken in."""

    def check_out(self, name: str, out: Any, inputs: tuple[Any, ...]) -> Any:
        """`out` taken in; raise unless it is writable, of this kind, and shares no memory."""

    def poison(self, out: Any) -> None:
        """Fill `out` with NaN, so that no one takes what an error left there for a result."""


class HostArrays:
    """NumPy arrays."""

    plain: type = ndarray

    @staticmethod
    def adopt(name: str, value: Any) -> ndarray:
        """See `Arrays`."""
        if hasattr(value, "__cuda_array_interface__"):
            raise TypeError(
                f"{name} is a device array of type {type(value).__name__}; accepted is a host "
                "array, as the other arguments and the implementation have"
            )
        if isinstance(value, np.ma.MaskedArray):
            raise TypeError(
                f"{name} is a MaskedArray, whose mask would be ignored; accepted is an array "
                "without a mask, such as its .compressed()"
            )
        try:
            array = np.asarray(value)
        except ValueError as error:
            raise ValueError(
                f"{name} is no array ({error}); accepted is an array of real numbers"
            ) from None
        return array if array.dtype.isnative else array.astype(array.dtype.newbyteorder("="))

    @staticmethod
    def empty_like(first: ndarray) -> ndarray:
        """See `Arrays`."""
        return np.empty(first.shape, first.dtype)

    @staticmethod
    def check_out(name: str, out: Any, inputs: tuple[ndarray | None, ...]) -> ndarray:
        """See `Arrays`."""
        if not isinstance(out, ndarray):
            raise TypeError(f"{name} is a {type(out).__name__}; accepted is a numpy.ndarray")
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
            if other is not None and _overlaps(out, other):
                raise ValueError(
                    f"{name} shares memory with another argument, of shape {other.shape}; accepted "
                    "is memory of its own"
                )
        return out

    @staticmethod
    def poison(out: ndarray) -> None:
        """See `Arrays`."""
        out.fill(np.nan)


HOST = HostArrays()


def prepare(call: Call, arrays: Arrays = HOST) -> Call:
    """Check and convert arguments without reading an element.

    Returns
    -------
    Call
        With arrays of one shape. `out` is allocated for the reduction "none", `grad_out` where the
        operation has a gradient.

    Raises
    ------
    TypeError
        For a dtype or kind of array that is not accepted.
    ValueError
        For a shape, a reduction or an `out` that is not accepted, or a mean over no samples.
    """
    operation, first, labels, sample_weight, reduction, out, grad_out = call
    # On one sample the checks outweigh the kernel: a plain array is let through at the door.
    plain: Any = arrays.plain
    if not (type(first) is plain and first.dtype in FLOATS):
        first = _as_float(operation.first, first, arrays)
    shape = first.shape
    if not (type(labels) is plain and labels.dtype in _LABEL_DTYPES and labels.shape == shape):
        labels = _as_labels(call, shape, arrays)
    if sample_weight is not None:
        sample_weight = _as_float("sample_weight", sample_weight, arrays)
        check_shape("sample_weight", sample_weight, call, shape)
    if reduction not in REDUCTIONS or not first.size:
        check_reduction(call, shape)
    if reduction == "none" or out is not None or operation.gradient:
        out, grad_out = _outputs(call, (first, labels, sample_weight), arrays)
    # Half the time of Call(...), which is Python.
    return _new(Call, (operation, first, labels, sample_weight, reduction, out, grad_out))


def _outputs(call: Call, inputs: tuple[Any, Any, Any], arrays: Arrays) -> tuple[Any, Any]:
    """Check the outputs, or allocate those that every implementation fills."""
    first, out, grad_out = inputs[0], call.out, call.grad_out
    if out is not None:
        shape = first.shape if call.reduction == "none" else ()
        _check_out("out", out, shape, first.dtype, inputs, arrays)
    if grad_out is not None:
        _check_out("grad_out", grad_out, first.shape, first.dtype, (*inputs, out), arrays)
    if out is None and call.reduction == "none":
        out = arrays.empty_like(first)
    if grad_out is None and call.operation.gradient:
        grad_out = arrays.empty_like(first)
    return out, grad_out


def raise_bad_value(
    operation: Operation, first: ndarray, labels: ndarray | None, sample_weight: ndarray | None
) -> None:
    """Raise `ValueError` naming the first value that is not accepted, if there is one.

    Arguments are looked at in the order of the signature, each in C order of its elements.
    """
    if operation.first == "probabilities":
        low, high = operation.domain
        _raise_first(
            operation.first, first, ~((first >= low) & (first <= high)), "a value in [0, 1]"
        )
    if operation.labels and labels is not None:
        _raise_first(
            "labels", labels, ~operation.labels.contains(labels), operation.labels.description
        )
    if sample_weight is not None:
        allowed = np.isfinite(sample_weight) & (sample_weight >= 0)
        _raise_first("sample_weight", sample_weight, ~allowed, "a finite value >= 0")


def raise_bad_weight_sum(total: float) -> NoReturn:
    """Raise for the mean over weights that sum to zero, or to more than a float can hold."""
    raise ValueError(f"sample_weight sums to {total:g}; accepted for a mean is a finite sum > 0")


def _raise_first(name: str, values: ndarray, bad: ndarray, accepted: str) -> None:
    if np.any(bad):
        index = np.unravel_index(int(np.argmax(bad)), values.shape)
        place = f"[{', '.join(map(str, index))}]" if index else ""
        raise ValueError(f"{name}{place} is {values[index]}; accepted is {accepted}")


def _as_float(name: str, value: Any, arrays: Arrays) -> Any:
    array = arrays.adopt(name, value)
    dtype = float_dtype(name, array.dtype)
    return array if array.dtype == dtype else array.astype(dtype)


def float_dtype(name: str, dtype: np.dtype) -> np.dtype:
    """The dtype in which numbers of a dtype are computed; TypeError for what is no real number."""
    if (native := dtype.newbyteorder("=")) in FLOATS:
        return native
    if dtype.kind not in "biuf":
        raise TypeError(
            f"{name} has dtype {dtype}; accepted are float32, float64, and other real numbers, "
            "which become float64"
        )
    return np.dtype(np.float64)


def _as_labels(call: Call, shape: tuple[int, ...], arrays: Arrays) -> Any:
    if call.operation.labels is None:
        return None
    array = arrays.adopt("labels", call.labels)
    if array.dtype not in _LABEL_DTYPES:
        raise TypeError(
            f"labels has dtype {array.dtype}; accepted are {', '.join(map(str, LABEL_DTYPES))}"
        )
    check_shape("labels", array, call, shape)
    return array


def check_shape(name: str, array: Any, call: Call, shape: tuple[int, ...]) -> None:
    """Raise for an argument whose shape is not that of the first."""
    if array.shape != shape:
        raise ValueError(
            f"{name} has shape {array.shape}; accepted is the shape of {call.operation.first}, "
            f"{shape}"
        )


def check_reduction(call: Call, shape: tuple[int, ...]) -> None:
    """Raise for a reduction there is none of, and for the mean over no samples."""
    if call.reduction not in REDUCTIONS:
        raise ValueError(f"reduction is {call.reduction!r}; accepted are {', '.join(REDUCTIONS)}")
    if call.reduction == "mean" and 0 in shape:
        raise ValueError(
            f"reduction is 'mean' and {call.operation.first} has shape {shape}, no samples; "
            "accepted is at least one sample, or the reduction 'sum' or 'none'"
        )


def _check_out(
    name: str,
    out: Any,
    shape: tuple[int, ...],
    dtype: np.dtype,
    inputs: tuple[Any, ...],
    arrays: Arrays,
) -> None:
    out = arrays.check_out(name, out, inputs)
    if out.shape != shape:
        raise ValueError(f"{name} has shape {out.shape}; accepted is {shape}")
    if out.dtype != dtype:
        raise ValueError(f"{name} has dtype {out.dtype}; accepted is {dtype}")


def fits(out: Any, scores: ndarray) -> bool:
    """Whether results for scores may go to out; False where that takes a longer look."""
    return (
        type(out) is ndarray
        and out.dtype is scores.dtype
        and out.shape == scores.shape
        and out.flags.carray
        and not _overlaps(out, scores)
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
