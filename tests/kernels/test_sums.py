"""Sum and mean are within 1 ULP of the exact sum of the samples, in little memory."""

from __future__ import annotations

import math
import tracemalloc
from fractions import Fraction

import numpy as np
import pytest

import xent_numba as xn

SIZES = (1, 255, 257, 2047, 2049, 100_003, 3_000_001)


def scores(kind, n, dtype):
    rng = np.random.default_rng(11)
    if kind == "constant":
        return np.full(n, 0.1, dtype)  # every addition errs in the same direction
    if kind == "one large":
        s = np.full(n, 30.0, dtype)
        s[n // 2] = -1e6
        return s
    return (rng.standard_normal(n) * 20).astype(dtype)


def exact_sum(values):
    """math.fsum, and once more what it rounded off: twice its precision."""
    high = math.fsum(values)
    return Fraction(high) + Fraction(math.fsum([*values, -high]))


def assert_within_1_ulp(got, exact):
    assert abs(Fraction(float(got)) - exact) <= Fraction(float(np.spacing(got)))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("kind", ["constant", "one large", "random"])
@pytest.mark.parametrize("n", SIZES)
def test_against_fsum(kind, n, dtype):
    s, y = scores(kind, n, dtype), np.ones(n, np.int8)
    w = np.random.default_rng(3).random(n).astype(dtype)
    for weight in (None, w):
        samples = xn.logistic_loss(s, y, sample_weight=weight, reduction="none")
        exact = exact_sum(samples)
        divisor = n if weight is None else exact_sum(weight)
        total = xn.logistic_loss(s, y, sample_weight=weight, reduction="sum")
        mean = xn.logistic_loss(s, y, sample_weight=weight, reduction="mean")
        assert_within_1_ulp(total, exact)
        assert_within_1_ulp(mean, exact / divisor)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("n", [3, 100_003])
def test_infinite_and_nan(dtype, n):
    s, y = np.zeros(n, dtype), np.ones(n, np.int8)
    s[n // 2] = -np.inf
    assert xn.logistic_loss(s, y, reduction="sum") == np.inf
    assert xn.logistic_loss(s, y) == np.inf
    s[1] = np.nan
    assert np.isnan(xn.logistic_loss(s, y, reduction="sum"))


@pytest.mark.parametrize("step", [1, 2])
def test_memory(step):
    s, y = np.zeros(2_000_000)[::step], np.ones(2_000_000, np.int8)[::step]
    xn.logistic_loss(s, y)
    tracemalloc.start()
    xn.logistic_loss(s, y)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 65536
