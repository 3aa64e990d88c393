"""Distance from the true value, in units of its last place.

    error = |got - exact| / max(ulp(exact), smallest subnormal)

where ulp(x) = 2^(k - p + 1) for 2^k <= |x| < 2^(k+1) and p bits of significand, Goldberg's
definition extended to the reals (Muller, "On the definition of ulp(x)", INRIA RR-5504, 2005). A
result that is infinite or NaN where the correctly rounded value is not, or the other way round, is
infinitely wrong.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy import ndarray


@dataclass(frozen=True, slots=True)
class Truth:
    """True values, in the form in which a result is held against them.

    Attributes
    ----------
    nearest : ndarray
        The true values correctly rounded (to nearest, ties to even) to the dtype of the results.
    residual : ndarray of float64
        What rounding took away, in ULP.
    exponent : ndarray of int
        Base-2 logarithm of one ULP.
    """

    nearest: ndarray
    residual: ndarray
    exponent: ndarray

    @classmethod
    def from_exact(cls, values: Iterable[Any], dtype: np.dtype) -> Truth:
        """Take over true values from mpmath.

        Parameters
        ----------
        values : iterable of mpmath.mpf
            True values.
        dtype : numpy.dtype
            dtype of the results, float32 or float64.

        Returns
        -------
        Truth
            Exact: rounding to nearest is done on integers.
        """
        rows = [_split(value, np.finfo(dtype)) for value in values]
        nearest, residual, exponent = zip(*rows, strict=True) if rows else ((), (), ())
        return cls(np.array(nearest, dtype), np.array(residual, float), np.array(exponent, int))

    @classmethod
    def from_pairs(
        cls, heads: ndarray, tails: ndarray, exponents: ndarray, dtype: np.dtype
    ) -> Truth:
        """Take over values as pairs of doubles, (head + tail) 2^-exponent each.

        Parameters
        ----------
        heads, tails : ndarray of float64, shape (n,)
            A tail is at most half an ULP of its head.
        exponents : ndarray of int64, shape (n,)
            Binary exponents, with the sign changed.
        dtype : numpy.dtype
            dtype of the results, float32 or float64.

        Returns
        -------
        Truth
            As wrong as the pairs are; near the middle between two floats `nearest` may be the
            other one.
        """
        lowest, digits, _ = _format(np.finfo(dtype))
        with np.errstate(over="ignore", under="ignore"):
            nearest = np.ldexp(heads, -exponents).astype(dtype)
        usable = np.isfinite(nearest) & (heads != 0)
        fraction, binade = np.frexp(heads)
        # A power of two less a tail is in the binade below.
        below = (np.signbit(heads) != np.signbit(tails)) & (tails != 0)
        binade = binade - ((np.abs(fraction) == 0.5) & below)
        ulp = np.where(usable, np.maximum(binade - exponents - digits, lowest), lowest)
        with np.errstate(all="ignore"):
            units = np.ldexp(heads, -exponents - ulp) - np.ldexp(nearest.astype(np.float64), -ulp)
            residual = units + np.ldexp(tails, -exponents - ulp)
        return cls(nearest, np.where(usable, residual, 0.0), ulp)

    def error(self, got: ndarray, *, nonnegative: bool = False) -> ndarray:
        """ULP error of each result.

        Parameters
        ----------
        got : ndarray
            Results, in the shape and dtype of `nearest`.
        nonnegative : bool, default False
            Whether the true values are known not to be negative; then -0.0 is infinitely wrong.

        Returns
        -------
        ndarray of float64
            0 where a NaN is expected and found. What is finite and not equal gets a finite error.
        """
        if got.dtype != self.nearest.dtype:
            raise TypeError(f"got has dtype {got.dtype}; accepted is {self.nearest.dtype}")
        finite = np.isfinite(got) & np.isfinite(self.nearest)
        with np.errstate(over="ignore", under="ignore"):
            difference = np.where(finite, got, 0.0) - np.where(finite, self.nearest, 0.0)
            steps = np.ldexp(difference.astype(np.float64), -self.exponent) - self.residual
        error = np.minimum(np.abs(steps), np.finfo(np.float64).max)
        same = (got == self.nearest) | (np.isnan(got) & np.isnan(self.nearest))
        error = np.where(finite, error, np.where(same, 0.0, np.inf))
        if nonnegative:
            error = np.where(np.signbit(got) & (got == 0), np.inf, error)
        return np.asarray(error)

    def __getitem__(self, key: Any) -> Truth:
        return Truth(self.nearest[key], self.residual[key], self.exponent[key])


def _format(info: np.finfo) -> tuple[int, int, int]:
    """Exponent of the smallest subnormal, bits of significand, exponent of what overflows."""
    return int(info.minexp) - int(info.nmant), int(info.nmant) + 1, int(info.maxexp)


def _split(value: Any, info: np.finfo) -> tuple[float, float, int]:
    """Nearest float, residual and ULP exponent of one mpmath value."""
    lowest, digits, overflow = _format(info)
    sign, significand, exponent, bits = value._mpf_
    if not significand:
        return float(value), 0.0, lowest
    ulp = max(exponent + bits - digits, lowest)
    if exponent + bits < lowest - 64:
        # e^-|s| for |s| of 1e308 has an exponent of a thousand bits; it is no part of an ULP.
        return (-0.0 if sign else 0.0), 0.0, ulp
    drop = ulp - exponent
    if drop <= 0:
        units, residual = significand << -drop, 0.0
    else:
        units, rest = significand >> drop, significand & ((1 << drop) - 1)
        half = 1 << (drop - 1)
        if up := rest > half or (rest == half and units & 1):
            units += 1
        residual = (rest - (up << drop)) / (1 << drop)
    if units.bit_length() + ulp > overflow:
        return (-math.inf if sign else math.inf), 0.0, ulp
    nearest = math.ldexp(units, ulp)
    return (-nearest, -residual, ulp) if sign else (nearest, residual, ulp)
