"""Where a formula breaks by nature, as data: intervals, and the floats at which exp gives way."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np


@dataclass(frozen=True, slots=True)
class KnownFailure:
    """A closed interval of the first argument on which a result is wrong by nature.

    Tests hold it to be wrong on all of the interval, so a failure that has gone is noticed too.

    Attributes
    ----------
    reason : str
        What goes wrong, for the reader of a report.
    low, high : float
        The interval of the score or probability.
    label : float or None
        The hard label it happens with; None for every label. A soft label is of both classes, and
        fails where one of them does, unless the other's part hides it.
    dtype : {"float32", "float64"} or None
        The dtype it happens with; None for both.
    """

    reason: str
    low: float
    high: float
    label: float | None = None
    dtype: str | None = None

    def covers(self, first: Any, label: Any, dtype: str) -> Any:
        """Whether the failure is declared for an input, or for each of an array of them."""
        inside = (self.low <= first) & (first <= self.high) & (self.dtype in (None, dtype))
        if self.label is None:
            return inside
        if label is None:
            return inside & False
        return inside & ((label == self.label) | ((label > 0) & (label < 1)))


class Cliffs(NamedTuple):
    """Where an exponential breaks, as the smallest float at which it does.

    Attributes
    ----------
    overflow : float
        exp(x) is infinite.
    subnormal : float
        exp(-x) is subnormal.
    zero : float
        exp(-x) is the smallest subnormal.
    largest : float
        Largest finite float.
    """

    overflow: float
    subnormal: float
    zero: float
    largest: float

    def vanishes(self, ulp: float) -> float:
        """Return the x from which on zero is within `ulp` steps of exp(-x)."""
        return self.zero - math.log(ulp)


CLIFFS = {
    "float32": Cliffs(88.722839, 87.336545, 149 * math.log(2), float(np.finfo(np.float32).max)),
    "float64": Cliffs(
        709.7827128933841, 708.3964185322642, 1074 * math.log(2), float(np.finfo(np.float64).max)
    ),
}
