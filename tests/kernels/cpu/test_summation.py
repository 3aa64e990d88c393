"""Sum and mean are within 1 ULP of the exact sum of the losses, in little memory.

The losses are those of float64. Where they all err alike, the sum of whole sections is closer to
the truth than theirs.
"""

from __future__ import annotations

import tracemalloc
from fractions import Fraction

import mpmath
import numpy as np
import pytest

import xent_numba as xn
from xent_numba.accuracy import double_double
from xent_numba.accuracy.summation import exact_sum
from xent_numba.kernels.cpu.log_of_product import SECTION

SIZES = (1, 255, 257, 2047, 2049, 100_003, 600_001)


def scores(kind, n, dtype):
    rng = np.random.default_rng(11)
    if kind == "constant":
        return np.full(n, 0.1, dtype)  # every addition errs in the same direction
    if kind == "one large":
        s = np.full(n, 30.0, dtype)
        s[n // 2] = -1e6
        return s
    return (rng.standard_normal(n) * 20).astype(dtype)


def assert_within_1_ulp(got, exact):
    assert abs(Fraction(float(got)) - exact) <= Fraction(float(np.spacing(got)))


def weighted(losses, weights):
    """Losses times weights, as heads and tails: a rounding of a large one would be seen."""
    if weights is None:
        return (losses,)
    heads, tails = losses.copy(), np.zeros(losses.size)
    exponents = np.zeros(losses.size, np.int64)
    double_double.multiply(weights.astype(float), 1.0, heads, tails, exponents)
    return np.ldexp(heads, -exponents), np.ldexp(tails, -exponents)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("kind", ["constant", "one large", "random"])
@pytest.mark.parametrize("n", SIZES)
def test_against_fsum(kind, n, dtype):
    s, y = scores(kind, n, dtype), np.ones(n, np.int8)
    w = np.random.default_rng(3).random(n).astype(dtype)
    for weight in (None, w):
        exact = sum(
            map(exact_sum, weighted(xn.logistic_loss(s.astype(float), y, reduction="none"), weight))
        )
        divisor = n if weight is None else exact_sum(weight)
        total = xn.logistic_loss(s, y, sample_weight=weight, reduction="sum")
        mean = xn.logistic_loss(s, y, sample_weight=weight, reduction="mean")
        assert_within_1_ulp(total, exact)
        assert_within_1_ulp(mean, exact / divisor)


def logistic(score):
    return mpmath.log1p(mpmath.exp(-score))


def cross_entropy(probability):
    return -mpmath.log(probability)


def cross_entropy_of_other(probability):
    return -mpmath.log1p(-probability)


BOTH = [(np.float32, 0.6), (np.float64, 0.8)]
SINGLE = [(np.float32, 0.6)]
CASES = [
    ("logistic_loss", 1, logistic, -40, 25, BOTH),
    ("logistic_loss", 1, logistic, 25, 100, SINGLE),  # subnormal from 87 on
    ("binary_cross_entropy", 1, cross_entropy, 0, 1, BOTH),
    ("binary_cross_entropy", 1, cross_entropy, 1 - 1e-6, 1, BOTH),
    ("binary_cross_entropy", 1, cross_entropy, 0, 1e-55, BOTH),
    ("binary_cross_entropy", 0, cross_entropy_of_other, 0, 1, BOTH),
    ("binary_cross_entropy", 0, cross_entropy_of_other, 0, 1e-12, BOTH),
    ("binary_cross_entropy", 0, cross_entropy_of_other, 0, 1e-40, SINGLE),
    ("binary_cross_entropy", 0, cross_entropy_of_other, 2.0**-25, 2.0**-24, SINGLE),
    # A product of factors near 1 loses most of these.
    ("binary_cross_entropy", 0, cross_entropy_of_other, 2.0**-31, 2.0**-30, SINGLE),
]


@pytest.mark.parametrize(
    ("operation", "label", "exact", "low", "high", "dtype", "bound"),
    [(*case, *precision) for *case, precisions in CASES for precision in precisions],
)
def test_equal_samples(operation, label, exact, low, high, dtype, bound):
    worst = 0.0
    labels = np.full(3 * SECTION, label, np.int8)
    with mpmath.workdps(60):
        for value in np.random.default_rng(5).uniform(low, high, 40).astype(dtype):
            got = getattr(xn, operation)(np.full(labels.size, value), labels, reduction="sum")
            true = labels.size * exact(mpmath.mpf(float(value)))
            if np.isfinite(got):
                unit = np.spacing(dtype(true), dtype=dtype)
                worst = max(worst, abs(float((mpmath.mpf(float(got)) - true) / float(unit))))
            else:
                assert true > np.finfo(dtype).max
    assert worst <= bound


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_equal_samples_with_soft_labels(dtype):
    rng = np.random.default_rng(13)
    tiny = 2.0 ** -rng.uniform(10, 120, 30)
    p = np.concatenate([rng.random(60), tiny, 1 - 2.0 ** -rng.uniform(1, 23, 30)]).astype(dtype)
    y = np.concatenate([rng.random(90), 2.0 ** -rng.uniform(1, 30, 30)]).astype(dtype)
    n = 3 * SECTION
    with mpmath.workdps(60):
        for one, share in zip(p, y, strict=True):
            # Some that are certain, and right, are multiplied up with the others.
            first, labels = np.full(n, one), np.full(n, share)
            first[:7] = labels[:7] = 1
            got = xn.binary_cross_entropy(first, labels, reduction="sum")
            probability, weight = mpmath.mpf(float(one)), mpmath.mpf(float(share))
            true = (n - 7) * (
                weight * cross_entropy(probability)
                + (1 - weight) * cross_entropy_of_other(probability)
            )
            unit = np.spacing(dtype(true), dtype=dtype)
            assert abs(float((mpmath.mpf(float(got)) - true) / float(unit))) <= 0.6, (one, share)


@pytest.mark.parametrize("labels", [np.float32, np.float64])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(("p", "share"), [(2.0**-60, 2.0**-50), (0.1, 0.3), (0.9, 1 - 2.0**-20)])
def test_a_soft_sum_is_that_of_its_samples(p, share, dtype, labels):
    rng = np.random.default_rng(17)
    first = (p * rng.uniform(0.9, 1.1, 3 * SECTION)).astype(dtype)
    soft = (share * rng.uniform(0.9, 1.0, first.size)).astype(labels)
    exact = exact_sum(xn.binary_cross_entropy(first, soft, reduction="none"))
    assert_within_1_ulp(xn.binary_cross_entropy(first, soft, reduction="sum"), exact)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_certainty_among_soft_labels(dtype):
    p, labels = np.full(2 * SECTION, 0.5, dtype), np.full(2 * SECTION, 0.25, dtype)
    for certain in (0, 1, -0.0):
        p[7] = labels[7] = certain
        exact = exact_sum(xn.binary_cross_entropy(p, labels, reduction="none"))
        assert_within_1_ulp(xn.binary_cross_entropy(p, labels, reduction="sum"), exact)
        labels[7] = 0.25
        assert xn.binary_cross_entropy(p, labels, reduction="sum") == np.inf


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_section_with_other_values_is_added_sample_by_sample(dtype):
    p = np.random.default_rng(7).random(3 * SECTION).astype(dtype)
    labels = (p > 0.3).astype(dtype)
    labels[SECTION + 5] = 0.25
    samples = xn.binary_cross_entropy(p, labels, reduction="none")
    got = xn.binary_cross_entropy(p, labels, reduction="sum")
    assert_within_1_ulp(got, exact_sum(samples))
    s = np.log(p / (1 - p))
    samples = xn.binary_cross_entropy_with_logits(s, labels, reduction="none")
    got = xn.binary_cross_entropy_with_logits(s, labels, reduction="sum")
    assert_within_1_ulp(got, exact_sum(samples))
    for bad in (-1, np.nan):
        labels[SECTION + 5] = bad
        with pytest.raises(ValueError, match=r"labels\[2053\]"):
            xn.binary_cross_entropy(p, labels)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_which_probabilities_a_section_takes(dtype):
    p = np.random.default_rng(7).random(2 * SECTION).astype(dtype)
    labels = np.zeros(p.size, np.int8)
    tiny, above = np.nextafter(dtype(0), dtype(1)), np.nextafter(dtype(1), dtype(2))
    for good in (-0.0, 0.0, tiny, 1 - np.finfo(dtype).epsneg):
        p[SECTION - 1] = good
        samples = xn.binary_cross_entropy(p, labels, reduction="none")
        got = xn.binary_cross_entropy(p, labels, reduction="sum")
        assert_within_1_ulp(got, exact_sum(samples))
    for bad in (-tiny, above, -1, 2, np.inf, -np.inf, np.nan):
        p[SECTION - 1] = bad
        with pytest.raises(ValueError, match=r"probabilities\[2047\]"):
            xn.binary_cross_entropy(p, labels)


@pytest.mark.parametrize("score", [30.0, 38.0, 700.0, 740.0])
def test_tiny_losses_are_added_sample_by_sample(score):
    s, labels = np.full(2 * SECTION, score), np.ones(2 * SECTION, np.int8)
    p = np.full(s.size, xn.sigmoid(-score))
    for loss, args in ((xn.logistic_loss, (s, labels)), (xn.binary_cross_entropy, (p, 1 - labels))):
        exact = exact_sum(loss(*args, reduction="none"))
        assert_within_1_ulp(loss(*args, reduction="sum"), exact)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_wrong_certainty_among_many(dtype):
    p = np.full(2 * SECTION, 0.5, dtype)
    for tiny in (1e-30, np.finfo(dtype).smallest_normal, np.finfo(dtype).smallest_subnormal):
        p[7:900] = tiny
        exact = exact_sum(xn.binary_cross_entropy(p, np.ones(p.size, np.int8), reduction="none"))
        total = xn.binary_cross_entropy(p, np.ones(p.size, np.int8), reduction="sum")
        assert_within_1_ulp(total, exact)
    p[7] = 0
    assert xn.binary_cross_entropy(p, np.ones(p.size, np.int8), reduction="sum") == np.inf
    right = xn.binary_cross_entropy(np.zeros_like(p), np.zeros(p.size, np.int8), reduction="sum")
    assert right == 0
    assert not np.signbit(right)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("n", [3, 100_003])
def test_infinite_and_nan(dtype, n):
    s, y = np.zeros(n, dtype), np.ones(n, np.int8)
    s[n // 2] = -np.inf
    assert xn.logistic_loss(s, y, reduction="sum") == np.inf
    assert xn.logistic_loss(s, y) == np.inf
    s[1] = np.nan
    assert np.isnan(xn.logistic_loss(s, y, reduction="sum"))
    s[:] = [np.nan] + [0] * (n - 2) + [np.inf]  # each in a section of its own
    for labels in (np.zeros(n, np.int8), np.zeros(n, dtype), np.full(n, 0.25)):
        assert np.isnan(xn.binary_cross_entropy_with_logits(s, labels, reduction="sum"))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(("score", "label"), [(-np.inf, 0), (np.inf, 1)])
def test_an_infinite_score_that_is_right_costs_nothing_among_soft_labels(score, label, dtype):
    s, y = np.zeros(2 * SECTION, dtype), np.full(2 * SECTION, 0.25, dtype)
    s[7], y[7] = score, label
    exact = exact_sum(xn.binary_cross_entropy_with_logits(s, y, reduction="none"))
    assert_within_1_ulp(xn.binary_cross_entropy_with_logits(s, y, reduction="sum"), exact)


@pytest.mark.parametrize("step", [1, 2])
def test_memory(step):
    s, y = np.zeros(2_000_000)[::step], np.ones(2_000_000, np.int8)[::step]
    xn.logistic_loss(s, y)
    tracemalloc.start()
    xn.logistic_loss(s, y)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 65536
