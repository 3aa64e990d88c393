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

from xent_numba.kernels.bits import exact, prefer_full_vectors

LANES = 64


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
    return value + error if np.isfinite(value) else value


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
    fold_to(1, lanes)
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


@exact
def four_rows(values: Any, start: int) -> tuple[Any, Any, Any, Any]:
    """Return four rows of lanes."""
    return (
        values[start : start + LANES],
        values[start + LANES : start + 2 * LANES],
        values[start + 2 * LANES : start + 3 * LANES],
        values[start + 3 * LANES : start + 4 * LANES],
    )


@exact
def _sum_float32(values: Any) -> tuple[float, float]:
    prefer_full_vectors()
    lanes = np.zeros(LANES)
    start = 0
    while start + 4 * LANES <= values.size:
        # Four rows at a time store each lane once, not four times.
        a, b, c, d = four_rows(values, start)
        for j in range(LANES):
            lanes[j] += (np.float64(a[j]) + np.float64(b[j])) + (
                np.float64(c[j]) + np.float64(d[j])
            )
        start += 4 * LANES
    while start < values.size:
        row = values[start : start + LANES]
        for j in range(row.size):
            lanes[j] += np.float64(row[j])
        start += LANES
    return fold(lanes), 0.0


@exact
def _sum_float64(values: Any) -> tuple[float, float]:
    prefer_full_vectors()
    lanes = np.zeros(LANES)
    errors = np.zeros(LANES)
    start = 0
    while start + 4 * LANES <= values.size:
        a, b, c, d = four_rows(values, start)
        for j in range(LANES):
            ab, lost_ab = two_sum(a[j], b[j])
            cd, lost_cd = two_sum(c[j], d[j])
            abcd, lost_abcd = two_sum(ab, cd)
            lanes[j], lost = two_sum(lanes[j], abcd)
            errors[j] += (lost_ab + lost_cd) + (lost_abcd + lost)
        start += 4 * LANES
    while start < values.size:
        row = values[start : start + LANES]
        for j in range(row.size):
            lanes[j], lost = two_sum(lanes[j], row[j])
            errors[j] += lost
        start += LANES
    return fold_sums(lanes, errors)


def sum_block(values: Any) -> tuple[float, float]:
    """Return the sum of a block as value + error."""
    raise NotImplementedError


@overload(sum_block)
def _choose_sum_block(values):  # type: ignore[no-untyped-def]
    if values.dtype == types.float32:
        return lambda values: _sum_float32(values)
    return lambda values: _sum_float64(values)
