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

from xent_numba.host_arrays import FLOATS, HOST, LABEL_DTYPES, take
from xent_numba.operations import REDUCTIONS, Call, Operation, new

_LABELS = frozenset(LABEL_DTYPES)
_WITH_LOGITS = "binary_cross_entropy_with_logits"


class Arrays(Protocol):
    """How arrays of one kind (host, device) are taken in and made."""

    @property
    def plain(self) -> type | None:
        """A type whose instances need not be taken in."""

    def adopt(self, name: str, value: Any) -> Any:
        """`value` as an array of this kind, in a dtype that is computed with or, for labels, read.

        It is not copied where it is one already.
        """

    def empty_like(self, first: Any) -> Any:
        """A new contiguous array in the shape and dtype of one that was taken in."""

    def check_out(self, name: str, out: Any, inputs: tuple[Any, ...]) -> Any:
        """`out` taken in; raise unless it is writable, of this kind, and shares no memory.

        `inputs` are the other arguments as they were passed.
        """

    def poison(self, out: Any) -> None:
        """Fill `out` with NaN, so that no one takes what an error left there for a result."""


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
    plain: Any = arrays.plain
    if not (type(first) is plain and first.dtype in FLOATS):
        first = _as_first(call, arrays)
    shape = first.shape
    if not (type(labels) is plain and labels.dtype in _LABELS and labels.shape == shape):
        labels = _as_labels(call, shape, arrays)
    if sample_weight is not None:
        sample_weight = arrays.adopt("sample_weight", sample_weight)
        check_shape("sample_weight", sample_weight, call, shape)
    if reduction not in REDUCTIONS or not first.size:
        check_reduction(call, shape)
    if reduction == "none" or operation.gradient or out is not None:
        out, grad_out = _outputs(call, first, arrays)
    return new(Call, (operation, first, labels, sample_weight, reduction, out, grad_out))


def is_ready(first: ndarray, labels: ndarray, most: int) -> bool:
    """Whether `prepare` would change nothing of these, 1 to `most` samples one after another."""
    return (
        first.ndim == 1 == labels.ndim
        and 0 < len(first) == len(labels) <= most
        and first.dtype in FLOATS
        and labels.dtype in _LABELS
        and first.flags.carray
        and labels.flags.carray
    )


def _outputs(call: Call, first: Any, arrays: Arrays) -> tuple[Any, Any]:
    """Check the outputs, or allocate those that every implementation fills."""
    operation, *inputs, reduction, out, grad_out = call
    if grad_out is not None:
        others = (*inputs, out)
        grad_out = _checked_out("grad_out", grad_out, first.shape, first.dtype, others, arrays)
    elif operation.gradient:
        grad_out = arrays.empty_like(first)
    if out is not None:
        shape = first.shape if reduction == "none" else ()
        out = _checked_out("out", out, shape, first.dtype, tuple(inputs), arrays)
    elif reduction == "none":
        out = arrays.empty_like(first)
    return out, grad_out


def check_values(
    operation: Operation,
    first: ndarray,
    labels: ndarray,
    sample_weight: ndarray | None,
    corner: tuple[int, ...] = (),
) -> None:
    """Raise `ValueError` naming the first value that is not accepted, if there is one.

    Arguments are looked at in the order of the signature, each in C order of its elements. They
    may be part of larger ones, in which they begin at `corner`.
    """
    with np.errstate(all="ignore"):
        if operation.first == "probabilities":
            low, high = operation.domain
            inside = (first >= low) & (first <= high)
            hint = "; binary_cross_entropy_with_logits takes scores"
            _raise_first(operation.first, first, ~inside, f"a value in [0, 1]{hint}", corner)
        if operation.labels is not None:
            bad = ~operation.labels.contains(labels)
            if np.any(bad):
                accepted = operation.labels.description + _way_out(operation, first, labels)
                _raise_first("labels", labels, bad, accepted, corner)
        if sample_weight is not None:
            allowed = np.isfinite(sample_weight) & (sample_weight >= 0)
            _raise_first("sample_weight", sample_weight, ~allowed, "a finite value >= 0", corner)


def raise_bad_value(
    operation: Operation, first: ndarray, labels: ndarray, sample_weight: ndarray | None
) -> NoReturn:
    """Raise `ValueError` naming the value that was met in the pass, and is not accepted."""
    check_values(operation, first, labels, sample_weight)
    raise ValueError(
        f"{operation.first}, labels or sample_weight held a value that is not accepted and is gone "
        "now; accepted are arrays that nothing else writes to during the call"
    )


def _way_out(operation: Operation, first: ndarray, labels: ndarray) -> str:
    """What the caller of an operation on these labels may have meant."""
    chosen = operation.labels
    if chosen is None or not first.size:
        return ""
    negative, positive = chosen.hard
    hard = ((first == negative) | (first == positive)).all()
    if hard and not ((labels == -1) | (labels == 0) | (labels == 1) | np.isnan(labels)).all():
        return f"; the order is {operation.first}, labels, which is not that of scikit-learn"
    if not chosen.soft and ((labels >= 0) & (labels <= 1)).all():
        return f"; {operation.name.replace('logistic_loss', _WITH_LOGITS)} takes 0 and 1"
    if chosen.soft and ((labels == -1) | (labels == 1)).all():
        return "; logistic_loss takes scores and -1 and +1"
    return ""


def raise_bad_weight_sum(total: float) -> NoReturn:
    """Raise for the mean over weights that sum to zero, or to more than a float can hold."""
    raise ValueError(f"sample_weight sums to {total:g}; accepted for a mean is a finite sum > 0")


def _raise_first(
    name: str, values: ndarray, bad: ndarray, accepted: str, corner: tuple[int, ...]
) -> None:
    if np.any(bad):
        index = np.unravel_index(int(np.argmax(bad)), values.shape)
        whole = np.add(index, corner).tolist() if corner else index
        place = f"[{', '.join(map(str, whole))}]" if index else ""
        raise ValueError(f"{name}{place} is {values[index]}; accepted is {accepted}")


def _as_first(call: Call, arrays: Arrays) -> Any:
    name = call.operation.first
    if arrays is not HOST:
        return arrays.adopt(name, call.first)
    first = take(name, call.first)
    if name == "probabilities" and first.dtype.kind in "biu":
        labels = take("labels", call.labels)
        if labels.dtype.kind == "f" and ((labels > 0) & (labels < 1)).any():
            raise ValueError(
                f"probabilities has dtype {first.dtype} and labels are fractions; the order is "
                "probabilities, labels, which is not that of scikit-learn, and accepted beside "
                "soft labels are probabilities of a floating dtype"
            )
    return arrays.adopt(name, first)


def _as_labels(call: Call, shape: tuple[int, ...], arrays: Arrays) -> Any:
    if call.operation.labels is None:
        return None
    array = arrays.adopt("labels", call.labels)
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


def _checked_out(
    name: str,
    out: Any,
    shape: tuple[int, ...],
    dtype: np.dtype,
    inputs: tuple[Any, ...],
    arrays: Arrays,
) -> Any:
    out = arrays.check_out(name, out, inputs)
    if out.shape != shape:
        raise ValueError(f"{name} has shape {out.shape}; accepted is {shape}")
    if out.dtype != dtype:
        raise ValueError(f"{name} has dtype {out.dtype}; accepted is {dtype}")
    return out
