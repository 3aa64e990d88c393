"""Which implementation computes, on which kind of array; and what becomes of a call that fails."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy import ndarray

from xent_numba import registry
from xent_numba.host_arrays import HOST, fits, is_labelled, is_on_device
from xent_numba.operations import OPERATIONS, Call, Operation, Reduction, new
from xent_numba.validation import Arrays, is_ready, prepare

DEFAULTS = {"host": "numba_parallel", "device": "numba_cuda"}
"""The implementation that "auto" takes, by where an array lies."""

_LOW, _HIGH = 1e-37, 1e37
"""Between them a float64 becomes a float32 alike in any floating-point state, and silently."""


def small_sigmoid(scores: ndarray, out: Any, implementation: str) -> Any:
    """The sigmoid of few samples by a ufunc, which looks at an array faster than anything else.

    Returns
    -------
    ndarray, scalar or None
        None where the implementation offers no such way, or the arguments take a longer look.
    """
    short = _small_call(implementation) if isinstance(implementation, str) else None
    if short is None or scores.size > short.limit or (ufunc := short.ufuncs[scores.dtype]) is None:
        return None
    if out is None:
        return ufunc(scores)
    return ufunc(scores, out) if fits(out, scores) else None


@functools.cache
def _small_call(implementation: str) -> registry.SmallCall | None:
    name = DEFAULTS["host"] if implementation == "auto" else implementation
    if name not in registry.names() or registry.get(name).unavailable():
        return None
    return registry.get(name).small_call


def loss(
    operation: Operation,
    first: Any,
    labels: Any,
    sample_weight: Any,
    reduction: Any,
    out: Any,
    implementation: Any,
) -> Any:
    """Compute a loss; of few samples by what looks at no more than it must.

    Parameters
    ----------
    operation : Operation
        One without a gradient.
    first, labels, sample_weight, reduction, out, implementation
        As the caller passed them.

    Returns
    -------
    scalar or array
        What the public function of the operation returns.
    """
    if (
        type(first) is ndarray
        and type(labels) is ndarray
        and sample_weight is None
        and out is None
        and reduction in ("mean", "sum")
        and isinstance(implementation, str)
    ):
        short = _small_call(implementation)
        if short is not None and is_ready(first, labels, short.limit):
            found, value = short.losses[operation.name](first, labels, reduction == "mean")
            if found == 0 and _LOW < value < _HIGH:
                return first.dtype.type(value)
    call = new(Call, (operation, first, labels, sample_weight, reduction, out, None))
    return evaluate(call, implementation)


@functools.cache
def short_way(implementation: str, kind: type) -> Callable[[Call], Any] | None:
    """Return what an implementation has for repeated calls with arrays of a type, if anything."""
    name = DEFAULTS["device"] if implementation == "auto" else implementation
    return registry.get(name).short_way(kind) if name in registry.names() else None


def evaluate(call: Call, implementation: str) -> Any:
    """Check the arguments, compute, and leave NaN in the outputs if that fails.

    Parameters
    ----------
    call : Call
        The arguments as the caller passed them.
    implementation : str
        Name of an implementation, or "auto".

    Returns
    -------
    scalar, array or tuple
        What the public function of the operation returns.
    """
    if not isinstance(implementation, str):
        raise TypeError(
            f"implementation is {implementation!r}; accepted is a name, such as those of "
            "xent_numba.implementations()"
        )
    place = "host"
    kind: Any = type(call.first)
    if kind is not ndarray:
        short = short_way(implementation, kind)
        if short is not None and (found := short(call)) is not None:
            return found
        place = _place(call)
        if place in _CONTAINERS:
            return _CONTAINERS[place](call, implementation)
    if implementation == "auto":
        implementation = DEFAULTS[place]
    compute = registry.resolve(implementation, call.operation.name)
    arrays = HOST if place == "host" else registry.get(implementation).arrays
    return _computed(compute, call, arrays)


def _computed(compute: Callable[[Call], Any], call: Call, arrays: Arrays) -> Any:
    """Prepare and compute; outputs hold NaN if that fails after they were accepted."""
    checked = prepare(call, arrays)
    try:
        result = compute(checked)
        # What was stored where it is asked for is not looked at: the device may not be done.
        if checked.reduction != "none" and result is not checked.out:
            result = _rounded(result, checked.first.dtype)
    except BaseException:
        for array in (checked.out, checked.grad_out):
            if array is not None:
                arrays.poison(array)
        raise
    return _given_back(call, checked, result)


def _rounded(value: Any, dtype: np.dtype) -> Any:
    """A sum or mean in the dtype of the scores; NumPy is not told of an overflow that is inf."""
    if _LOW < value < _HIGH:
        return dtype.type(value)
    with np.errstate(all="ignore"):
        return dtype.type(value)


def _given_back(call: Call, checked: Call, result: Any) -> Any:
    """What the caller gets: the arrays that were passed for it, else a scalar or new arrays."""
    if (out := call.out) is not None:
        if checked.reduction != "none" and result is not checked.out:
            out[()] = result
        result = out
    elif not result.shape:
        result = result[()]
    if not call.operation.gradient:
        return result
    return result, checked.grad_out if call.grad_out is None else call.grad_out


def _place(call: Call) -> str:
    """Where the elements of the first argument lie, or which container of arrays it is."""
    name, first = call.operation.first, call.first
    if is_labelled(first):
        return "labelled"
    if hasattr(type(first), "__dask_graph__"):
        return "dask"
    return "device" if is_on_device(name, first) else "host"


def _evaluate_chunks(call: Call, implementation: str) -> Any:
    from xent_numba import dask_arrays

    return dask_arrays.evaluate(
        functools.partial(_evaluate_chunk, call.operation.name, implementation),
        call,
        DEFAULTS["host"] if implementation == "auto" else implementation,
    )


def _evaluate_chunk(
    operation: str,
    implementation: str,
    first: Any,
    labels: Any = None,
    *,
    sample_weight: Any = None,
    reduction: Reduction = "none",
) -> Any:
    from xent_numba.kernels.cpu import threads

    call = Call(OPERATIONS[operation], first, labels, sample_weight, reduction)
    with threads.alone():
        return evaluate(call, implementation)


def _evaluate_labelled(call: Call, implementation: str) -> Any:
    from xent_numba import labelled_arrays

    return labelled_arrays.evaluate(
        functools.partial(evaluate, implementation=implementation), call
    )


_CONTAINERS = {"dask": _evaluate_chunks, "labelled": _evaluate_labelled}
