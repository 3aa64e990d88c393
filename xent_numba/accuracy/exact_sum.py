"""Sums of doubles without rounding."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
from numpy import ndarray

_TOGETHER = 1 << 20
_HALF = 1 << 27


def exact_sum(values: ndarray) -> Fraction:
    """The sum of finite doubles: whole numbers of 2^-1128, the halves of each double apart.

    A half of a double has 27 bits, so that 2^20 of them add up exactly in a double.
    """
    total = 0
    for start in range(0, values.size, _TOGETHER):
        fractions, exponents = np.frexp(values[start : start + _TOGETHER])
        scaled = fractions * float(_HALF)
        high = np.floor(scaled)
        for half, offset in ((high, 27), ((scaled - high) * float(_HALF), 0)):
            sums = np.bincount(exponents + 1074, half)
            for exponent in np.flatnonzero(sums).tolist():
                total += int(sums[exponent]) << (exponent + offset)
    return Fraction(total, 1 << (1074 + 54))
