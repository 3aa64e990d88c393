"""Sums of an array that lies in pieces, with the bits of the sum over the whole.

A section of the whole adds the same to its chunk wherever the array was cut. A piece therefore
holds a row of partial results for every section that lies inside it, and the samples of the two
at its ends that do not. Neighbours join their ends, which makes the sections between them whole,
and add up what the loop over the whole would have added by then: the rows of a chunk whose first
section they hold. That leaves at most MAX_CHUNKS rows, and those of one chunk.

Where a sum needs a second pass with another scale (see `partials.STRAINED`), the samples are no
longer at hand: rows of that scale are made along with the others. A piece whose own sums are of
any ordinary size lets none of the two fail, and its rows times the scale, a power of two, are
those of a second pass.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import reduce
from typing import Any, NamedTuple

import numpy as np
from numpy import ndarray

from xent_numba.kernels.cpu import partials
from xent_numba.kernels.cpu.blocks import chunk_size
from xent_numba.kernels.cpu.log_of_product import SECTION
from xent_numba.kernels.cpu.weights import power_of_two, scale_exponent

Samples = tuple[Any, ...]
"""One-dimensional contiguous arrays of one size, in the order of the array, or None."""

Compute = Callable[[Samples, float], ndarray]
"""``compute(samples, scale)``: the rows of the sections of samples, times a power of two."""


class Whole(NamedTuple):
    """What is known of the whole array.

    Attributes
    ----------
    size : int
        Samples.
    columns : tuple of int
        The sums that a piece may have: of losses, of weights, or of both.
    mean : bool
        Whether the sum of the losses is divided by that of the weights.
    scale : float
        By which the weights are multiplied in the first pass.
    again : bool
        Whether a second pass may be needed.
    """

    size: int
    columns: tuple[int, ...]
    mean: bool
    scale: float
    again: bool


class Rows(NamedTuple):
    """Partial results of consecutive sections.

    Attributes
    ----------
    chunks : ndarray of int64
        The chunk that each row is part of; those of one that began earlier are a row a section.
    plain : ndarray of float64
        Of the first pass, (n, COLUMNS).
    again : ndarray of float64
        Of the second, times two to the power of `exponent`; (0, COLUMNS) where there is none.
    largest : float
        The largest weight.
    huge : bool
        Whether the sum may be too large for a float64 without a scale.
    """

    chunks: ndarray
    plain: ndarray
    again: ndarray
    largest: float
    huge: bool

    def exponent(self, whole: Whole) -> int:
        """Of the scale of the second pass, as far as it is known by now."""
        return scale_exponent(self.largest, whole.mean, self.huge)


class Piece(NamedTuple):
    """A piece of the array.

    Attributes
    ----------
    start, stop : int
        Its place.
    head : Samples
        Up to where the first section begins; all of it where none does.
    rows : Rows or None
        Of the sections inside it; None where no section begins or ends in it.
    tail : Samples
        From where the last section ends.
    """

    start: int
    stop: int
    head: Samples
    rows: Rows | None
    tail: Samples


def sections(size: int) -> int:
    """Sections of an array of `size` samples."""
    return -(-size // SECTION)


def by_chunk(size: int, rows: ndarray) -> ndarray:
    """Rows of all sections of an array, added up chunk by chunk."""
    chunks = np.arange(len(rows)) // (chunk_size(size) // SECTION)
    table = np.zeros((-(-size // chunk_size(size)), partials.COLUMNS))
    partials.merge_rows(rows, chunks, table)
    return table


def cut(whole: Whole, compute: Compute, start: int, samples: Samples) -> Piece:
    """The piece that begins at `start`; every sample is computed, and so is checked."""
    stop = start + samples[0].size
    begin = -(-start // SECTION) * SECTION
    end = stop if stop == whole.size else stop // SECTION * SECTION
    if begin > end:
        compute(samples, whole.scale)
        return Piece(start, stop, _part(samples, 0, stop - start), None, _part(samples, 0, 0))
    head, tail = (
        _part(samples, *bounds) for bounds in ((0, begin - start), (end - start, stop - start))
    )
    for part in (_window(samples, 0, begin - start), _window(samples, end - start, stop - start)):
        compute(part, whole.scale)
    inside = _window(samples, begin - start, end - start)
    return Piece(start, stop, head, _rows(whole, compute, begin, inside), tail)


def join(whole: Whole, compute: Compute, pieces: Sequence[Piece]) -> Piece:
    """One piece of neighbours, in order."""
    return reduce(lambda a, b: _join(whole, compute, a, b), pieces)


def finish(whole: Whole, piece: Piece, finished: Callable[[ndarray, float], Any]) -> Any:
    """What the whole array's sums come to.

    Parameters
    ----------
    whole : Whole
        The array.
    piece : Piece
        All of it.
    finished : callable
        ``finished(table, scale)`` returns what becomes of the table of all chunks, and whether
        and how it has to be made again: None, or whether the sum was infinite.
    """
    assert piece.rows is not None
    rows = piece.rows
    result, infinite = finished(rows.plain, whole.scale)
    while infinite is not None and whole.again:
        exponent = scale_exponent(rows.largest, whole.mean, infinite)
        table = _times(rows.again, exponent - rows.exponent(whole))
        result, found = finished(table, power_of_two(exponent))
        infinite = found if found and not infinite else None
    return result


def _window(samples: Samples, start: int, stop: int) -> Samples:
    return tuple(None if a is None else a[start:stop] for a in samples)


def _part(samples: Samples, start: int, stop: int) -> Samples:
    """A copy, that does not keep the rest in memory; of inputs, not of gradients to be written."""
    return tuple(None if a is None else a[start:stop].copy() for a in samples[:3])


def _times(rows: ndarray, exponent: int) -> ndarray:
    with np.errstate(all="ignore"):
        return np.ldexp(rows, exponent)


def _join(whole: Whole, compute: Compute, a: Piece, b: Piece) -> Piece:
    assert a.stop == b.start
    if a.rows is None:
        return Piece(a.start, b.stop, _concatenated(a.head, b.head), b.rows, b.tail)
    between = _concatenated(a.tail, b.head)
    if b.rows is None and b.stop < whole.size:
        return Piece(a.start, b.stop, a.head, a.rows, between)
    begin = a.stop - a.tail[0].size
    found = [a.rows, _rows(whole, compute, begin, between)]
    if b.rows is not None:
        found.append(b.rows)
    first = -(-a.start // SECTION)
    tail = b.tail if b.rows is not None else _part(between, 0, 0)
    return Piece(a.start, b.stop, a.head, _added(whole, first, found), tail)


def _concatenated(a: Samples, b: Samples) -> Samples:
    return tuple(None if x is None else np.concatenate((x, y)) for x, y in zip(a, b, strict=True))


def _rows(whole: Whole, compute: Compute, begin: int, samples: Samples) -> Rows:
    """Rows of the sections of samples that begin at the place `begin`."""
    size = samples[0].size
    chunks = (begin // SECTION + np.arange(sections(size))) // (chunk_size(whole.size) // SECTION)
    plain = compute(samples, whole.scale)
    largest, huge, again = 0.0, False, plain[:0]
    if whole.again and size:
        weights = samples[-1] if len(samples) == 1 else samples[2]
        largest = 1.0 if weights is None else float(weights.max())
        with np.errstate(all="ignore"):
            sums = [float(plain[:, column].sum()) for column in whole.columns]
        huge = max(sums) >= partials.HUGE
        exponent = scale_exponent(largest, whole.mean, huge)
        if huge or (weights is not None and min(sums) < 2 * partials.TINY):
            again = compute(samples[:3], power_of_two(exponent))
        else:
            again = _times(plain, exponent - math.frexp(whole.scale)[1] + 1)
            if weights is None:
                again[:, partials.WEIGHT_SUM] = _scaled_sizes(size, exponent)
    return _added(whole, -(-begin // SECTION), [Rows(chunks, plain, again, largest, huge)])


def _scaled_sizes(size: int, exponent: int) -> ndarray:
    """What the samples of each section count for where there are no weights."""
    counts = np.full(sections(size), float(SECTION))
    counts[-1] = size - SECTION * (counts.size - 1)
    return np.ldexp(counts, exponent)


def _added(whole: Whole, first: int, parts: list[Rows]) -> Rows:
    """Rows of neighbours; those of a chunk whose first section is among them are added up."""
    chunks = np.concatenate([rows.chunks for rows in parts])
    largest, huge = max(rows.largest for rows in parts), any(rows.huge for rows in parts)
    exponent = scale_exponent(largest, whole.mean, huge)
    plain = np.concatenate([rows.plain for rows in parts])
    again = np.concatenate([_times(rows.again, exponent - rows.exponent(whole)) for rows in parts])
    begins = np.append(True, chunks[1:] != chunks[:-1])[: chunks.size]
    begins |= chunks * (chunk_size(whole.size) // SECTION) < first
    places = np.cumsum(begins) - 1
    count = int(begins.sum())
    tables = []
    for table in (plain, again):
        added = np.zeros((count if len(table) else 0, partials.COLUMNS))
        partials.merge_rows(table, places[: len(table)], added)
        tables.append(added)
    return Rows(chunks[begins], tables[0], tables[1], largest, huge)
