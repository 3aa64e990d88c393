"""Sums of doubles without rounding."""

from __future__ import annotations

from collections import Counter
from fractions import Fraction

import numpy as np
from numpy import ndarray

_TOGETHER = 1 << 20
_HALF = 1 << 27


class ExactSum:
    """Adds doubles without rounding: whole numbers of 2^-1128, the halves of each double apart."""

    def __init__(self) -> None:
        self._total: Counter[int] = Counter()

    def add(self, values: ndarray) -> None:
        """Add finite doubles.

        A half of a double has 27 bits, so that 2^20 of them add up exactly in a double.
        """
        for start in range(0, values.size, _TOGETHER):
            fractions, exponents = np.frexp(values[start : start + _TOGETHER])
            scaled = fractions * float(_HALF)
            high = np.floor(scaled)
            low = (scaled - high) * float(_HALF)
            shifted = exponents + 1074
            for half, offset in ((high, 27), (low, 0)):
                sums = np.bincount(shifted, half)
                for exponent in np.flatnonzero(sums):
                    self._total[int(exponent) + offset] += int(sums[exponent])

    @property
    def exact(self) -> Fraction:
        """The sum."""
        total = sum(count << exponent for exponent, count in self._total.items())
        return Fraction(total, 1 << (1074 + 54))
