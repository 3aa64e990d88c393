"""Weights of any magnitude and dtype, and means whose sum overflows."""

from __future__ import annotations

import warnings

import numpy as np
import pytest

import xent_numba as xn

FLOATS = (np.float32, np.float64)
SCALES = (5e-324 * 4, 1e-305, 1e-50, 1e-44, 1e40, 1e300)


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("n", [3, 5000])
def test_a_weighted_mean_does_not_depend_on_the_scale_of_the_weights(dtype, n):
    rng = np.random.default_rng(n)
    s, y = rng.normal(0, 3, n).astype(dtype), rng.choice([-1, 1], n).astype(np.int8)
    w = rng.integers(1, 4, n).astype(float)
    mean, gradient = xn.logistic_loss_and_grad(s, y, sample_weight=w)
    assert mean == pytest.approx(np.average(xn.logistic_loss(s, y, reduction="none"), weights=w))
    for scale in SCALES:
        scaled = w * scale
        again, slopes = xn.logistic_loss_and_grad(s, y, sample_weight=scaled)
        # The scaled weights are rounded, but for a scale that is a power of two.
        rtol = 0 if scale < 1e-320 else 4 * np.finfo(dtype).eps
        np.testing.assert_allclose(again, mean, rtol=rtol)
        np.testing.assert_allclose(slopes, gradient, rtol=rtol)
        with_gaps = [array.repeat(2)[::2] for array in (s, y, scaled)]
        assert xn.logistic_loss(*with_gaps[:2], sample_weight=with_gaps[2]) == again
        samples = xn.logistic_loss(s, y, sample_weight=scaled, reduction="none")
        total = xn.logistic_loss(s, y, sample_weight=scaled, reduction="sum")
        if np.finfo(dtype).smallest_normal < total < np.inf and samples.min() > 1e-30:
            assert total == pytest.approx(samples.astype(float).sum(), rel=4 * np.finfo(dtype).eps)


def test_float32_weights_that_a_product_with_float32_would_lose():
    p, y = np.full(3, 0.5, np.float32), np.ones(3, np.int8)
    w = np.full(3, 1e-44, np.float32)
    assert xn.binary_cross_entropy(p, y, sample_weight=w) == np.float32(np.log(2))


@pytest.mark.parametrize("n", [3, 3000, 40_000])
def test_a_mean_whose_sum_overflows(n):
    s, y = np.full(n, -1e308), np.ones(n, np.int8)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert xn.logistic_loss(s, y) == 1e308
        assert xn.logistic_loss(s, y, sample_weight=np.full(n, 1e305)) == 1e308
        assert xn.logistic_loss_and_grad(s, y)[0] == 1e308
        assert xn.logistic_loss(s, y, reduction="sum") == np.inf
        s[1] = -np.inf
        assert xn.logistic_loss(s, y) == np.inf


@pytest.mark.parametrize("dtype", FLOATS)
def test_tiny_losses_of_tiny_weights(dtype):
    s, y = np.full(3, 85 if dtype == np.float32 else 700, dtype), np.ones(3, np.int8)
    mean = xn.logistic_loss(s, y)
    assert xn.logistic_loss(s, y, sample_weight=np.full(3, 1e-10)) == mean
    assert xn.logistic_loss(s, y, sample_weight=np.full(3, 1e-300)) == mean


@pytest.mark.parametrize("n", [1, 2000])
def test_a_small_term_of_a_sum_outlives_a_large_weight_of_no_loss(n):
    s, y = np.tile([4e4, 0.0], n), np.ones(2 * n, np.int8)
    w = np.tile([1e300, 1e-300], n)
    total = xn.logistic_loss(s, y, sample_weight=w, reduction="sum")
    assert total == pytest.approx(n * 1e-300 * np.log(2), rel=1e-15)
    chunks = pytest.importorskip("dask.array").from_array(s, chunks=max(1, n // 3))
    assert xn.logistic_loss(chunks, y, sample_weight=w, reduction="sum").compute() == total


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("bad", [-1e-300, np.inf, -np.inf, np.nan])
def test_bad_weights(dtype, bad):
    w = np.full(700, 1e-200)
    w[600] = bad
    with pytest.raises(ValueError, match=r"sample_weight\[600\]"):
        xn.logistic_loss(np.zeros(700, dtype), np.ones(700, np.int8), sample_weight=w)
    with pytest.raises(ValueError, match="sums to 0"):
        xn.logistic_loss(
            np.zeros(700, dtype), np.ones(700, np.int8), sample_weight=0 * w[:600].repeat(2)[:700]
        )
