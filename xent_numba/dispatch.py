"""Which implementation computes, on which kind of array; and what becomes of a call that fails."""

from __future__ import annotations

import functools
from typing import Any

from numpy import ndarray

from xent_numba import registry, validation
from xent_numba.operations import OPERATIONS, Call, Reduction

DEFAULTS = {"host": "numba_parallel", "device": "numba_cuda"}
"""The implementation that "auto" takes, by where an array lies."""


def small_sigmoid(scores: ndarray, out: Any, implementation: str) -> Any:
    """The sigmoid of few samples by a ufunc, which looks at an array faster than anything else.

    Returns
    -------
    ndarray, scalar or None
        None where the implementation offers no such way, or the arguments take a longer look.
    """
    short = _small_call(implementation)
    if short is None or scores.size > short.limit or scores.dtype not in validation.FLOATS:
        return None
    try:
        if out is None:
            return short.ufunc(scores)
        if validation.fits(out, scores):
            return short.ufunc(scores, out)
    except FloatingPointError:
        # NumPy was told to raise on underflow, of which the longer way says nothing.
        pass
    return None


@functools.cache
def _small_call(implementation: str) -> registry.SmallCall | None:
    name = DEFAULTS["host"] if implementation == "auto" else implementation
    return registry.get(name).small_sigmoid if name in registry.names() else None


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
    place = "host" if type(call.first) is ndarray else _place(call.first)
    if place == "dask":
        return _evaluate_chunks(call, implementation)
    if implementation == "auto":
        implementation = DEFAULTS[place]
    elif not isinstance(implementation, str):
        raise TypeError(
            f"implementation is {implementation!r}; accepted is a name, such as those of "
            "xent_numba.implementations()"
        )
    compute = registry.resolve(implementation, call.operation.name)
    arrays = validation.HOST if place == "host" else registry.get(implementation).arrays
    checked = validation.prepare(call, arrays)
    _, first, _, _, reduction, out, gradients = checked
    try:
        result = compute(checked)
    except BaseException:
        _poison(arrays, out, gradients)
        raise
    if reduction != "none":
        result = first.dtype.type(result)
        if out is not None:
            out[()] = result
            result = out
    elif not result.shape and call.out is None:
        result = result[()]
    return result if gradients is None else (result, gradients)


def _place(first: Any) -> str:
    """Where the elements of the first argument lie."""
    if hasattr(first, "__dask_graph__"):
        return "dask"
    return "device" if hasattr(first, "__cuda_array_interface__") else "host"


def _poison(arrays: validation.Arrays, *outputs: Any) -> None:
    for array in outputs:
        if array is not None:
            arrays.poison(array)


def _evaluate_chunks(call: Call, implementation: str) -> Any:
    from xent_numba import dask_arrays

    for name, array in (("out", call.out), ("grad_out", call.grad_out)):
        if array is not None:
            raise TypeError(
                f"{name} is a {type(array).__name__}; accepted with a dask array is None, since "
                "nothing is computed yet"
            )
    return dask_arrays.evaluate(
        functools.partial(_evaluate_chunk, call.operation.name, implementation), call
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
    call = Call(OPERATIONS[operation], first, labels, sample_weight, reduction)
    return evaluate(call, implementation)
