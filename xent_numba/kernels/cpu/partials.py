"""The table of partial results, one row for each chunk, and what becomes of it.

Chunks are added in order, by TwoSum, on the thread that called.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from xent_numba.kernels.cpu.bits import exact
from xent_numba.kernels.cpu.caching import kernel
from xent_numba.kernels.cpu.float_state import apart, enter, leave
from xent_numba.kernels.cpu.summation import add_to, quotient_of_sums, rounded_sum, two_sum

SUM, ERROR, WEIGHT_SUM, WEIGHT_ERROR, BAD, COLUMNS = range(6)
"""Columns of the table of partial results, one row for each chunk."""


@exact
def merge(partial: Any, row: Any) -> None:
    """Add one row, of a section or of several, to another."""
    add_to(partial, WEIGHT_SUM, row[WEIGHT_SUM], row[WEIGHT_ERROR])
    add_to(partial, SUM, row[SUM], row[ERROR])
    partial[BAD] += row[BAD]


@exact
def _merge_rows(rows: Any, places: Any, table: Any) -> None:
    apart()
    for i in range(places.size):
        merge(table[places[i]], rows[i])


@kernel("merge_rows", nogil=True)
def merge_rows(rows: Any, places: Any, table: Any) -> None:
    """Add rows, (n, COLUMNS), in order to those of a table that `places`, n of int64, names."""
    caller = enter()
    _merge_rows(rows, places, table)
    leave(caller)


@exact
def totals(partials: Any) -> tuple[float, float, float, float]:
    """Return the sums over all chunks of the two unevaluated sums."""
    value = error = weight = weight_error = 0.0
    for c in range(partials.shape[0]):
        value, lost = two_sum(value, partials[c, SUM])
        error += partials[c, ERROR] + lost
        weight, lost = two_sum(weight, partials[c, WEIGHT_SUM])
        weight_error += partials[c, WEIGHT_ERROR] + lost
    return value, error, weight, weight_error


OK, BAD_VALUE, BAD_WEIGHT_SUM, STRAINED = range(4)
"""What a pass found out about its input, or that it has to be made again with another scale."""

UNSCALED = 1.0
"""The scale of a first pass over losses and weights: none."""

TINY, HUGE = float.fromhex("0x1p-900"), float.fromhex("0x1p900")
"""Sums of weights, or of weighted losses, beyond which a float64 may have lost some of a term."""


@exact
def _any_bad(partials: Any) -> bool:
    bad = False
    for c in range(partials.shape[0]):
        bad |= partials[c, BAD] != 0
    return bad


@exact
def _strained(value: float, divisor: float, mean: bool, weighted: bool) -> bool:
    """Whether unscaled sums may have lost some of a term, or overflowed where a mean does not."""
    too_small = weighted and (value < TINY or divisor < TINY)
    return too_small or (mean and (value == np.inf or divisor == np.inf))


@exact
def _finish(
    partials: Any, size: int, single: bool, mean: bool, weighted: bool, scale: float
) -> tuple[int, float]:
    apart()
    if _any_bad(partials):
        return BAD_VALUE, np.nan
    value, error, divisor, divisor_error = totals(partials)
    if mean and weighted and divisor == 0:
        return BAD_WEIGHT_SUM, divisor
    if scale == UNSCALED:
        if _strained(value, divisor, mean, weighted):
            return STRAINED, value
        if not weighted:
            divisor, divisor_error = float(size), 0.0
    if mean:
        result = quotient_of_sums(value, error, divisor, divisor_error)
    else:
        result = rounded_sum(value, error) / scale
    return OK, np.float64(np.float32(result)) if single else result


def _finish_in_own_state(
    partials: Any, size: int, single: bool, mean: bool, weighted: bool, scale: float
) -> tuple[int, float]:
    """Return what a pass found, and the sum, or the mean over the size or over the weights.

    Rounded to float32 where `single`, which the caller's state may do otherwise.
    """
    caller = enter()
    found = _finish(partials, size, single, mean, weighted, scale)
    leave(caller)
    return found


finished = exact(_finish_in_own_state)
finish = kernel("finish")(_finish_in_own_state)


@exact
def _finish_weights(partials: Any) -> tuple[float, float]:
    apart()
    _, _, weight, error = totals(partials)
    return two_sum(weight, error) if weight < np.inf else (weight, 0.0)


@kernel("finish_weights")
def finish_weights(partials: Any) -> tuple[float, float]:
    """Return the sum of the weights as a value and an error."""
    caller = enter()
    found = _finish_weights(partials)
    leave(caller)
    return found
