"""Sums of one block that do not depend on who computes them, and do not lose what they round off.

Row after row of LANES samples is added to fixed lanes; the lanes are then added in a fixed tree.
float32 values are added as float64, which is exact for far more rows than a block has; float64
values by TwoSum (Knuth, TAOCP 2, 4.2.2), whose errors have lanes of their own.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import types
from numba.extending import overload

from xent_numba.kernels.cpu.bits import EXACT, exact, fma, prefer_full_vectors
from xent_numba.kernels.cpu.memory import window

BLOCK = 512
"""Samples computed together: up to six arrays of them lie in a first-level cache of 32 KiB."""

LANES = 64
FOUR_ROWS = 4 * LANES
STATE_SIZE = 4 * LANES
"""Room for the lanes of a sum, of weights and of their errors."""


@exact
def row_of(state: Any, row: int) -> Any:
    """Return one row of lanes."""
    return window(state, row * LANES, (row + 1) * LANES)


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
def fold_to(count: int, lanes: Any) -> None:
    """Add the lanes in place in a fixed tree, down to so many sums."""
    half = lanes.size // 2
    while half >= count:
        for j in range(half):
            lanes[j] += lanes[j + half]
        half //= 2


@exact
def fold(lanes: Any) -> float:
    """Return the sum of the lanes, added in place in a fixed tree."""
    fold_to(np.int64(1), lanes)
    return lanes[0]


@exact
def fold_sums(lanes: Any, errors: Any) -> tuple[float, float]:
    """Return the sum of the lanes and of their errors, added in place in a fixed tree."""
    half = lanes.size // 2
    while half:
        for j in range(half):
            lanes[j], lost = two_sum(lanes[j], lanes[j + half])
            errors[j] += errors[j + half] + lost
        half //= 2
    return lanes[0], errors[0]


def _sum_float32(values: Any, state: Any) -> tuple[float, float]:
    prefer_full_vectors()
    lanes = row_of(state, 0)
    lanes[:] = 0.0
    for start in range(0, values.size - FOUR_ROWS + 1, FOUR_ROWS):
        # Four rows at a time store each lane once, not four times.
        rows = window(values, start, start + FOUR_ROWS)
        for j in range(LANES):
            lanes[j] += (np.float64(rows[j]) + np.float64(rows[LANES + j])) + (
                np.float64(rows[2 * LANES + j]) + np.float64(rows[3 * LANES + j])
            )
    for start in range(values.size // FOUR_ROWS * FOUR_ROWS, values.size, LANES):
        row = window(values, start, min(start + LANES, values.size))
        for j in range(row.size):
            lanes[j] += np.float64(row[j])
    return fold(lanes), 0.0


def _sum_float64(values: Any, state: Any) -> tuple[float, float]:
    prefer_full_vectors()
    lanes, errors = row_of(state, 0), row_of(state, 1)
    lanes[:] = 0.0
    errors[:] = 0.0
    for start in range(0, values.size - FOUR_ROWS + 1, FOUR_ROWS):
        rows = window(values, start, start + FOUR_ROWS)
        for j in range(LANES):
            ab, lost_ab = two_sum(rows[j], rows[LANES + j])
            cd, lost_cd = two_sum(rows[2 * LANES + j], rows[3 * LANES + j])
            abcd, lost_abcd = two_sum(ab, cd)
            lanes[j], lost = two_sum(lanes[j], abcd)
            errors[j] += (lost_ab + lost_cd) + (lost_abcd + lost)
    for start in range(values.size // FOUR_ROWS * FOUR_ROWS, values.size, LANES):
        row = window(values, start, min(start + LANES, values.size))
        for j in range(row.size):
            lanes[j], lost = two_sum(lanes[j], row[j])
            errors[j] += lost
    return fold_sums(lanes, errors)


def sum_block(values: Any, state: Any) -> tuple[float, float]:
    """Return the sum of a block as value + error; the state is room for two rows of lanes."""
    raise NotImplementedError


@overload(sum_block, jit_options=EXACT)
def _choose_sum_block(values: Any, state: Any) -> Any:
    return _sum_float32 if values.dtype == types.float32 else _sum_float64


def _weighted_float32(values: Any, weights: Any, state: Any) -> tuple[float, float, float, float]:
    prefer_full_vectors()
    lanes, totals = row_of(state, 0), row_of(state, 1)
    lanes[:] = 0.0
    totals[:] = 0.0
    for start in range(0, values.size - FOUR_ROWS + 1, FOUR_ROWS):
        rows, factors = (
            window(values, start, start + FOUR_ROWS),
            window(weights, start, start + FOUR_ROWS),
        )
        for j in range(LANES):
            a, b = factors[j], factors[LANES + j]
            c, d = factors[2 * LANES + j], factors[3 * LANES + j]
            totals[j] += (a + b) + (c + d)
            lanes[j] += (a * np.float64(rows[j]) + b * np.float64(rows[LANES + j])) + (
                c * np.float64(rows[2 * LANES + j]) + d * np.float64(rows[3 * LANES + j])
            )
    for start in range(values.size // FOUR_ROWS * FOUR_ROWS, values.size, LANES):
        stop = min(start + LANES, values.size)
        row, factors = window(values, start, stop), window(weights, start, stop)
        for j in range(row.size):
            totals[j] += factors[j]
            lanes[j] += factors[j] * np.float64(row[j])
    return fold(lanes), 0.0, fold(totals), 0.0


def _weighted_float64(values: Any, weights: Any, state: Any) -> tuple[float, float, float, float]:
    prefer_full_vectors()
    lanes, errors = row_of(state, 0), row_of(state, 1)
    totals, total_errors = row_of(state, 2), row_of(state, 3)
    for row in (lanes, errors, totals, total_errors):
        row[:] = 0.0
    for start in range(0, values.size, LANES):
        stop = min(start + LANES, values.size)
        row, factors = window(values, start, stop), window(weights, start, stop)
        for j in range(row.size):
            totals[j], lost = two_sum(totals[j], factors[j])
            total_errors[j] += lost
            product = row[j] * factors[j]
            lanes[j], lost = two_sum(lanes[j], product)
            errors[j] += lost + fma(row[j], factors[j], -product)
    value, error = fold_sums(lanes, errors)
    weight, weight_error = fold_sums(totals, total_errors)
    return value, error, weight, weight_error


def weighted_sums(values: Any, weights: Any, state: Any) -> tuple[float, float, float, float]:
    """Return the sum of a block times its weights, and of the float64 weights.

    Each is a value and an error; the state is room for four rows of lanes. A product of float32
    values rounded to a float64 needs no error of its own.
    """
    raise NotImplementedError


@overload(weighted_sums, jit_options=EXACT)
def _choose_weighted_sums(values: Any, weights: Any, state: Any) -> Any:
    return _weighted_float32 if values.dtype == types.float32 else _weighted_float64
