"""Where an implementation is how good: the grades of a sweep as intervals of its inputs."""

from __future__ import annotations

import math
import sys
from collections.abc import Collection, Sequence
from dataclasses import dataclass

from xent_numba.accuracy.findings import Findings, Grade
from xent_numba.accuracy.tally import band_starts


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


def bands(findings: Findings, domain: tuple[float, float]) -> list[Band]:
    """Bands in ascending order, without gaps; neighbours differ in grade but at the ends.

    Parameters
    ----------
    findings : Findings
        With grades.
    domain : tuple of float
        Ends of the inputs, which stand alone.

    Returns
    -------
    list of Band
        What was swept, and no more. Sixteenths of an octave that hold no float, as there are among
        subnormal numbers, go with those before them.
    """
    numbers = sorted(findings.grades)
    found: list[Band] = []
    for at, number in enumerate(numbers):
        grade = Grade(findings.grades[number])
        low, high = _interval(number)
        following = _interval(numbers[at + 1])[0] if at + 1 < len(numbers) else math.inf
        alone = low in domain
        if alone:
            high = low
        elif low < high and not math.isinf(following):
            high = following
        before = found[-1] if found else None
        if before and before.grade == grade and not alone and before.low not in domain:
            low = found.pop().low
        found.append(Band(low, high, grade))
    return found


def where(found: Sequence[Band], grades: Collection[Grade]) -> list[tuple[float, float]]:
    """Intervals of the inputs with some of the grades."""
    intervals: list[tuple[float, float]] = []
    last = None
    for at, band in enumerate(found):
        if band.grade in grades:
            low = band.low if last is None or last < at - 1 else intervals.pop()[0]
            intervals.append((low, band.high))
            last = at
    return intervals


def _interval(number: int) -> tuple[float, float]:
    """Ends of a sixteenth of an octave by its number in `Findings.grades`."""
    place = number if number >= 0 else ~number
    low = band_starts(place)
    alone = place == 0 or math.isinf(low)
    high = low if alone else min(band_starts(place + 1), sys.float_info.max)
    return (low, high) if number >= 0 else (-high, -low)
