"""Loops over blocks of samples, and sums that do not depend on who computes them.

An array is cut into chunks and a chunk into blocks; both depend on the array's size alone.  What
is kept of a block lies in a small array that stays in the first-level cache: an elementwise loop
fills it, another adds it up in lanes, in an order that no width of a register changes.

Blocks are added to their chunk in order, chunks to the total in order, by TwoSum (the cascaded
summation Sum2 of Ogita, Rump and Oishi, SIAM J. Sci. Comput. 26, 2005). The total is as accurate
as if computed in twice the working precision, for any order of magnitude of the sum that memory
can hold.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from xent_numba.kernels.cpu.bits import exact
from xent_numba.kernels.cpu.caching import kernel
from xent_numba.kernels.cpu.float_state import apart, enter, leave
from xent_numba.kernels.cpu.log_of_product import SECTION, SectionSum
from xent_numba.kernels.cpu.memory import (
    PAGE,
    PAST_CACHES,
    VALUES_AT,
    WORK_AT,
    before_line,
    place,
    rows_of,
    settle,
    stack,
    stream,
    window,
)
from xent_numba.kernels.cpu.partials import (
    BAD,
    BAD_VALUE,
    COLUMNS,
    OK,
    STRAINED,
    SUM,
    UNSCALED,
    WEIGHT_SUM,
    finished,
    merge,
)
from xent_numba.kernels.cpu.summation import (
    BLOCK,
    STATE_SIZE,
    add_to,
    quotient_of_sums,
    rounded_sum,
    sum_block,
    two_sum,
    weighted_sums,
)
from xent_numba.kernels.cpu.teams import share
from xent_numba.kernels.cpu.weights import multiply, scale_gradients

MAX_CHUNKS = 256
TABLE_SIZE = MAX_CHUNKS * COLUMNS
ROWS_SIZE = 3 * BLOCK
VALUES_SIZE, WORK_SIZE = BLOCK + PAGE // 4, 2 * BLOCK + PAGE // 4
"""Items of rows of a block; and of one and of two, with a page to choose their place in."""


@exact
def chunk_size(size: int) -> int:
    """Samples in a chunk, whole sections, for an array of this size."""
    sections = -(-size // SECTION)
    return SECTION * max(1, -(-sections // MAX_CHUNKS))


def loss_kernels(name: str, block: Callable[..., bool], section_sum: SectionSum) -> tuple[Any, Any]:
    """Return the loops over samples for the losses, and gradients, that ``block`` computes.

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
    single, whole : callable
        ``single(first, labels, mean)`` is for few samples without weights: it returns what was
        found and the reduced loss.
        ``whole(first, labels, weights, losses, gradients, (scaling, mean), rows, team)`` goes
        through all samples, in chunks that a team of threads may share, and returns what it found
        and the reduced loss. If ``rows`` has a size, it has `COLUMNS` items for each section, to
        which the section is added, for a caller who has the samples piece by piece: what was found
        is in them, and what is returned says nothing.
        Arrays are contiguous and one-dimensional; weights and gradients may be None. Losses are
        written if they have a size, else added up. The scaling is what weights are multiplied by,
        a power of two, and what gradients are divided by, a value and an error.
    """

    @exact
    def one_block_after_another(first: Any, labels: Any, mean: bool) -> tuple[int, float]:
        apart()
        room = stack(ROWS_SIZE, first.dtype)
        work = window(room, BLOCK, 3 * BLOCK)
        state = stack(STATE_SIZE, np.float64)
        total = error = 0.0
        for start in range(0, first.size, BLOCK):
            stop = min(start + BLOCK, first.size)
            losses = window(room, 0, stop - start)
            if block(window(first, start, stop), window(labels, start, stop), losses, None, work):
                return BAD_VALUE, np.nan
            value, rest = sum_block(losses, state)
            total, lost = two_sum(total, value)
            error += rest + lost
        if mean and total == np.inf:
            return STRAINED, total
        result = (
            quotient_of_sums(total, error, float(first.size), 0.0)
            if mean
            else rounded_sum(total, error)
        )
        return OK, np.float64(first.dtype.type(result))

    @kernel(f"{name}_single", nogil=True)
    def single(first: Any, labels: Any, mean: bool) -> tuple[int, float]:
        caller = enter()
        found = one_block_after_another(first, labels, mean)
        leave(caller)
        return found

    @exact
    def add_weighted(values: Any, weights: Any, scale: float, state: Any, partial: Any) -> None:
        bad, value, error, weight, weight_error = weighted_sums(values, weights, scale, state)
        add_to(partial, WEIGHT_SUM, weight, weight_error)
        add_to(partial, SUM, value, error)
        partial[BAD] += bad

    @exact
    def add_up(values: Any, weights: Any, scale: float, state: Any, partial: Any) -> None:
        if weights is not None:
            add_weighted(values, weights, scale, state, partial)
        elif scale != UNSCALED:
            ones = stack(BLOCK, np.float64)
            ones[:] = 1.0
            add_weighted(values, ones, scale, state, partial)
        else:
            value, error = sum_block(values, state)
            add_to(partial, SUM, value, error)

    @exact
    def blocks_of_section(
        first: Any,
        labels: Any,
        weights: Any,
        losses: Any,
        gradients: Any,
        scaling: tuple[float, float, float],
        room: tuple[Any, Any, Any],
        row: Any,
    ) -> None:
        # Whoever calls this is apart from the caller's floating-point state already.
        computed, work, state = room
        scale, divisor, divisor_error = scaling
        for start in range(0, first.size, BLOCK):
            stop = min(start + BLOCK, first.size)
            values = (
                window(losses, start, stop) if losses.size else window(computed, 0, stop - start)
            )
            slopes = window(gradients, start, stop)
            row[BAD] += block(
                window(first, start, stop), window(labels, start, stop), values, slopes, work
            )
            factors = window(weights, start, stop)
            if gradients is not None and (weights is not None or divisor != 1):
                scale_gradients(slopes, factors, scale, divisor, divisor_error)
            if not losses.size:
                add_up(values, factors, scale, state, row)
            elif weights is not None:
                row[BAD] += multiply(values, factors, scale)

    @exact
    def section_after_section(
        first: Any,
        labels: Any,
        weights: Any,
        losses: Any,
        gradients: Any,
        scaling: tuple[float, float, float],
        partial: Any,
    ) -> None:
        apart()
        state = stack(STATE_SIZE, np.float64)
        room = (
            place(stack(VALUES_SIZE, first.dtype), BLOCK, first, VALUES_AT),
            place(stack(WORK_SIZE, first.dtype), 2 * BLOCK, first, WORK_AT),
            state,
        )
        row = stack(COLUMNS, np.float64)
        for start in range(0, first.size, SECTION):
            stop = min(start + SECTION, first.size)
            part, labels_of_part = window(first, start, stop), window(labels, start, stop)
            full = stop - start == SECTION and losses.size == 0 and scaling[0] == UNSCALED
            if weights is None and gradients is None and full:
                plain, value, error = section_sum(part, labels_of_part, state)
                if plain:
                    add_to(partial, SUM, value, error)
                    continue
            row[:] = 0.0
            blocks_of_section(
                part,
                labels_of_part,
                window(weights, start, stop),
                window(losses, start, stop) if losses.size else losses,
                window(gradients, start, stop),
                scaling,
                room,
                row,
            )
            # Apart from others first: a section adds the same wherever the array was cut.
            merge(partial, row)

    @exact
    def iteration(
        c: int,
        step: int,
        samples: Any,
        losses: Any,
        scaling: tuple[float, float, float],
        table: Any,
    ) -> None:
        first, labels, weights, gradients = samples
        start = c * step
        stop = min(start + step, first.size)
        caller = enter()
        section_after_section(
            window(first, start, stop),
            window(labels, start, stop),
            window(weights, start, stop),
            window(losses, start, stop) if losses.size else losses,
            window(gradients, start, stop),
            scaling,
            window(table, c * COLUMNS, (c + 1) * COLUMNS),
        )
        leave(caller)

    @kernel(f"{name}_whole", nogil=True)
    def whole(
        first: Any,
        labels: Any,
        weights: Any,
        losses: Any,
        gradients: Any,
        reducing: tuple[tuple[float, float, float], bool],
        rows: Any,
        team: tuple[int, int],
    ) -> tuple[int, float]:
        scaling, mean = reducing
        step = SECTION if rows.size else chunk_size(first.size)
        chunks = -(-first.size // step)
        own = window(stack(TABLE_SIZE, np.float64), 0, 0 if rows.size else chunks * COLUMNS)
        own[:] = 0.0
        table = rows if rows.size else own
        samples = first, labels, weights, gradients
        share(chunks, iteration, (step, samples, losses, scaling, table), team)
        if rows.size:
            return OK, np.nan
        single = first.itemsize == 4
        partials = rows_of(table, COLUMNS)
        return finished(partials, first.size, single, mean, weights is not None, scaling[0])

    return single, whole


def map_kernel(name: str, block: Callable[..., None]) -> Any:
    """Return ``whole(values, out, team)``, a loop for ``block(values, out, work)`` to be shared."""

    @exact
    def block_after_block(values: Any, out: Any, past_caches: bool) -> None:
        apart()
        work = place(stack(WORK_SIZE, values.dtype), 2 * BLOCK, values, WORK_AT)
        room = place(stack(VALUES_SIZE, values.dtype), BLOCK, values, VALUES_AT)
        begin, end = 0, values.size
        if past_caches:
            # A short block first, so that the others begin a line.
            lead = min(before_line(out), end)
            block(window(values, 0, lead), window(out, 0, lead), work)
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

    @exact
    def iteration(c: int, step: int, values: Any, out: Any, past_caches: bool) -> None:
        start = c * step
        stop = min(start + step, values.size)
        caller = enter()
        block_after_block(window(values, start, stop), window(out, start, stop), past_caches)
        leave(caller)

    @kernel(f"{name}_whole", nogil=True)
    def whole(values: Any, out: Any, team: tuple[int, int]) -> None:
        past_caches = out.size * out.itemsize >= PAST_CACHES
        step = chunk_size(values.size)
        share(-(-values.size // step), iteration, (step, values, out, past_caches), team)

    return whole
