"""Numba on all CPU threads: one pass, within 1 ULP, the same bits for any number of threads.

The arithmetic is in ``xent_numba.kernels``. Here an array of any shape and strides becomes
contiguous pieces in C order, without a copy where it is contiguous already and block by block
where it is not, so that the same compiled code sees both.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy import ndarray

from xent_numba.kernels import SMALL_CALL
from xent_numba.kernels.cpu import (
    blocks,
    log_of_product,
    partials,
    passes,
    pieces,
    summation,
    teams,
    threads,
    ufunc,
)
from xent_numba.kernels.cpu import weights as weighing
from xent_numba.operations import Call, Operation
from xent_numba.registry import SmallCall, implements
from xent_numba.validation import raise_bad_value, raise_bad_weight_sum

_ULP = {"float32": 1, "float64": 1}
_ULP_GRADIENT = {"float32": 1.5, "float64": 1.5}
unavailable = threads.unavailable
_SMALLEST_NORMAL = 2.0**-126
_Arrays = tuple[ndarray, ndarray, ndarray | None, ndarray | None, ndarray | None]
_NOTHING = {np.dtype(t): np.empty(0, t) for t in (np.float32, np.float64)}
_NO_ROWS = _NOTHING[np.dtype(np.float64)]

sigmoid_kernel = blocks.map_kernel("sigmoid", passes.sigmoids)
_PASSES = {
    "binary_cross_entropy": (
        passes.cross_entropy_of_probabilities,
        log_of_product.cross_entropy_sum(),
    ),
    "logistic_loss": (passes.logistic, log_of_product.softplus_sum(-1)),
    "binary_cross_entropy_with_logits": (passes.with_logits, log_of_product.softplus_sum(0)),
}
KERNELS = {name: blocks.loss_kernels(name, *several) for name, several in _PASSES.items()}
KERNELS |= {
    f"{name}_and_grad": KERNELS[name]
    for name in ("logistic_loss", "binary_cross_entropy_with_logits")
}
"""By operation, what `loss_kernels` returns: with gradients or without, they are the same."""


@functools.cache
def small_call() -> SmallCall:
    """The sigmoid as a ufunc, which looks at an array faster than a kernel; losses by kernels."""
    sigmoids = ufunc.ByDtype("sigmoid_ufunc", passes.sigmoids)
    return SmallCall(sigmoids, {name: several[0] for name, several in KERNELS.items()}, SMALL_CALL)


@implements(
    "sigmoid",
    formulation="stable",
    max_ulp=_ULP,
    summary="1/(1 + e) or e/(1 + e) with e = exp(-|s|) to one and a half times the precision.",
)
def sigmoid(call: Call) -> ndarray:
    """Compute by a ufunc, in one pass, or block by block, as size and layout allow."""
    scores: ndarray = call.first
    out: ndarray = call.out
    if scores.size <= SMALL_CALL:
        return small_call().ufuncs[scores.dtype](scores, out)
    if (flat := _flattened(scores, out)) is not None:
        threads.run(sigmoid_kernel, scores.size, *flat)
        return out
    for start in range(0, scores.size, summation.BLOCK):
        piece = slice(start, start + summation.BLOCK)
        values = scores.flat[piece]
        sigmoid_kernel(values, values, teams.ALONE)
        out.flat[piece] = values
    return out


@implements(
    "binary_cross_entropy",
    formulation="stable",
    max_ulp=_ULP,
    summary="-log p or -log(1 - p), with 1 - p kept unrounded.",
)
@implements(
    "logistic_loss",
    formulation="stable",
    max_ulp=_ULP,
    summary="log(1 + e^-m), mirrored for negative margins.",
)
@implements(
    "binary_cross_entropy_with_logits",
    formulation="stable",
    max_ulp=_ULP,
    summary="The logistic loss of the margin (2y - 1)s; soft labels add their distance times it.",
)
@implements(
    "logistic_loss_and_grad",
    formulation="stable",
    max_ulp=_ULP,
    max_ulp_gradient=_ULP_GRADIENT,
    summary="Loss and -y g(-ys) from one exponential and one division.",
)
@implements(
    "binary_cross_entropy_with_logits_and_grad",
    formulation="stable",
    max_ulp=_ULP,
    max_ulp_gradient=_ULP_GRADIENT,
    summary="Loss and g(s) - y from one exponential and one division.",
)
def loss(call: Call) -> Any:
    """Compute losses, their sum or mean, and gradients, in one pass."""
    operation, first, labels, weights, reduction, out, gradients = call
    name, mean = operation.name, reduction == "mean"
    if reduction != "none":
        out = None
    bare = first.size <= SMALL_CALL and weights is out is gradients is None
    if bare and (flat := _flattened(first, labels)) is not None:
        # All of a small call is overhead, so the commonest has a kernel of three arguments.
        scaling = partials.UNSCALED, 1.0, 0.0
        found, value = KERNELS[name][0](*flat, mean)
    else:
        scaling = _scaling(first.size, weights, mean and gradients is not None)
        arrays = (first, labels, weights, out, gradients)
        found, value = _compute(name, arrays, scaling, mean)
    if found == partials.STRAINED or value == np.inf:
        found, value = _rescaled(name, (first, labels, weights), mean, scaling[0], (found, value))
    if found == partials.BAD_VALUE:
        raise_bad_value(operation, first, labels, weights)
    if found == partials.BAD_WEIGHT_SUM:
        raise_bad_weight_sum(value)
    return out if out is not None else _as_scalar(value, first.dtype)


def _rescaled(
    name: str,
    inputs: tuple[ndarray, ndarray, ndarray | None],
    mean: bool,
    scale: float,
    before: tuple[int, float],
) -> tuple[int, float]:
    """Sum again, by other scales, where the scale of the pass before was too small or too large.

    Gradients have been written by that pass, and need no other scale.
    """
    found, value = before
    infinite = found == partials.STRAINED and value == np.inf
    if found == partials.STRAINED:
        scale = _scale(inputs[2], mean, infinite)
        found, value = _compute(name, (*inputs, None, None), (scale, 1.0, 0.0), mean)
    if mean and value == np.inf and scale != partials.UNSCALED and not infinite:
        scale = _scale(inputs[2], mean, True)
        found, value = _compute(name, (*inputs, None, None), (scale, 1.0, 0.0), mean)
    return found, value


def loss_rows(
    operation: Operation, samples: pieces.Samples, scaling: tuple[float, float, float]
) -> ndarray:
    """Rows of partial results, one a section: (n, COLUMNS).

    The samples are the first argument, labels, weights or None, and gradients to be written, if
    any.
    """
    first, labels, weights, *outputs = samples
    gradients = outputs[0] if outputs else None
    rows = np.zeros((pieces.sections(first.size), partials.COLUMNS))
    _, whole = KERNELS[operation.name]
    given = first, labels, weights, _NOTHING[first.dtype], gradients, (scaling, False)
    whole(*given, rows.reshape(-1), teams.ALONE)
    if rows[:, partials.BAD].any():
        raise_bad_value(operation, first, labels, weights)
    return rows


def weight_rows(samples: pieces.Samples, scale: float) -> ndarray:
    """Rows of sums of weights, one a section: (n, COLUMNS)."""
    (weights,) = samples
    rows = np.zeros((pieces.sections(weights.size), partials.COLUMNS))
    weighing.weigh(weights, scale, rows)
    return rows


def _flattened(*arrays: ndarray | None) -> list[Any] | None:
    """The arrays in one dimension each, or None where one is not aligned memory in C order."""
    flat = []
    for array in arrays:
        if array is not None:
            flags = array.flags
            # carray also asks for writable, which most arrays are, and is one look instead of two.
            if not (flags.carray or (flags.c_contiguous and flags.aligned)):
                return None
            if array.ndim != 1:
                array = array.reshape(-1)
        flat.append(array)
    return flat


def _pieces(array: ndarray) -> Iterator[ndarray]:
    """Contiguous pieces of the array, made of whole sections, in C order."""
    if (flat := _flattened(array)) is not None:
        yield flat[0]
    else:
        for start in range(0, array.size, log_of_product.SECTION):
            yield array.flat[start : start + log_of_product.SECTION]


def _scaling(size: int, weights: ndarray | None, divide: bool) -> tuple[float, float, float]:
    """What weights are multiplied by, and gradients divided by, a value and an error.

    The divisor of the gradient of a mean must be known before the pass.
    """
    if not divide:
        return partials.UNSCALED, 1.0, 0.0
    if weights is None:
        return partials.UNSCALED, float(size), 0.0
    scale = partials.UNSCALED
    total, error = _weight_sum(weights, scale)
    if not partials.TINY < total < partials.HUGE:
        scale = _scale(weights, True, False)
        total, error = _weight_sum(weights, scale)
    return scale, total, error


def _weight_sum(weights: ndarray, scale: float) -> tuple[float, float]:
    rows = np.concatenate([weight_rows((piece,), scale) for piece in _pieces(weights)])
    return partials.finish_weights(pieces.by_chunk(weights.size, rows))


def _scale(weights: ndarray | None, mean: bool, infinite: bool) -> float:
    """A power of two for a second pass; see `scale_exponent`."""
    largest = 1.0 if weights is None else max(map(weighing.largest, _pieces(weights)))
    return weighing.power_of_two(weighing.scale_exponent(largest, mean, infinite))


def _as_scalar(value: float, dtype: np.dtype) -> Any:
    """A value that the dtype has, as such where the caller's state may flush what is subnormal."""
    if 0 < value < _SMALLEST_NORMAL and dtype == np.float32:
        return np.int32(value * 2.0**149).view(np.float32)
    return value


