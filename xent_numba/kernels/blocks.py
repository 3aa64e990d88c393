"""Loops over blocks of samples, and sums that do not depend on who computes them.

An array is cut into chunks, a chunk into blocks, and a block into rows of ``LANES`` samples;
all of it depends on the array's size alone.  The values of a block lie in a small array that
stays in the first-level cache: an elementwise loop fills it, another adds it up, each of a
form that vectorises without changing the order of a single addition.

* Within a block, row after row is added to fixed lanes; the lanes are then added in a fixed
  tree.  float32 values are added as float64, which is exact for far more rows than a block
  has; float64 values by TwoSum (Knuth, TAOCP 2, 4.2.2), whose errors have lanes of their own.
* Blocks are added to their chunk in order, chunks to the total in order, by TwoSum (the
  cascaded summation Sum2 of Ogita, Rump and Oishi, SIAM J. Sci. Comput. 26, 2005).

The total is as accurate as if computed in twice the working precision, for any order of
magnitude of the sum that memory can hold.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numba import prange, types
from numba.extending import overload

from xent_numba.kernels.bits import exact, fma, prefer_full_vectors
from xent_numba.kernels.caching import kernel

BLOCK = 1024
LANES = 64
MAX_CHUNKS = 256

SUM, ERROR, WEIGHT_SUM, WEIGHT_ERROR, BAD, COLUMNS = range(6)
"""Columns of the table of partial results, one row for each chunk."""


@exact
def chunk_size(size: int) -> int:
    """Samples in a chunk, whole blocks, for an array of this size."""
    blocks = -(-size // BLOCK)
    return BLOCK * max(1, -(-blocks // MAX_CHUNKS))


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
    width = LANES // 2
    while width:
        for j in range(width):
            lanes[j] += lanes[j + width]
        width //= 2
    return lanes[0], 0.0


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
    width = LANES // 2
    while width:
        for j in range(width):
            lanes[j], lost = two_sum(lanes[j], lanes[j + width])
            errors[j] += errors[j + width] + lost
        width //= 2
    return lanes[0], errors[0]


def sum_block(values: Any) -> tuple[float, float]:
    """Return the sum of a block as value + error."""
    raise NotImplementedError


@overload(sum_block)
def _choose_sum_block(values):  # type: ignore[no-untyped-def]
    if values.dtype == types.float32:
        return lambda values: _sum_float32(values)
    return lambda values: _sum_float64(values)


@exact
def multiply(values: Any, weights: Any) -> None:
    """Multiply a block by its weights, the product rounded once."""
    prefer_full_vectors()
    for i in range(values.size):
        values[i] = values.dtype.type(values[i] * weights[i])


@exact
def divide(values: Any, divisor: float) -> None:
    """Divide a block by a float64, the quotient rounded once."""
    prefer_full_vectors()
    for i in range(values.size):
        values[i] = values.dtype.type(values[i] / divisor)


@exact
def any_bad_weight(weights: Any) -> bool:
    """Whether a weight is NaN, infinite or negative."""
    prefer_full_vectors()
    bad = False
    for i in range(weights.size):
        bad |= not (weights[i] >= 0 and weights[i] < np.inf)
    return bad


@kernel("weigh", nogil=True)
def weigh(weights: Any, partial: Any) -> None:
    """Check weights, a chunk or a part of it made of whole blocks, and add them to one row."""
    for start in range(0, weights.size, BLOCK):
        block = weights[start : start + BLOCK]
        partial[BAD] += any_bad_weight(block)
        value, error = sum_block(block)
        add_to(partial, WEIGHT_SUM, value, error)


@exact
def total(partials: Any, column: int) -> tuple[float, float]:
    """Return the sum over all chunks of the unevaluated sum in two columns."""
    result = np.zeros(2)
    for chunk in range(partials.shape[0]):
        add_to(result, 0, partials[chunk, column], partials[chunk, column + 1])
    return result[0], result[1]


@exact
def quotient_of_sums(value: float, error: float, divisor: float, divisor_error: float) -> float:
    """Return (value + error) / (divisor + divisor_error), corrected by its residual."""
    q = rounded_sum(value, error) / divisor
    if not np.isfinite(q):
        return q
    residual = fma(-q, divisor, value) + (error - q * divisor_error)
    return q + residual / divisor


OK, BAD_VALUE, BAD_WEIGHT_SUM = range(3)
"""What a pass found out about its input."""


@kernel("finish")
def finish(partials: Any, size: int, mean: bool, weighted: bool) -> tuple[int, float]:
    """Return what a pass found, and the sum, or the mean over the size or over the weights."""
    if partials[:, BAD].any():
        return BAD_VALUE, np.nan
    value, error = total(partials, SUM)
    if not mean:
        return OK, rounded_sum(value, error)
    divisor, divisor_error = total(partials, WEIGHT_SUM) if weighted else (float(size), 0.0)
    if not 0 < divisor < np.inf:
        return BAD_WEIGHT_SUM, divisor
    return OK, quotient_of_sums(value, error, divisor, divisor_error)


@kernel("finish_weights")
def finish_weights(partials: Any) -> float:
    """Return the sum of the weights."""
    value, error = total(partials, WEIGHT_SUM)
    return rounded_sum(value, error)


def loss_kernels(name: str, block: Callable[..., bool]) -> tuple[Any, Any, Any, Any]:
    """Return the loops over chunks for the losses, and gradients, that ``block`` computes.

    Parameters
    ----------
    name : str
        Under which the compiled code is kept.
    block : callable
        ``block(first, labels, losses, gradients, work)`` fills losses and gradients, for at
        most BLOCK samples, and returns whether a value was not allowed. ``gradients`` may be None.

    Returns
    -------
    single, chunk, serial, parallel : callable
        ``single(first, labels, mean)`` is for one block at most, without weights: it returns what
        was found and the reduced loss.
        ``chunk(first, labels, weights, losses, gradients, divisor, reduced, partial)`` goes
        through one chunk, or a part of it made of whole blocks, and adds to one row of the
        table. The other two take a mean flag in place of the row, go through all chunks, on
        one thread or on all, and return what they found and the reduced loss.
        Arrays are contiguous and one-dimensional; weights may be None; losses are written
        unless they are reduced.
    """

    @kernel(f"{name}_single", nogil=True)
    def single(first: Any, labels: Any, mean: bool) -> tuple[int, float]:
        values = np.empty(first.size, first.dtype)
        if block(first, labels, values, None, np.empty((2, first.size), first.dtype)):
            return BAD_VALUE, np.nan
        value, error = sum_block(values)
        if not mean:
            return OK, rounded_sum(value, error)
        return OK, quotient_of_sums(value, error, float(first.size), 0.0)

    @kernel(f"{name}_chunk", nogil=True)
    def chunk(
        first: Any,
        labels: Any,
        weights: Any,
        losses: Any,
        gradients: Any,
        divisor: float,
        reduced: bool,
        partial: Any,
    ) -> None:
        width = min(BLOCK, first.size)
        scratch = np.empty(width, first.dtype)
        work = np.empty((2, width), first.dtype)
        for start in range(0, first.size, BLOCK):
            stop = min(start + BLOCK, first.size)
            values = scratch[: stop - start] if reduced else losses[start:stop]
            slopes = None if gradients is None else gradients[start:stop]
            partial[BAD] += block(first[start:stop], labels[start:stop], values, slopes, work)
            if weights is not None:
                multiply(values, weights[start:stop])
                if slopes is not None:
                    multiply(slopes, weights[start:stop])
            if slopes is not None and divisor != 1:
                divide(slopes, divisor)
            if reduced:
                value, error = sum_block(values)
                add_to(partial, SUM, value, error)
        if weights is not None:
            weigh(weights, partial)

    def loop(
        first: Any,
        labels: Any,
        weights: Any,
        losses: Any,
        gradients: Any,
        divisor: float,
        reduced: bool,
        mean: bool,
    ) -> tuple[int, float]:
        step = chunk_size(first.size)
        partials = np.zeros((-(-first.size // step), COLUMNS))
        for c in prange(partials.shape[0]):
            start = c * step
            stop = min(start + step, first.size)
            chunk(
                first[start:stop],
                labels[start:stop],
                None if weights is None else weights[start:stop],
                losses if reduced else losses[start:stop],
                None if gradients is None else gradients[start:stop],
                divisor,
                reduced,
                partials[c],
            )
        return finish(partials, first.size, mean, weights is not None)

    return (
        single,
        chunk,
        kernel(f"{name}_serial", nogil=True)(loop),
        kernel(f"{name}_parallel", parallel=True)(loop),
    )


def map_kernels(name: str, block: Callable[..., None]) -> tuple[Any, Any]:
    """Return the loops, on one thread and on all, for ``block(values, out, work)``."""

    def loop(values: Any, out: Any) -> None:
        step = chunk_size(values.size)
        for c in prange(-(-values.size // step)):
            work = np.empty((2, min(BLOCK, values.size)), values.dtype)
            end = min((c + 1) * step, values.size)
            for start in range(c * step, end, BLOCK):
                stop = min(start + BLOCK, end)
                block(values[start:stop], out[start:stop], work)

    return (
        kernel(f"{name}_serial", nogil=True)(loop),
        kernel(f"{name}_parallel", parallel=True)(loop),
    )
