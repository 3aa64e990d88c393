"""Sums of one block that do not depend on who computes them, and do not lose what they round off.

Line after line of samples is added to fixed lanes; the lanes are then added in a fixed tree.
float32 values are added as float64, which is exact for far more lines than a block has; float64
values by TwoSum (Knuth, TAOCP 2, 4.2.2), whose errors have lanes of their own.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import types
from numba.extending import overload

from xent_numba.kernels.cpu.bits import EXACT, exact, fma, inlined
from xent_numba.kernels.cpu.lanes import LINE, any_of, filled, halves, load_float64, store

BLOCK = 512
"""Samples computed together: up to six arrays of them lie in a first-level cache of 32 KiB."""

LANES = 8
"""Sums kept beside each other, a line of float64."""

STATE_SIZE = 2 * LANES
"""Room for the lanes of a sum and of their errors."""


@exact
def two_sum(a: float, b: float) -> tuple[float, float]:
    """Return s = a + b rounded, and a + b - s exactly; NaN for an infinite s."""
    s = a + b
    bb = s - a
    return s, (a - (s - bb)) + (b - bb)


@exact
def add_to(partial: Any, column: int, value: float, error: float) -> None:
    """Add value + error to the unevaluated sum in two columns."""
    partial[column], lost = two_sum(partial[column], value)
    partial[column + 1] += error + lost


@exact
def rounded_sum(value: float, error: float) -> float:
    """Return value + error, or the value alone where it is infinite or NaN."""
    return value + error if abs(value) < np.inf else value


@exact
def quotient_of_sums(value: float, error: float, divisor: float, divisor_error: float) -> float:
    """Return (value + error) / (divisor + divisor_error), corrected by its residual."""
    q = rounded_sum(value, error) / divisor
    if not abs(q) < np.inf:
        return q
    residual = fma(-q, divisor, value) + (error - q * divisor_error)
    return q + residual / divisor


@exact
def fold(lanes: Any, state: Any) -> float:
    """Return the sum of LANES lanes, added in a fixed tree."""
    store(state, 0, lanes)
    half = LANES // 2
    while half:
        for j in range(half):
            state[j] += state[j + half]
        half //= 2
    return state[0]


@exact
def fold_sums(lanes: Any, errors: Any, state: Any) -> tuple[float, float]:
    """Return the sum of LANES lanes and of their errors, added in a fixed tree."""
    store(state, 0, lanes)
    store(state, LANES, errors)
    half = LANES // 2
    while half:
        for j in range(half):
            state[j], lost = two_sum(state[j], state[j + half])
            state[LANES + j] += state[LANES + j + half] + lost
        half //= 2
    return state[0], state[LANES]


def _sum_float32(values: Any, state: Any) -> tuple[float, float]:
    total = filled(0.0, values)
    for i in range(0, values.size, LINE // values.itemsize):
        total += load_float64(values, i, values.size, total)
    a, b = halves(total)
    return fold(a + b, state), 0.0


def _sum_float64(values: Any, state: Any) -> tuple[float, float]:
    total, errors = filled(0.0, values), filled(0.0, values)
    for i in range(0, values.size, LINE // values.itemsize):
        total, lost = two_sum(total, load_float64(values, i, values.size, total))
        errors += lost
    return fold_sums(total, errors, state)


def sum_block(values: Any, state: Any) -> tuple[float, float]:
    """Return the sum of a block as value + error; the state is room for two rows of lanes."""
    raise NotImplementedError


@overload(sum_block, jit_options=EXACT)
def _choose_sum_block(values: Any, state: Any) -> Any:
    return _sum_float32 if values.dtype == types.float32 else _sum_float64


WeightedSums = tuple[bool, float, float, float, float]


@inlined
def allowed_weight(weight: Any) -> Any:
    """Whether float64 weights are finite and not negative."""
    return (weight >= 0.0) & (weight < np.inf)


def _weighted_float32(values: Any, weights: Any, scale: float, state: Any) -> WeightedSums:
    total, weight_total = filled(0.0, values), filled(0.0, values)
    bad = filled(False, values)
    for i in range(0, values.size, LINE // values.itemsize):
        weight = load_float64(weights, i, values.size, total)
        bad |= ~allowed_weight(weight)
        weight *= scale
        weight_total += weight
        total = fma(weight, load_float64(values, i, values.size, total), total)
    a, b = halves(weight_total)
    c, d = halves(total)
    return any_of(bad), fold(c + d, state), 0.0, fold(a + b, state), 0.0


def _weighted_float64(values: Any, weights: Any, scale: float, state: Any) -> WeightedSums:
    total, errors = filled(0.0, values), filled(0.0, values)
    weight_total, weight_errors = filled(0.0, values), filled(0.0, values)
    bad = filled(False, values)
    for i in range(0, values.size, LINE // values.itemsize):
        weight = load_float64(weights, i, values.size, total)
        bad |= ~allowed_weight(weight)
        weight *= scale
        weight_total, lost = two_sum(weight_total, weight)
        weight_errors += lost
        value = load_float64(values, i, values.size, total)
        product = value * weight
        total, lost = two_sum(total, product)
        errors += lost + fma(value, weight, -product)
    value, error = fold_sums(total, errors, state)
    weight, weight_error = fold_sums(weight_total, weight_errors, state)
    return any_of(bad), value, error, weight, weight_error


def weighted_sums(values: Any, weights: Any, scale: float, state: Any) -> WeightedSums:
    """Return whether a weight is bad, the sum of a block times its weights, and theirs.

    The weights, of either dtype, are multiplied by the scale, a power of two. Each sum is a value
    and an error; the state is room for two rows of lanes. A product of float32 values rounded to
    a float64 needs no error of its own.
    """
    raise NotImplementedError


@overload(weighted_sums, jit_options=EXACT)
def _choose_weighted_sums(values: Any, weights: Any, scale: float, state: Any) -> Any:
    return _weighted_float32 if values.dtype == types.float32 else _weighted_float64
