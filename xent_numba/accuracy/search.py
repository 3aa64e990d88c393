"""Where random samples are too few: the way up from the worst inputs."""

from __future__ import annotations

import numpy as np
from numpy import ndarray

from xent_numba.accuracy.error_counts import ErrorCounts
from xent_numba.accuracy.plans import step, within
from xent_numba.accuracy.sweep import Quantity, Sweep


def climb(
    quantity: Quantity, start: ndarray, rounds: int, *, seed: int = 0
) -> tuple[ErrorCounts, ndarray]:
    """Walk from given inputs of one sign towards larger errors.

    Every round tries, for each of the inputs it has, others that are up to 2^k steps away, for
    every k that makes sense, and goes on with those that are worst.

    Parameters
    ----------
    quantity : Quantity
        What is searched.
    start : ndarray of quantity.dtype, shape (n,)
        Where to begin, all of one sign; n inputs are carried along.
    rounds : int
        Number of rounds.
    seed : int
        Seed of the steps.

    Returns
    -------
    counts : ErrorCounts
        Of all inputs that were tried.
    inputs : ndarray
        Where it ended.
    """
    rng = np.random.default_rng(seed)
    sweep = Sweep(quantity.implementation, quantity.dtype, (quantity.operation,))
    negative = bool(np.signbit(start[0]))
    counter = quantity.counter()
    octaves = np.arange(np.finfo(quantity.dtype).nmant)
    here, error = np.abs(start), np.full(start.size, -1.0)
    for _ in range(rounds):
        steps = rng.integers(-(1 << octaves), (1 << octaves) + 1, (here.size, octaves.size))
        tried = within(sweep.first, np.unique(step(here[:, None], steps)))
        truth = quantity.truth(sweep.curves(tried), negative=negative)
        got = sweep.compute(-tried if negative else tried)[quantity]
        errors = counter.add(tried, got, truth, negative=negative)
        # An infinite error is found, and leads nowhere.
        heights = np.concatenate([np.where(np.isfinite(errors), errors, -1), error])
        candidates, where = np.unique(np.concatenate([tried, here]), return_index=True)
        heights = heights[where]
        best = np.argsort(heights)[-start.size :]
        here, error = candidates[best], heights[best]
    return counter.counts(), -here if negative else here
