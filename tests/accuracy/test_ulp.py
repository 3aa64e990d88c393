"""ULP errors against their definition, in exact rational arithmetic."""

from __future__ import annotations

import math
from fractions import Fraction

import mpmath
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from xent_numba.accuracy.ulp import Truth

FORMATS = {"float32": (24, -149, 128), "float64": (53, -1074, 1024)}
INF = math.inf


def exact_error(got: float, exact: Fraction, dtype: str) -> Fraction:
    digits, lowest, _ = FORMATS[dtype]
    exponent = lowest
    if exact:
        # 2^k <= |exact| < 2^(k+1), found without a logarithm.
        k = abs(exact).numerator.bit_length() - abs(exact).denominator.bit_length()
        k -= abs(exact) < Fraction(2) ** k
        exponent = max(k - digits + 1, lowest)
    return abs(Fraction(got) - exact) / Fraction(2) ** exponent


def ulp_error(got, values):
    return Truth.from_exact(values, got.dtype).error(got)


def to_mpf(value: Fraction) -> mpmath.mpf:
    with mpmath.workprec(4000):
        return mpmath.mpf(value.numerator) / value.denominator


@pytest.mark.parametrize("dtype", FORMATS)
@given(data=st.data())
def test_error_is_as_defined(dtype, data):
    width = int(dtype[-2:])
    near = data.draw(st.floats(width=width, allow_nan=False, allow_infinity=False))
    shift = Fraction(data.draw(st.integers(-(2**20), 2**20)), 2**18)
    digits, lowest, _ = FORMATS[dtype]
    exact = Fraction(near) + shift * Fraction(2) ** max(math.frexp(near)[1] - digits, lowest)
    largest = Fraction(float(np.finfo(dtype).max))
    if abs(exact) > largest:
        exact = largest if exact > 0 else -largest
    got = np.array([near], dtype)
    expected = float(exact_error(near, exact, dtype))
    # Dyadic rationals: mpmath holds them exactly.
    assert ulp_error(got, [to_mpf(exact)])[0] == pytest.approx(expected, rel=1e-12, abs=1e-300)


@pytest.mark.parametrize("dtype", FORMATS)
@given(data=st.data())
def test_rounding_is_to_nearest_even(dtype, data):
    """Against Python's own rounding of integer ratios; float32 by two candidates."""
    numerator = data.draw(st.integers(-(2**80), 2**80))
    power = data.draw(st.integers(-1200, 900))
    exact = numerator * Fraction(2) ** power
    nearest = Truth.from_exact([to_mpf(exact)], np.dtype(dtype)).nearest[0]
    if dtype == "float64":
        try:
            expected = exact.numerator / exact.denominator
        except OverflowError:
            expected = math.copysign(INF, exact)
        assert nearest == expected
    elif np.isfinite(nearest):
        for neighbour in np.nextafter(nearest, np.float32([-INF, INF])):
            if np.isfinite(neighbour):
                here = abs(Fraction(float(nearest)) - exact)
                assert here <= abs(Fraction(float(neighbour)) - exact)
    else:
        assert abs(exact) >= (2 - Fraction(1, 2**24)) * 2**127


TINY32, MAX32 = 2.0**-149, float(np.finfo(np.float32).max)
HALF_ABOVE_MAX32 = MAX32 + 2.0**103


@pytest.mark.parametrize(
    ("got", "exact", "error"),
    [
        (1.0, 1.0, 0),
        (1 + 2.0**-23, 1.0, 1),
        (1 - 2.0**-24, 1.0, 0.5),
        (1.0, 1 - 2.0**-25, 0.5),
        (0.0, TINY32 / 4, 0.25),
        (TINY32, 0.0, 1),
        (0.0, 3 * TINY32, 3),
        (-0.0, 0.0, 0),
        (INF, INF, 0),
        (-INF, INF, INF),
        (MAX32, INF, INF),
        (INF, MAX32, INF),
        (INF, HALF_ABOVE_MAX32, 0),
        (MAX32, HALF_ABOVE_MAX32, INF),
        (MAX32, MAX32 + 2.0**102, 0.25),
        (INF, MAX32 + 2.0**102, INF),
        (math.nan, math.nan, 0),
        (math.nan, 1.0, INF),
        (0.0, math.nan, INF),
        (INF, math.nan, INF),
    ],
)
def test_float32_cases(got, exact, error):
    result = np.array([got], np.float32)
    assert ulp_error(result, [mpmath.mpf(exact)])[0] == error
    head, tail, exponent = np.array([exact]), np.zeros(1), np.zeros(1, np.int64)
    pairs = Truth.from_pairs(head, tail, exponent, np.dtype(np.float32))
    assert pairs.error(result)[0] == error


@pytest.mark.parametrize("dtype", FORMATS)
@given(data=st.data())
def test_pairs_give_what_exact_values_give(dtype, data):
    """Of every size, at both sides of a power of two, with a tail that decides."""
    head = data.draw(st.floats(0.5, 1, exclude_max=True) | st.sampled_from([0.5, 0.75]))
    tail = head * data.draw(st.integers(-(2**20), 2**20)) * 2.0**-75
    exponent = data.draw(st.integers(-130, 1100))
    exact = (Fraction(head) + Fraction(tail)) * Fraction(2) ** -exponent
    pairs = Truth.from_pairs(
        np.array([head]), np.array([tail]), np.array([exponent]), np.dtype(dtype)
    )
    true = Truth.from_exact([to_mpf(exact)], np.dtype(dtype))
    assert pairs.exponent[0] == true.exponent[0] or not np.isfinite(true.nearest[0])
    for got in (true.nearest, np.nextafter(true.nearest, np.array([1], dtype))):
        expected = true.error(got)[0]
        assert pairs.error(got)[0] == pytest.approx(expected, rel=1e-15, abs=2.0**-50)


def test_a_finite_result_has_a_finite_error():
    assert np.isfinite(ulp_error(np.array([1.0]), [mpmath.mpf(2) ** -2000])[0])
    assert np.isfinite(ulp_error(np.array([-1.7e308]), [mpmath.mpf(1.7e308)])[0])


def test_negative_zero_breaks_the_rule_for_losses():
    zeros = np.array([-0.0, 0.0])
    truth = Truth.from_exact([mpmath.mpf(0)] * 2, zeros.dtype)
    assert truth.error(zeros).tolist() == [0, 0]
    assert truth.error(zeros, nonnegative=True).tolist() == [INF, 0]


def test_dtype_is_not_converted():
    with pytest.raises(TypeError, match="got has dtype float64; accepted is float32"):
        Truth.from_exact([mpmath.mpf(1)], np.dtype(np.float32)).error(np.ones(1))
