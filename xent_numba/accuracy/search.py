"""Where random samples are too few: the seams of a kernel, and the way up from its worst inputs.

A kernel without branches still has seams: where the range reduction moves on to the next multiple
of ln 2, where one formula takes over from another, where exponents end and subnormal numbers begin.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy import ndarray

from xent_numba.accuracy.findings import Findings
from xent_numba.accuracy.sweep import Target, inspect
from xent_numba.operations import OPERATIONS, Operation

_SEAMS_PER_CHUNK = 64


@dataclass(frozen=True, slots=True)
class Seams:
    """All floats within so many steps of every seam.

    Attributes
    ----------
    operation, dtype : str
        Say which inputs there are.
    reach : int
        Steps to either side.
    """

    operation: str
    dtype: str
    reach: int

    @property
    def chunks(self) -> int:
        """How many chunks the work is cut into."""
        return -(-seams(OPERATIONS[self.operation], self.dtype).size // _SEAMS_PER_CHUNK)

    def pieces(self, chunk: int) -> Iterator[tuple[ndarray, None]]:
        """The neighbours of a chunk's seams, each float once for each seam it is close to."""
        start = chunk * _SEAMS_PER_CHUNK
        at = seams(OPERATIONS[self.operation], self.dtype)[start : start + _SEAMS_PER_CHUNK]
        steps = np.arange(-self.reach, self.reach + 1)
        yield _within(OPERATIONS[self.operation], _step(at[:, None], steps).ravel()), None


def seams(operation: Operation, dtype: str) -> ndarray:
    """Inputs at which some step of some kernel, ours or another's, changes its mind.

    Returns
    -------
    ndarray of dtype
        For scores, both signs of: half-integer multiples of ln 2, where exp(s) goes on to the next
        power of 2; sixteenths up to 1, where formulas meet; powers of 2; the ends of the range.
        For probabilities: 2^-n, 2^-n sqrt(1/2), and 1 - 2^-n.
    """
    info = np.finfo(dtype)
    powers = np.ldexp(1.0, np.arange(int(info.minexp) - int(info.nmant), int(info.maxexp)))
    if operation.first == "probabilities":
        powers = powers[powers <= 1]
        values = np.concatenate([powers, powers * np.sqrt(0.5), 1 - powers])
    else:
        last = np.log(2.0) * (int(info.nmant) - int(info.minexp) + 2)
        halves = np.log(2.0) * np.arange(0.5, last / np.log(2.0))
        ends = np.log(float(info.smallest_normal)), np.log(float(info.max))
        values = np.concatenate([powers, halves, halves - 0.5 * np.log(2.0), ends])
        values = np.concatenate([values, np.arange(1, 17) / 16])
        values = np.concatenate([values, -values])
    return np.unique(values.astype(dtype))


def climb(
    target: Target, start: ndarray, *, rounds: int, seed: int = 0
) -> tuple[Findings, ndarray]:
    """Walk from given inputs towards larger errors.

    Every round tries, for each of the inputs it has, others that are up to 2^k steps away, for
    every k that makes sense, and goes on with those that are worst.

    Parameters
    ----------
    target : Target
        What is searched.
    start : ndarray of target.dtype
        Where to begin; as many inputs are carried along.
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
    found = Findings()
    octaves = np.arange(np.finfo(target.dtype).nmant)
    for _ in range(rounds):
        steps = rng.integers(-(1 << octaves), (1 << octaves) + 1, (start.size, octaves.size))
        tried = _within(target.table_entry, _step(start[:, None], steps).ravel())
        found.merge(inspect(target, tried))
        start = worst_of(target, np.unique(np.concatenate([start, tried])), start.size)
    return found, start


def worst_of(target: Target, inputs: ndarray, number: int) -> ndarray:
    """Return the inputs with the largest finite errors."""
    error = target.truth(inputs).error(target.compute(inputs, target.label))
    return np.asarray(inputs[np.argsort(np.where(np.isfinite(error), error, -1))[-number:]])


def _step(values: ndarray, steps: ndarray) -> ndarray:
    """The float so many steps further from zero; past the last one, infinity and its NaNs."""
    bits = values.view(f"int{values.dtype.itemsize * 8}")
    return np.asarray((bits + steps.astype(bits.dtype)).view(values.dtype))


def _within(operation: Operation, values: ndarray) -> ndarray:
    low, high = operation.domain
    return np.asarray(values[(values >= low) & (values <= high)])
