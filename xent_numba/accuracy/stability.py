"""Where an implementation is how good: the grades of a sweep as intervals of its inputs."""

from __future__ import annotations

import itertools
import math
import sys
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from xent_numba.accuracy.counting import band_starts
from xent_numba.accuracy.error_counts import Grade


@dataclass(frozen=True, slots=True)
class Band:
    """An interval of inputs, whole sixteenths of octaves, by the worst of its results.

    Attributes
    ----------
    low, high : float
        Its ends; the same where an infinity, zero, or the end of the domain stands alone.
    grade : Grade
        Of the worst.
    """

    low: float
    high: float
    grade: Grade


def bands(grades: Mapping[int, int], domain: tuple[float, float]) -> list[Band]:
    """Bands in ascending order, without gaps; neighbours differ in grade but at the ends.

    Parameters
    ----------
    grades : mapping of int to int
        As of `ErrorCounts`.
    domain : tuple of float
        Ends of the inputs, which stand alone.

    Returns
    -------
    list of Band
        What was swept, and no more. Sixteenths of an octave that hold no float, as there are among
        subnormal numbers, go with those before them.
    """
    numbers = sorted(grades)
    ends = {n for n in (*numbers[:1], *numbers[-1:]) if _start(n) in domain}
    groups = [
        (grade, alone, next(members))
        for (grade, alone), members in itertools.groupby(
            numbers, lambda n: (Grade(grades[n]), n in ends)
        )
    ]
    found = []
    for at, (grade, alone, number) in enumerate(groups):
        following = groups[at + 1 : at + 2]
        if alone:
            high = _start(number)
        elif following and math.isfinite(_start(following[0][2])):
            high = _start(following[0][2])
        else:
            high = _stop(numbers[-1 - (numbers[-1] in ends)])
        found.append(Band(_start(number), high, grade))
    return found


def where(found: Sequence[Band], grades: Collection[Grade]) -> list[tuple[float, float]]:
    """Intervals of the inputs with some of the grades."""
    groups = itertools.groupby(found, lambda band: band.grade in grades)
    runs = [list(run) for wanted, run in groups if wanted]
    return [(run[0].low, run[-1].high) for run in runs]


def _start(number: int) -> float:
    """The low end of a sixteenth of an octave by its number in `ErrorCounts.grades`."""
    return band_starts(number) if number >= 0 else -_beyond(~number)


def _stop(number: int) -> float:
    """The high end."""
    return _beyond(number) if number >= 0 else -band_starts(~number)


def _beyond(place: int) -> float:
    """The end away from zero; that of zero and infinity are these themselves."""
    start = band_starts(place)
    if place == 0 or math.isinf(start):
        return start
    return min(band_starts(place + 1), sys.float_info.max)
