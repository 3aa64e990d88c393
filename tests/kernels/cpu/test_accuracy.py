"""The kernels' error over a sample of all float32 inputs, and around float64's seams."""

from __future__ import annotations

import mpmath
import numpy as np
import pytest
from numba import njit, prange

import xent_numba as xn
from xent_numba.kernels.cpu.losses import hard_cross_entropy, logistic_loss, sigmoid

STRIDE = 4093  # prime: no bit of the pattern keeps a value
TWICE = 160  # bits, well beyond float64


def float32_sample(low, high):
    """Every STRIDE-th float32 from low to high, by bit pattern, both signs, and both ends."""
    first, last = (int(np.float32(x).view(np.int32)) for x in (low, high))
    positive = np.arange(first, last + 1, STRIDE, dtype=np.int32).view(np.float32)
    return np.concatenate([positive, np.float32([low, high])])


def ulp_error(got, true):
    """|got - true| in units of the last place of the exact value, subnormal numbers included."""
    exponent = np.frexp(true)[1]
    info = np.finfo(got.dtype)
    ulp = np.ldexp(1.0, np.maximum(exponent - 1, info.minexp) - info.nmant)
    return np.abs(got.astype(np.float64) - true) / ulp


@njit(parallel=True)
def map_sigmoid(x):
    out = np.empty_like(x)
    for i in prange(x.size):
        out[i] = sigmoid(x[i])
    return out


@njit(parallel=True)
def map_logistic(x):
    out = np.empty_like(x)
    for i in prange(x.size):
        out[i] = logistic_loss(x[i])
    return out


@njit(parallel=True)
def map_minus_log(x):
    out = np.empty_like(x)
    for i in prange(x.size):
        out[i] = hard_cross_entropy(x[i], True)
    return out


@njit(parallel=True)
def map_minus_log1m(x):
    out = np.empty_like(x)
    for i in prange(x.size):
        out[i] = hard_cross_entropy(x[i], False)
    return out


def exact_sigmoid(x):
    return 1 / (1 + mpmath.exp(-x))


def exact_logistic(x):
    return -x + mpmath.log1p(mpmath.exp(x)) if x < 0 else mpmath.log1p(mpmath.exp(-x))


def exact_minus_log(x):
    return -mpmath.log(x)


def exact_minus_log1m(x):
    return -mpmath.log1p(-x)


def double_sigmoid(x):
    e = np.exp(-np.abs(x))
    return np.where(x < 0, e, 1.0) / (1.0 + e)


def double_logistic(x):
    return np.maximum(-x, 0.0) + np.log1p(np.exp(-np.abs(x)))


FUNCTIONS = {
    "sigmoid": (map_sigmoid, exact_sigmoid, double_sigmoid),
    "logistic_loss": (map_logistic, exact_logistic, double_logistic),
    "minus_log": (map_minus_log, exact_minus_log, lambda p: -np.log(p)),
    "minus_log1m": (map_minus_log1m, exact_minus_log1m, lambda p: -np.log1p(-p)),
}
SCORES = ("sigmoid", "logistic_loss")


def exact(function, values):
    with mpmath.workprec(TWICE):
        return [function(mpmath.mpf(float(v))) for v in values]


@pytest.mark.parametrize("name", FUNCTIONS)
def test_float64_reference_is_adequate(name):
    """It is within 2^-20 of a float32 ulp of the truth, so that 1 ULP can be told by it."""
    _, true, double = FUNCTIONS[name]
    x = float32_sample(2**-149, 150.0 if name in SCORES else 1 - 2.0**-24)[::200]
    if name in SCORES:
        x = np.concatenate([x, -x])
    reference = double(x.astype(np.float64))
    for r, t in zip(reference, exact(true, x), strict=True):
        assert abs(mpmath.mpf(float(r)) - t) <= mpmath.mpf(2) ** -43 * t + mpmath.mpf(2) ** -1074


@pytest.mark.parametrize("name", FUNCTIONS)
def test_float32_sample(name):
    kernel, _, double = FUNCTIONS[name]
    x = float32_sample(2**-149, 150.0 if name in SCORES else 1 - 2.0**-24)
    if name in SCORES:
        x = np.concatenate([x, -x])
    assert ulp_error(kernel(x), double(x.astype(np.float64))).max() <= 1.0


def seams(name):
    """Values around every point where the kernel's reduction changes."""
    if name in SCORES:
        steps = (np.arange(-20, 1077) + 0.5) * np.log(2.0)
        points = np.concatenate([steps, [0.4375, 0.5, 1e-300, 2.0**-1074, 708.4, 745.1]])
        points = np.concatenate([points, -points])
    else:
        octaves = np.ldexp(1.0, -np.arange(0, 1074, 7))
        points = np.concatenate([octaves, octaves * np.sqrt(0.5), 1 - octaves[1:8]])
    around = np.concatenate([np.nextafter(points, -np.inf), points, np.nextafter(points, np.inf)])
    return around if name in SCORES else around[(around > 0) & (around < 1)]


@pytest.mark.parametrize("name", FUNCTIONS)
def test_float64_seams_and_sample(name):
    kernel, true, _ = FUNCTIONS[name]
    rng = np.random.default_rng(20240229)
    draws = rng.normal(0, 4, 2000) if name in SCORES else rng.random(2000)
    x = np.concatenate([seams(name), draws])
    worst = 0.0
    with mpmath.workprec(TWICE):
        for g, t in zip(kernel(x), exact(true, x), strict=True):
            exponent = max(mpmath.frexp(t)[1] - 1, -1022) - 52
            worst = max(worst, float(abs(mpmath.mpf(float(g)) - t) / mpmath.mpf(2) ** exponent))
    assert worst <= 1.0


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_special_values(dtype):
    x = np.array([np.inf, -np.inf, np.nan, 0.0, -0.0], dtype)
    np.testing.assert_array_equal(map_sigmoid(x), np.array([1, 0, np.nan, 0.5, 0.5], dtype))
    losses = map_logistic(x)
    half = dtype(np.log(2))
    np.testing.assert_array_equal(losses, np.array([0, np.inf, np.nan, half, half], dtype))
    assert not np.signbit(losses[0])
    ends = np.array([0, 1], dtype)
    np.testing.assert_array_equal(map_minus_log(ends), np.array([np.inf, 0], dtype))
    np.testing.assert_array_equal(map_minus_log1m(ends), np.array([0, np.inf], dtype))
    assert not np.signbit(map_minus_log(ends)[1])
    assert not np.signbit(map_minus_log1m(ends)[0])


def test_hard_inputs():
    """Where a polynomial of the exponential one degree lower left more than an ULP."""
    for text in ("0x1.9fb26f5be0fe6p+4", "0x1.51fe535e89af4p+4", "0x1.899f17abec74ap+4"):
        score = float.fromhex(text)
        loss = xn.logistic_loss(np.array([score]), np.ones(1, np.int8), reduction="none")[0]
        with mpmath.workprec(200):
            true = mpmath.log1p(mpmath.exp(-mpmath.mpf(score)))
            assert abs(mpmath.mpf(float(loss)) - true) < np.spacing(loss)
