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
from xent_numba.kernels.cpu import blocks, log_of_product, losses, passes, threads
from xent_numba.kernels.cpu.caching import ufunc
from xent_numba.operations import Call
from xent_numba.registry import SmallCall, implements
from xent_numba.validation import raise_bad_value, raise_bad_weight_sum

_ULP = {"float32": 1, "float64": 1}
_ULP_GRADIENT = {"float32": 1.5, "float64": 1.5}
unavailable = threads.unavailable
_NOTHING = {np.dtype(t): np.empty(0, t) for t in (np.float32, np.float64)}

_sigmoid = blocks.map_kernels("sigmoid", passes.sigmoids)
_logistic = passes.logistic, log_of_product.by_dtype(*log_of_product.softplus_sums(-1))
_with_logits = passes.with_logits, log_of_product.by_dtype(*log_of_product.softplus_sums(0))
_KERNELS = {
    name: blocks.loss_kernels(name, block, section_sum)
    for name, (block, section_sum) in {
        "binary_cross_entropy": (
            passes.cross_entropy_of_probabilities,
            log_of_product.by_dtype(*log_of_product.cross_entropy_sums),
        ),
        "logistic_loss": _logistic,
        "binary_cross_entropy_with_logits": _with_logits,
        "logistic_loss_and_grad": _logistic,
        "binary_cross_entropy_with_logits_and_grad": _with_logits,
    }.items()
}


@functools.cache
def small_sigmoid() -> SmallCall:
    """The sigmoid as a ufunc, which takes less time to look at an array than a kernel does."""
    return SmallCall(ufunc("sigmoid_ufunc", losses.quiet_sigmoid.py_func), SMALL_CALL)


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
        # A kernel does not look at what NumPy was told about underflow; a ufunc does.
        with np.errstate(all="ignore"):
            if _is_plain(out):
                return small_sigmoid().ufunc(scores, out)
            # Numba's ufuncs step through the output as through memory without gaps.
            out[...] = small_sigmoid().ufunc(scores)
            return out
    serial, parallel = _sigmoid
    if _is_plain(scores) and _is_plain(out):
        threads.run(serial, parallel, scores.size, _flat(scores), _flat(out))
        return out
    for start in range(0, scores.size, blocks.BLOCK):
        piece = slice(start, start + blocks.BLOCK)
        values = scores.flat[piece]
        serial(values, values)
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
    if bare and _is_plain(first) and _is_plain(labels):
        # All of a small call is overhead, so the commonest has a kernel of three arguments.
        single, _, _, _ = _KERNELS[name]
        found, value = single(_flat(first), _flat(labels), mean)
    else:
        divisor = _divisor(first.size, weights) if mean and gradients is not None else 1.0
        arrays = (first, labels, weights, out, gradients)
        compute = (
            _compute if all(a is None or _is_plain(a) for a in arrays) else _compute_by_section
        )
        found, value = compute(name, *arrays, divisor, _mode(*arrays), mean)
    if found == blocks.BAD_VALUE:
        raise_bad_value(operation, first, labels, weights)
    if found == blocks.BAD_WEIGHT_SUM:
        raise_bad_weight_sum(value)
    return value if out is None else out


def _is_plain(array: ndarray) -> bool:
    """Whether the array is one aligned piece of memory in C order."""
    flags = array.flags
    # carray also asks for writable, which most arrays are, and is one look instead of two.
    return flags.carray or (flags.c_contiguous and flags.aligned)


def _flat(array: ndarray) -> ndarray:
    """A contiguous array in one dimension."""
    return array if array.ndim == 1 else array.reshape(-1)


def _pieces(array: ndarray) -> Iterator[ndarray]:
    """Contiguous pieces of the array, made of whole sections, in C order."""
    if _is_plain(array):
        yield _flat(array)
    else:
        for start in range(0, array.size, log_of_product.SECTION):
            yield array.flat[start : start + log_of_product.SECTION]


def _mode(
    first: ndarray,
    _labels: ndarray,
    weights: ndarray | None,
    out: ndarray | None,
    gradients: ndarray | None,
) -> int:
    """How the losses are reduced: one by one where each is needed, and where there are few."""
    if out is not None:
        return blocks.WRITE
    many = first.size > SMALL_CALL
    return blocks.MULTIPLY if many and weights is gradients is None else blocks.ADD


def _divisor(size: int, weights: ndarray | None) -> float:
    """What the gradient of a mean is divided by; it must be known before the pass."""
    if weights is None:
        return float(size)
    row = np.zeros((1, blocks.COLUMNS))
    for piece in _pieces(weights):
        blocks.weigh(piece, row[0])
    return blocks.finish_weights(row)


def _compute(
    name: str,
    first: ndarray,
    labels: ndarray,
    weights: ndarray | None,
    losses: ndarray | None,
    gradients: ndarray | None,
    divisor: float,
    mode: int,
    mean: bool,
) -> tuple[int, float]:
    """Compute on the memory as it is."""
    _, _, serial, parallel = _KERNELS[name]
    return threads.run(
        serial,
        parallel,
        first.size,
        _flat(first),
        _flat(labels),
        None if weights is None else _flat(weights),
        _NOTHING[first.dtype] if losses is None else _flat(losses),
        None if gradients is None else _flat(gradients),
        divisor,
        mode,
        mean,
    )


def _compute_by_section(
    name: str,
    first: ndarray,
    labels: ndarray,
    weights: ndarray | None,
    losses: ndarray | None,
    gradients: ndarray | None,
    divisor: float,
    mode: int,
    mean: bool,
) -> tuple[int, float]:
    """Gather, compute and scatter one section after the other."""
    _, chunk, _, _ = _KERNELS[name]
    step = blocks.chunk_size(first.size)
    partials = np.zeros((-(-first.size // step), blocks.COLUMNS))
    for start in range(0, first.size, log_of_product.SECTION):
        piece = slice(start, start + log_of_product.SECTION)
        values = first.flat[piece]
        loss_block = _NOTHING[first.dtype] if losses is None else np.empty_like(values)
        gradient_block = None if gradients is None else np.empty_like(values)
        chunk(
            values,
            labels.flat[piece],
            None if weights is None else weights.flat[piece],
            loss_block,
            gradient_block,
            divisor,
            mode,
            partials[start // step],
        )
        if losses is not None:
            losses.flat[piece] = loss_block
        if gradients is not None:
            gradients.flat[piece] = gradient_block
    return blocks.finish(partials, first.size, mean, weights is not None)
