"""Where random samples are too few: the seams of a kernel, and the way up from its worst inputs.

A kernel without branches still has seams: where the range reduction moves on to the next multiple
of ln 2, where one formula takes over from another, where exponents end and subnormal numbers begin.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy import ndarray

from xent_numba.accuracy.error_counts import Findings
from xent_numba.accuracy.sweep import PIECE, Subject, Target
from xent_numba.operations import OPERATIONS

_SEAMS_PER_CHUNK = 64


@dataclass(frozen=True, slots=True)
class Seams:
    """All floats within so many steps of every seam, and those that are no numbers.

    Attributes
    ----------
    first : {"scores", "probabilities"}
        Which inputs there are.
    dtype : str
        float32 or float64.
    reach : int
        Steps to either side.
    """

    first: str
    dtype: str
    reach: int

    @property
    def chunks(self) -> int:
        """How many chunks the work is cut into."""
        return -(-seams(self.first, self.dtype).size // _SEAMS_PER_CHUNK)

    def pieces(self, chunk: int) -> Iterator[ndarray]:
        """The neighbours of a chunk's seams, each float once."""
        start = chunk * _SEAMS_PER_CHUNK
        at = seams(self.first, self.dtype)[start : start + _SEAMS_PER_CHUNK]
        steps = np.arange(-self.reach, self.reach + 1)
        inputs = _within(self.first, np.unique(_step(at[:, None], steps)))
        yield from (inputs[i : i + PIECE] for i in range(0, inputs.size, PIECE))
        if chunk == 0 and self.first == "scores":
            yield np.array([np.inf, np.nan], self.dtype)

    def lead(self, chunk: int) -> None:
        """Chunks stand alone."""


def seams(first: str, dtype: str) -> ndarray:
    """Magnitudes at which some step of some kernel, ours or another's, changes its mind.

    Returns
    -------
    ndarray of dtype
        For scores: half-integer multiples of ln 2, where exp(s) goes on to the next power of 2;
        sixteenths up to 1, where formulas meet; powers of 2; the ends of the range.
        For probabilities: 2^-n, 2^-n sqrt(1/2), and 1 - 2^-n.
    """
    info = np.finfo(dtype)
    powers = np.ldexp(1.0, np.arange(int(info.minexp) - int(info.nmant), int(info.maxexp)))
    if first == "probabilities":
        powers = powers[powers <= 1]
        values = np.concatenate([powers, powers * np.sqrt(0.5), 1 - powers])
    else:
        last = np.log(2.0) * (int(info.nmant) - int(info.minexp) + 2)
        halves = np.log(2.0) * np.arange(0.5, last / np.log(2.0))
        ends = -np.log(float(info.smallest_normal)), np.log(float(info.max))
        values = np.concatenate([powers, halves, halves - 0.5 * np.log(2.0), ends])
        values = np.concatenate([[0.0], values, np.arange(1, 17) / 16])
    return np.unique(values.astype(dtype))


def climb(
    target: Target, start: ndarray, *, rounds: int, seed: int = 0
) -> tuple[Findings, ndarray]:
    """Walk from given inputs of one sign towards larger errors.

    Every round tries, for each of the inputs it has, others that are up to 2^k steps away, for
    every k that makes sense, and goes on with those that are worst.

    Parameters
    ----------
    target : Target
        What is searched.
    start : ndarray of target.dtype
        Where to begin, all of one sign; as many inputs are carried along.
    rounds : int
        How often.
    seed : int
        Seed of the steps.

    Returns
    -------
    findings : Findings
        Of all inputs that were tried.
    inputs : ndarray
        Where it ended.
    """
    rng = np.random.default_rng(seed)
    subject = Subject(target.implementation, target.dtype, (target.operation,))
    negative = bool(np.signbit(start[0]))
    tally = target.tally()
    octaves = np.arange(np.finfo(target.dtype).nmant)
    here, error = np.abs(start), np.full(start.size, -1.0)
    for _ in range(rounds):
        steps = rng.integers(-(1 << octaves), (1 << octaves) + 1, (here.size, octaves.size))
        tried = _within(subject.first, np.unique(_step(here[:, None], steps)))
        truth = target.truth(subject.curves(tried), negative=negative)
        got = subject.compute(-tried if negative else tried)[target]
        errors = tally.add(tried, got, truth, negative=negative)
        # An infinite error is found, and leads nowhere.
        heights = np.concatenate([np.where(np.isfinite(errors), errors, -1), error])
        candidates, where = np.unique(np.concatenate([tried, here]), return_index=True)
        heights = heights[where]
        best = np.argsort(heights)[-start.size :]
        here, error = candidates[best], heights[best]
    return tally.findings(), -here if negative else here


def _step(values: ndarray, steps: ndarray) -> ndarray:
    """The magnitude so many steps further from zero; past the last one, infinity and its NaNs."""
    bits = values.view(f"int{values.dtype.itemsize * 8}")
    return np.asarray((bits + steps.astype(bits.dtype)).view(values.dtype))


def _within(first: str, values: ndarray) -> ndarray:
    """The numbers of the domain, without a sign: a step from zero may have gone below it."""
    low, high = next(o.domain for o in OPERATIONS.values() if o.first == first)
    return np.asarray(values[~np.signbit(values) & (values >= low) & (values <= high)])
