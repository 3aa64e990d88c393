"""Weights: checked, carried in float64 whatever their dtype, and scaled by a power of two.

A product of a loss and a weight is rounded once, when it is no longer added to others. The largest
and the smallest weights of float64, and those a float32 cannot hold, make a float64 product lose
digits or overflow; times a power of two, which costs no digit, they do not.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from xent_numba.kernels.cpu.bits import exact, fma, prefer_full_vectors
from xent_numba.kernels.cpu.caching import kernel
from xent_numba.kernels.cpu.float_state import apart, enter, leave
from xent_numba.kernels.cpu.log_of_product import SECTION
from xent_numba.kernels.cpu.memory import stack, window
from xent_numba.kernels.cpu.partials import BAD, WEIGHT_SUM
from xent_numba.kernels.cpu.summation import BLOCK, STATE_SIZE, add_to, allowed_weight, sum_block


@exact
def multiply(values: Any, weights: Any, scale: float) -> bool:
    """Multiply a block by its weights times a power of two, rounded to float64 and to its dtype.

    Return whether a weight is NaN, infinite or negative.
    """
    prefer_full_vectors()
    bad = False
    for i in range(values.size):
        weight = np.float64(weights[i])
        bad |= not allowed_weight(weight)
        values[i] = values.dtype.type(np.float64(values[i]) * (weight * scale))
    return bad


@exact
def scale_gradients(
    gradients: Any, weights: Any, scale: float, divisor: float, divisor_error: float
) -> None:
    """Multiply a block by its weights, if any, times scale over divisor + divisor_error.

    The quotient of weight and divisor is an unevaluated sum, so that only the gradient is rounded.
    """
    prefer_full_vectors()
    inverse = 1.0 / divisor
    inverse_low = inverse * (fma(-inverse, divisor, 1.0) - inverse * divisor_error)
    for i in range(gradients.size):
        if weights is None:
            factor, low = inverse, inverse_low
        else:
            weight = np.float64(weights[i]) * scale
            factor = weight * inverse
            low = fma(weight, inverse, -factor) + weight * inverse_low
        gradient = np.float64(gradients[i])
        gradients[i] = gradients.dtype.type(fma(gradient, factor, gradient * low))


@exact
def scale_weights(weights: Any, scale: float, scaled: Any) -> bool:
    """Fill a block with weights of any dtype times a power of two.

    Return whether one is NaN, infinite or negative.
    """
    prefer_full_vectors()
    bad = False
    for i in range(scaled.size):
        weight = np.float64(weights[i])
        bad |= not allowed_weight(weight)
        scaled[i] = weight * scale
    return bad


@exact
def _weigh(weights: Any, scale: float, rows: Any) -> None:
    apart()
    scaled = stack(BLOCK, np.float64)
    state = stack(STATE_SIZE, np.float64)
    for start in range(0, weights.size, BLOCK):
        stop = min(start + BLOCK, weights.size)
        block = window(scaled, 0, stop - start)
        row = rows[start // SECTION]
        row[BAD] += scale_weights(window(weights, start, stop), scale, block)
        value, error = sum_block(block, state)
        add_to(row, WEIGHT_SUM, value, error)


@kernel("weigh", nogil=True)
def weigh(weights: Any, scale: float, rows: Any) -> None:
    """Check weights and add them, times a power of two, to a row a section: (n, COLUMNS)."""
    caller = enter()
    _weigh(weights, scale, rows)
    leave(caller)


def scale_exponent(largest: float, mean: bool, infinite: bool) -> int:
    """Of the power of two that brings the largest weight to about 1; not 0, which was tried.

    A sum that is no mean is not divided by the large weights: they stay, or the small ones vanish.
    Of an infinite sum, to less: where no loss is infinite, they are near the largest float.
    """
    _, exponent = math.frexp(largest if mean else min(largest, 0.5))
    return max(min(-exponent - 64 * infinite, 1020), -1074) or 1


def power_of_two(exponent: int) -> float:
    """Two to the power of -1074 or more."""
    if exponent >= -1022:
        return math.ldexp(1.0, exponent)
    # Written bit by bit: the caller's state may flush what is subnormal.
    return float(np.int64(1 << (exponent + 1074)).view(np.float64))


@exact
def _largest(weights: Any) -> float:
    apart()
    largest = 0.0
    for i in range(weights.size):
        weight = np.float64(weights[i])
        largest = weight if weight > largest else largest
    return largest


@kernel("largest", nogil=True)
def largest(weights: Any) -> float:
    """Return the largest weight."""
    caller = enter()
    found = _largest(weights)
    leave(caller)
    return found