def _compute(
    name: str,
    arrays: _Arrays,
    scaling: tuple[float, float, float],
    mean: bool,
) -> tuple[int, float]:
    """Compute on the memory as it is, or section after section where it has gaps."""
    if (flat := _flattened(*arrays)) is None:
        return _compute_by_section(name, arrays, scaling, mean)
    first, labels, weights, losses, gradients = flat
    if losses is None:
        losses = _NOTHING[first.dtype]
    given = first, labels, weights, losses, gradients, (scaling, mean), _NO_ROWS
    return threads.run(KERNELS[name][1], first.size, *given)


def _compute_by_section(
    name: str,
    arrays: _Arrays,
    scaling: tuple[float, float, float],
    mean: bool,
) -> tuple[int, float]:
    """Gather, compute and scatter one section after the other."""
    first, labels, weights, losses, gradients = arrays
    _, whole = KERNELS[name]
    reducing = scaling, False
    step = blocks.chunk_size(first.size)
    table = np.zeros((-(-first.size // step), partials.COLUMNS))
    for start in range(0, first.size, log_of_product.SECTION):
        piece = slice(start, start + log_of_product.SECTION)
        values = first.flat[piece]
        loss_block = _NOTHING[first.dtype] if losses is None else np.empty_like(values)
        gradient_block = None if gradients is None else np.empty_like(values)
        whole(
            values,
            labels.flat[piece],
            None if weights is None else weights.flat[piece],
            loss_block,
            gradient_block,
            reducing,
            table[start // step],
            teams.ALONE,
        )
        if losses is not None:
            losses.flat[piece] = loss_block
        if gradients is not None:
            gradients.flat[piece] = gradient_block
    single = first.dtype == np.float32
    return partials.finish(table, first.size, single, mean, weights is not None, scaling[0])
