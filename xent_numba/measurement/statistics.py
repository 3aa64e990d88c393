"""Medians, and how far to trust them."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

CONFIDENCE = 0.95
RESAMPLES = 999
ROUNDS = 2**20
"""From this number on rounds are of the next process of each participant, and so on."""
_SEED = 1


class Interval(NamedTuple):
    """A median and its bootstrap confidence interval.

    Attributes
    ----------
    value : float
        The median.
    low, high : float
        Ends of the interval at the level `CONFIDENCE`.
    """

    value: float
    low: float
    high: float

    @property
    def relative_width(self) -> float:
        """The interval's width, relative to the median."""
        return (self.high - self.low) / self.value

    @property
    def distance_from_one(self) -> float:
        """How far the farther end is from 1."""
        return max(abs(self.low - 1), abs(self.high - 1))

    def contains(self, value: float) -> bool:
        """Whether a value lies inside."""
        return self.low <= value <= self.high


def median_interval(values: Sequence[float]) -> Interval:
    """Median of at least two values, with its bootstrap interval.

    The same values always give the same interval: the resampling is seeded.
    """
    from scipy.stats import bootstrap

    found = bootstrap(
        (np.asarray(values),),
        np.median,
        n_resamples=RESAMPLES,
        confidence_level=CONFIDENCE,
        method="percentile",
        rng=np.random.default_rng(_SEED),
    ).confidence_interval
    return Interval(float(np.median(values)), float(found.low), float(found.high))


def interval(rounds: Mapping[int, float]) -> Interval:
    """Typical value of at least two rounds, with its interval.

    Rounds of one process resemble one another: it is a few per cent faster or slower than another
    for as long as it lives. So where there were several, each counts as one, by its median, and the
    interval is Student's of the logarithms of these. Where there was one, the interval is that of
    its rounds, and says nothing of other processes.

    Parameters
    ----------
    rounds : mapping of int to float
        Positive values by round; see `ROUNDS`.
    """
    processes: dict[int, list[float]] = {}
    for number, value in rounds.items():
        processes.setdefault(number // ROUNDS, []).append(value)
    if len(processes) < 2:
        return median_interval(list(rounds.values()))
    from scipy.stats import t

    logarithms = np.log([np.median(values) for values in processes.values()])
    n = len(logarithms)
    half = t.ppf((1 + CONFIDENCE) / 2, n - 1) * logarithms.std(ddof=1) / np.sqrt(n)
    middle = logarithms.mean()
    low, value, high = np.exp([middle - half, middle, middle + half]).tolist()
    return Interval(value, low, high)


def ratio_interval(
    numerator: Mapping[int, float], denominator: Mapping[int, float]
) -> Interval | None:
    """Median of the quotients taken round by round; None if fewer than two rounds are shared.

    Parameters
    ----------
    numerator, denominator : mapping of int to float
        Seconds by round.
    """
    shared = sorted(numerator.keys() & denominator.keys())
    if len(shared) < 2:
        return None
    return interval({r: numerator[r] / denominator[r] for r in shared})


FORESEEN_FROM = 0.05
"""Fraction of something that is done, from which on it is said what the rest will take."""


def time_left(began: float, done: float) -> float | None:
    """Seconds that the rest will take if it goes on like this; None where that is too early to say.

    Parameters
    ----------
    began : float
        When it did, by `time.monotonic`.
    done : float
        Fraction that is done.
    """
    return (time.monotonic() - began) * (1 / done - 1) if done >= FORESEEN_FROM else None
