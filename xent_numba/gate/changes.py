r"""Where a series of values changed: divisive, by energy distances, with a permutation test.

Of two samples x and y of m and n values the energy statistic is

.. math:: Q = \frac{mn}{m+n} \left( 2 E|x-y| - E|x-x'| - E|y-y'| \right),

which is 0 only for equal distributions [1]_. A series is cut where Q is largest; the cut stands if
in PERMUTATIONS random orders of the series no cut has as large a Q; then both parts are looked at
in the same way [2]_. At least SHORTEST values lie between two cuts. So of series that never
changed, and whose values are exchangeable, one in PERMUTATIONS + 1 is said to have.

Where the cut lies is known as well as the parts allow: each is resampled, the cut is sought again,
and of RESAMPLES places the middle 99 % are the interval. Since the parts are themselves chosen, it
held the place of 95 % of simulated steps of one to three standard deviations. The quotient of the
two medians is resampled with it, and has the middle 95 %.

References
----------
.. [1] G. J. Szekely, M. L. Rizzo, "Energy statistics: a class of statistics based on distances",
   J. Statist. Plann. Inference 143, 2013.
.. [2] D. S. Matteson, N. A. James, "A nonparametric approach for multiple change point analysis of
   multivariate data", J. Amer. Statist. Assoc. 109, 2014.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from xent_numba.measurement.statistics import Interval

PERMUTATIONS = 999
RESAMPLES = 200
SHORTEST = 4

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Change:
    """A place where a series changed.

    Attributes
    ----------
    at : int
        Index of the first value after it.
    first, last : int
        The interval of `at`.
    ratio : Interval
        Median of the part after it over that of the part before it.
    """

    at: int
    first: int
    last: int
    ratio: Interval


def changes(values: Floats, permutations: int = PERMUTATIONS) -> list[Change]:
    """Find the changes of a series.

    Parameters
    ----------
    values : ndarray of shape (n,), float64
        Positive, in the order of time.
    permutations : int
        Random orders that a cut is compared with.

    Returns
    -------
    list of Change
        In the same order.
    """
    logs = np.log(values)
    rng = np.random.default_rng(1)
    cuts = sorted(_cuts(logs, 0, rng, permutations))
    ends = [0, *cuts, len(values)]
    parts = zip(ends, ends[1:], ends[2:], strict=False)
    return [_change(logs, *part, rng) for part in parts]


def _cuts(logs: Floats, offset: int, rng: np.random.Generator, permutations: int) -> Iterator[int]:
    if len(logs) < 2 * SHORTEST:
        return
    distances = np.abs(logs[:, None] - logs)
    cut, largest = largest_statistic(distances)
    for _ in range(permutations):
        order = rng.permutation(len(logs))
        if largest_statistic(distances[np.ix_(order, order)])[1] >= largest * (1 - 1e-9):
            return
    yield offset + cut
    yield from _cuts(logs[:cut], offset, rng, permutations)
    yield from _cuts(logs[cut:], offset + cut, rng, permutations)


def largest_statistic(distances: Floats) -> tuple[int, float]:
    """Where Q is largest, and Q there."""
    count = len(distances)
    # corner[i, j] is the sum of the first i rows' first j distances.
    corner = np.zeros((count + 1, count + 1))
    corner[1:, 1:] = distances.cumsum(0).cumsum(1)
    m = np.arange(SHORTEST, count - SHORTEST + 1)
    n = count - m
    before, after, total = corner[m, m], corner[m, -1], corner[-1, -1]
    between = after - before
    within = total - 2 * after + before
    q = m * n / count * (2 * between / (m * n) - before / m**2 - within / n**2)
    best = int(np.argmax(q))
    return int(m[best]), float(q[best])


def _change(logs: Floats, start: int, cut: int, end: int, rng: np.random.Generator) -> Change:
    before, after = logs[start:cut], logs[cut:end]
    places, ratios = [], []
    for _ in range(RESAMPLES):
        both = [rng.choice(part, len(part)) for part in (before, after)]
        drawn = np.concatenate(both)
        places.append(start + largest_statistic(np.abs(drawn[:, None] - drawn))[0])
        ratios.append(np.median(both[1]) - np.median(both[0]))
    first, last = np.quantile(places, (0.005, 0.995), method="nearest")
    low, high = np.exp(np.quantile(ratios, (0.025, 0.975)))
    value = float(np.exp(np.median(after) - np.median(before)))
    return Change(cut, int(min(first, cut)), int(max(last, cut)), Interval(value, low, high))
