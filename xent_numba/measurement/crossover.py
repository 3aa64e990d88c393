"""From which size on one implementation is faster than another, by what was measured."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import NamedTuple

from xent_numba.measurement.statistics import Interval


class Crossover(NamedTuple):
    """Where an implementation begins to be the faster of two.

    Attributes
    ----------
    below : int or None
        Largest size measured at which it is not yet the faster one for certain; None if there is
        none.
    above : int or None
        Smallest size from which on it is, for certain and at every size measured; None if it is
        not at the largest.
    estimate : float or None
        Where the quotient crosses 1 between the two, along a straight line in both logarithms.
    """

    below: int | None
    above: int | None
    estimate: float | None


def find(quotients: Mapping[int, Interval]) -> Crossover:
    """Find the crossover in how many times as long the other takes.

    Parameters
    ----------
    quotients : mapping of int to Interval
        By size, the time of the other divided by its own. It is faster for certain where the whole
        interval is above 1.

    Returns
    -------
    Crossover
        Sizes of the sweep, and what lies between them.
    """
    below = above = None
    for size in sorted(quotients, reverse=True):
        if quotients[size].low <= 1:
            below = size
            break
        above = size
    estimate = None
    if below is not None and above is not None:
        low, high = (math.log(quotients[size].value) for size in (below, above))
        if low < 0 < high:
            share = -low / (high - low)
            estimate = below * (above / below) ** share
    return Crossover(below, above, estimate)
