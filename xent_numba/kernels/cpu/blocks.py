"""Loops over blocks of samples, and sums that do not depend on who computes them.

An array is cut into chunks and a chunk into blocks; both depend on the array's size alone.  What
is kept of a block lies in a small array that stays in the first-level cache: an elementwise loop
fills it, another adds it up, each of a form that vectorises without changing the order of a
single addition.

Blocks are added to their chunk in order, chunks to the total in order, by TwoSum (the cascaded
summation Sum2 of Ogita, Rump and Oishi, SIAM J. Sci. Comput. 26, 2005). The total is as accurate
as if computed in twice the working precision, for any order of magnitude of the sum that memory
can hold.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numba import prange
from numba.core.cpu_options import ParallelOptions

from xent_numba.kernels.cpu.bits import exact, fma, prefer_full_vectors
from xent_numba.kernels.cpu.caching import kernel
from xent_numba.kernels.cpu.log_of_product import SECTION, STATE, SectionSum
from xent_numba.kernels.cpu.memory import (
    PAST_CACHES,
    VALUES_AT,
    WORK_AT,
    before_line,
    scratch,
    settle,
    stream,
    window,
)
from xent_numba.kernels.cpu.summation import LANES, add_to, rounded_sum, sum_block, two_sum

BLOCK = 512
"""Samples computed together: up to six arrays of them lie in a first-level cache of 32 KiB."""
MAX_CHUNKS = 256

_LOOPS_ALONE = ParallelOptions({"numpy": False})
"""Of an np.zeros numba would make a parallel region of its own.

