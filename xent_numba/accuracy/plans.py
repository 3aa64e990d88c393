"""On which inputs results are held to the truth: all of them, samples of all, and seams.

float32 is gone through exhaustively: all 2^32 bit patterns, or all of those in the domain, in the
order of their magnitudes. Other inputs are sampled in strata, the same number of random
significands from every sign and exponent, so that a maximum is a lower bound of the largest error.

A kernel without branches still has seams: where the range reduction moves on to the next multiple
of ln 2, where one formula takes over from another, where exponents end and subnormal numbers begin.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy import ndarray

from xent_numba.operations import OPERATIONS, Operation

#: Magnitudes of a chunk, and of the pieces it is computed in, which stay in the caches.
CHUNK, PIECE = 1 << 22, 1 << 15

_STRATA_PER_CHUNK, _SEAMS_PER_CHUNK = 16, 64


@dataclass(frozen=True, slots=True)
class Exhaustive:
    """Every float32 of the domain, NaNs included where the domain is the line.

    Attributes
    ----------
    first, stop : int
        Range of bit patterns of magnitudes.
    chunk, piece : int
        Magnitudes of a chunk, and of the pieces it is computed in.
    """

    first: int
    stop: int
    chunk: int = CHUNK
    piece: int = PIECE

    @classmethod
    def over(cls, operation: Operation) -> Exhaustive:
        """The plan for the domain of an operation."""
        return cls(0, 1 << 31 if operation.first == "scores" else float_to_bits(1.0) + 1)

    @property
    def chunks(self) -> int:
        """Number of chunks."""
        return -(-(self.stop - self.first) // self.chunk)

    def pieces(self, chunk: int) -> Iterator[ndarray]:
        """The inputs of a chunk, in ascending order."""
        start = self.first + chunk * self.chunk
        stop = min(start + self.chunk, self.stop)
        for low in range(start, stop, self.piece):
            yield bits_to_floats(low, min(low + self.piece, stop))

    def lead(self, chunk: int) -> ndarray | None:
        """The inputs just before those of a chunk, as results must go on from theirs.

        A whole piece, as the last samples of a short one may be computed by other code.
        """
        start = self.first + chunk * self.chunk
        return bits_to_floats(max(start - self.piece, self.first), start) if chunk else None


@dataclass(frozen=True, slots=True)
class Strata:
    """The same number of samples from every sign and exponent, evenly spread over significands.

    Probabilities are sampled twice: by the exponents of p, and by those of 1 - p.

    Attributes
    ----------
    first : {"scores", "probabilities"}
        What is sampled.
    dtype : str
        float32 or float64.
    samples : int
        Number of samples, rounded up to the same number for every sign and exponent.
    """

    first: str
    dtype: str
    samples: int

    @property
    def chunks(self) -> int:
        """Number of chunks."""
        return -(-self._strata // _STRATA_PER_CHUNK)

    @property
    def _strata(self) -> int:
        exponents, complements = self._exponents
        return exponents + complements

    @property
    def _exponents(self) -> tuple[int, int]:
        """Number of those of the input, subnormal ones as one, and of those of its complement."""
        info = np.finfo(self.dtype)
        if self.first == "scores":
            return int(info.maxexp - info.minexp) + 1, 0
        return 1 - int(info.minexp), int(info.nmant)

    def pieces(self, chunk: int) -> Iterator[ndarray]:
        """The samples of a chunk, exponent by exponent."""
        start = chunk * _STRATA_PER_CHUNK
        for stratum in range(start, min(start + _STRATA_PER_CHUNK, self._strata)):
            samples = self._stratum(stratum)
            yield from (samples[i : i + PIECE] for i in range(0, samples.size, PIECE))

    def lead(self, chunk: int) -> None:
        """Chunks stand alone."""

    def _stratum(self, stratum: int) -> ndarray:
        signs = 2 if self.first == "scores" else 1
        number = -(-self.samples // (signs * self._strata))
        mantissa = int(np.finfo(self.dtype).nmant)
        exponents, _ = self._exponents
        # One sample from each part of an octave: ascending without being sorted.
        jitter = np.random.default_rng(stratum).random(number)
        significands = ((np.arange(number) + jitter) / number * 2.0**mantissa).astype(np.int64)
        if stratum < exponents:
            bits = (np.int64(stratum) << mantissa) + significands
            return bits.astype(f"i{np.dtype(self.dtype).itemsize}").view(self.dtype)
        # 1 - p from 1/2 down, of which the floats above 1/2 are the multiples of 2^-(p).
        scale = np.ldexp(1.0, -1 - mantissa - (stratum - exponents) - 1)
        complements = ((significands + 2.0**mantissa) * scale)[::-1]
        return np.asarray((1 - complements).astype(self.dtype))


@dataclass(frozen=True, slots=True)
class Seams:
    """All floats within `reach` steps of every seam, and those that are no numbers.

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
        """Number of chunks."""
        return -(-seams(self.first, self.dtype).size // _SEAMS_PER_CHUNK)

    def pieces(self, chunk: int) -> Iterator[ndarray]:
        """The neighbours of a chunk's seams, each float once."""
        start = chunk * _SEAMS_PER_CHUNK
        at = seams(self.first, self.dtype)[start : start + _SEAMS_PER_CHUNK]
        steps = np.arange(-self.reach, self.reach + 1)
        inputs = within(self.first, np.unique(step(at[:, None], steps)))
        yield from (inputs[i : i + PIECE] for i in range(0, inputs.size, PIECE))
        if chunk == 0 and self.first == "scores":
            yield np.array([np.inf, np.nan], self.dtype)

    def lead(self, chunk: int) -> None:
        """Chunks stand alone."""


Plan = Exhaustive | Strata | Seams
"""Inputs >= 0 to go through, cut into numbered chunks."""


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


def bits_to_floats(first: int, stop: int) -> ndarray:
    """float32 magnitudes by their bit patterns, which are in the order of the values."""
    return np.arange(first, stop, dtype=np.uint32).view(np.float32)


def float_to_bits(value: float) -> int:
    """The place of a magnitude in that order."""
    return int(np.float32(value).view(np.uint32))


def step(values: ndarray, steps: ndarray) -> ndarray:
    """The magnitudes `steps` floats further from zero; past the last one, infinity and its NaNs."""
    bits = values.view(f"int{values.dtype.itemsize * 8}")
    return np.asarray((bits + steps.astype(bits.dtype)).view(values.dtype))


def within(first: str, values: ndarray) -> ndarray:
    """The numbers of the domain, without a sign: a step from zero may have gone below it."""
    low, high = next(o.domain for o in OPERATIONS.values() if o.first == first)
    return np.asarray(values[~np.signbit(values) & (values >= low) & (values <= high)])
