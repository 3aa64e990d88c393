"""Which implementation computes, on which kind of array; and what becomes of a call that fails."""

from __future__ import annotations

import functools
from typing import Any

import numpy as np
from numpy import ndarray

from xent_numba import registry, validation
from xent_numba.operations import OPERATIONS, Operation, Reduction

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


def evaluate(
    operation: Operation,
    first: Any,
    labels: Any,
    sample_weight: Any,
    reduction: Reduction,
    out: Any,
    grad_out: Any,
    implementation: str,
) -> Any:
    """Check the arguments, compute, and leave NaN in the outputs if that fails."""
    on_device = False
    if type(first) is not np.ndarray:
        if hasattr(first, "__dask_graph__"):
            return _evaluate_chunks(
                operation, first, labels, sample_weight, reduction, out, grad_out, implementation
            )
        on_device = hasattr(first, "__cuda_array_interface__")
    if implementation == "auto":
        implementation = DEFAULTS["device" if on_device else "host"]
    elif not isinstance(implementation, str):
        raise TypeError(
            f"implementation is {implementation!r}; accepted is a name, such as those of "
            "xent_numba.implementations()"
        )
    compute = registry.resolve(implementation, operation.name)
    arrays = registry.get(implementation).arrays if on_device else validation.HOST
    first, labels, sample_weight, target, gradient = validation.prepare(
        operation, first, labels, sample_weight, reduction, out, grad_out, arrays
    )
    try:
        # Spelled out, since unpacking a dict would cost as much as the kernel on one sample.
        per_sample = target if reduction == "none" else None
        if operation.labels is None:
            result = compute(first, out=target)
        elif operation.gradient:
            result = compute(
                first,
                labels,
                sample_weight=sample_weight,
                reduction=reduction,
                out=per_sample,
                grad_out=gradient,
            )
        else:
            result = compute(
                first, labels, sample_weight=sample_weight, reduction=reduction, out=per_sample
            )
    except BaseException:
        for array in (target, gradient):
            if array is not None:
                arrays.poison(array)
        raise
    if reduction != "none":
        result = first.dtype.type(result)
        if out is not None:
            out[()] = result
            result = out
    else:
        result = target if out is not None or target.shape else target[()]
    return (result, gradient) if operation.gradient else result


def _evaluate_chunks(
    operation: Operation,
    first: Any,
    labels: Any,
    sample_weight: Any,
    reduction: Reduction,
    out: Any,
    grad_out: Any,
    implementation: str,
) -> Any:
    from xent_numba import dask_arrays

    for name, array in (("out", out), ("grad_out", grad_out)):
        if array is not None:
            raise TypeError(
                f"{name} is a {type(array).__name__}; accepted with a dask array is None, since "
                "nothing is computed yet"
            )
    compute = functools.partial(_evaluate_chunk, operation.name)
    return dask_arrays.evaluate(
        compute, operation, first, labels, sample_weight, reduction, implementation
    )


def _evaluate_chunk(
    operation: str,
    first: Any,
    labels: Any = None,
    *,
    sample_weight: Any = None,
    reduction: Reduction = "none",
    implementation: str,
) -> Any:
    return evaluate(
        OPERATIONS[operation],
        first,
        labels,
        sample_weight,
        reduction,
        None,
        None,
        implementation,
    )