Not a dict, which numba empties when it compiles for the first types.
"""

SUM, ERROR, WEIGHT_SUM, WEIGHT_ERROR, BAD, COLUMNS = range(6)
"""Columns of the table of partial results, one row for each chunk."""


@exact
def chunk_size(size: int) -> int:
    """Samples in a chunk, whole sections, for an array of this size."""
    sections = -(-size // SECTION)
    return SECTION * max(1, -(-sections // MAX_CHUNKS))


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
    state = np.empty(2 * LANES)
    for start in range(0, weights.size, BLOCK):
        block = window(weights, start, min(start + BLOCK, weights.size))
        partial[BAD] += any_bad_weight(block)
        value, error = sum_block(block, state)
        add_to(partial, WEIGHT_SUM, value, error)


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


@exact
def quotient_of_sums(value: float, error: float, divisor: float, divisor_error: float) -> float:
    """Return (value + error) / (divisor + divisor_error), corrected by its residual."""
    q = rounded_sum(value, error) / divisor
    if not abs(q) < np.inf:
        return q
    residual = fma(-q, divisor, value) + (error - q * divisor_error)
    return q + residual / divisor


OK, BAD_VALUE, BAD_WEIGHT_SUM = range(3)
"""What a pass found out about its input."""

WRITE, ADD, MULTIPLY = range(3)
"""What becomes of the losses: written, added up, or summed by products without being computed."""


@kernel("finish")
def finish(partials: Any, size: int, mean: bool, weighted: bool) -> tuple[int, float]:
    """Return what a pass found, and the sum, or the mean over the size or over the weights."""
    for c in range(partials.shape[0]):
        if partials[c, BAD]:
            return BAD_VALUE, np.nan
    value, error, divisor, divisor_error = totals(partials)
    if not mean:
        return OK, rounded_sum(value, error)
    if not weighted:
        divisor, divisor_error = float(size), 0.0
    if not 0 < divisor < np.inf:
        return BAD_WEIGHT_SUM, divisor
    return OK, quotient_of_sums(value, error, divisor, divisor_error)


@kernel("finish_weights")
def finish_weights(partials: Any) -> float:
    """Return the sum of the weights."""
    _, _, weight, error = totals(partials)
    return rounded_sum(weight, error)


def loss_kernels(
    name: str, block: Callable[..., bool], section_sum: SectionSum
) -> tuple[Any, Any, Any, Any]:
    """Return the loops over chunks for the losses, and gradients, that ``block`` computes.

    Parameters
    ----------
    name : str
        Under which the compiled code is kept.
    block : callable
        ``block(first, labels, losses, gradients, work)`` fills losses and gradients, for at
        most BLOCK samples, and returns whether a value was not allowed. ``gradients`` may be None.
    section_sum : callable
        Sums the losses of a section without computing them one by one.

    Returns
    -------
    single, chunk, serial, parallel : callable
        ``single(first, labels, mean)`` is for few samples without weights: it returns what was
        found and the reduced loss.
        ``chunk(first, labels, weights, losses, gradients, divisor, mode, partial)`` goes
        through one chunk, or a part of it made of whole blocks, and adds to one row of the
        table. The other two take a mean flag in place of the row, go through all chunks, on
        one thread or on all, and return what they found and the reduced loss.
        Arrays are contiguous and one-dimensional; weights may be None. With weights or
        gradients the mode is not MULTIPLY.
    """

    @kernel(f"{name}_single", nogil=True)
    def single(first: Any, labels: Any, mean: bool) -> tuple[int, float]:
        width = min(BLOCK, first.size)
        room = np.empty(3 * width, first.dtype)
        work = window(room, width, 3 * width)
        state = np.empty(2 * LANES)
        total = error = 0.0
        for start in range(0, first.size, BLOCK):
            stop = min(start + BLOCK, first.size)
            losses = window(room, 0, stop - start)
            if block(window(first, start, stop), window(labels, start, stop), losses, None, work):
                return BAD_VALUE, np.nan
            value, rest = sum_block(losses, state)
            total, lost = two_sum(total, value)
            error += rest + lost
        if not mean:
            return OK, rounded_sum(total, error)
        return OK, quotient_of_sums(total, error, float(first.size), 0.0)

    @kernel(f"{name}_chunk", nogil=True)
    def chunk(
        first: Any,
        labels: Any,
        weights: Any,
        losses: Any,
        gradients: Any,
        divisor: float,
        mode: int,
        partial: Any,
    ) -> None:
        width = min(BLOCK, first.size)
        room = scratch(width, first, VALUES_AT)
        work = scratch(2 * width, first, WORK_AT)
        state = np.empty(STATE * LANES)
        for section in range(0, first.size, SECTION):
            end = min(section + SECTION, first.size)
            full = end - section == SECTION
            if weights is None and gradients is None and mode == MULTIPLY and full:
                plain, value, error = section_sum(
                    window(first, section, end), window(labels, section, end), state
                )
                if plain:
                    add_to(partial, SUM, value, error)
                    continue
            for start in range(section, end, BLOCK):
                stop = min(start + BLOCK, end)
                values = (
                    window(losses, start, stop) if mode == WRITE else window(room, 0, stop - start)
                )
                slopes = window(gradients, start, stop)
                partial[BAD] += block(
                    window(first, start, stop), window(labels, start, stop), values, slopes, work
                )
                if weights is not None:
                    multiply(values, window(weights, start, stop))
                    if gradients is not None:
                        multiply(slopes, window(weights, start, stop))
                if gradients is not None and divisor != 1:
                    divide(slopes, divisor)
                if mode != WRITE:
                    value, error = sum_block(values, state)
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
        mode: int,
        mean: bool,
    ) -> tuple[int, float]:
        step = chunk_size(first.size)
        partials = np.zeros((-(-first.size // step), COLUMNS))
        for c in prange(partials.shape[0]):
            start = c * step
            stop = min(start + step, first.size)
            chunk(
                window(first, start, stop),
                window(labels, start, stop),
                window(weights, start, stop),
                window(losses, start, stop) if mode == WRITE else losses,
                window(gradients, start, stop),
                divisor,
                mode,
                partials[c],
            )
        return finish(partials, first.size, mean, weights is not None)

    return (
        single,
        chunk,
        kernel(f"{name}_serial", nogil=True)(loop),
        kernel(f"{name}_parallel", parallel=_LOOPS_ALONE)(loop),
    )


def map_kernels(name: str, block: Callable[..., None]) -> tuple[Any, Any]:
    """Return the loops, on one thread and on all, for ``block(values, out, work)``."""

    def loop(values: Any, out: Any) -> None:
        past_caches = out.size * out.itemsize >= PAST_CACHES
        step = chunk_size(values.size)
        for c in prange(-(-values.size // step)):
            width = min(BLOCK, values.size)
            work = scratch(2 * width, values, WORK_AT)
            room = scratch(width, values, VALUES_AT)
            begin, end = c * step, min((c + 1) * step, values.size)
            if past_caches:
                # A short block first, so that the others begin a line.
                lead = min(begin + before_line(window(out, begin, end)), end)
                block(window(values, begin, lead), window(out, begin, lead), work)
                begin = lead
            for start in range(begin, end, BLOCK):
                stop = min(start + BLOCK, end)
                if past_caches and stop - start == BLOCK:
                    block(window(values, start, stop), room, work)
                    stream(room, window(out, start, stop))
                else:
                    block(window(values, start, stop), window(out, start, stop), work)
            if past_caches:
                settle()

    return (
        kernel(f"{name}_serial", nogil=True)(loop),
        kernel(f"{name}_parallel", parallel=_LOOPS_ALONE)(loop),
    )
