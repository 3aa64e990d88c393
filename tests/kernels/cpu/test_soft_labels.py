"""Soft labels: within 1 ULP for any of them, and hard labels have their bits among them."""

from __future__ import annotations

import numpy as np
import pytest

import xent_numba as xn
from xent_numba.accuracy import oracle
from xent_numba.accuracy.ulp import Truth
from xent_numba.kernels.cpu.log_of_product import SECTION
from xent_numba.operations import OPERATIONS

FLOATS = (np.float32, np.float64)
LOSS, BOTH = "binary_cross_entropy", "binary_cross_entropy_with_logits_and_grad"


def shares(rng, size, dtype):
    """Values in (0, 1) of every order of magnitude, beside 1/2, and beside 1."""
    digits = np.finfo(dtype).nmant + 1
    lowest = -np.log2(float(np.finfo(dtype).smallest_subnormal))
    kinds = [
        rng.random(size),
        2.0 ** -rng.uniform(0, lowest, size),
        0.5 + rng.normal(0, 1e-3, size),
        1 - 2.0 ** -rng.uniform(0, digits, size),
    ]
    tiny = np.finfo(dtype).smallest_subnormal
    values = np.choose(rng.integers(0, len(kinds), size), kinds).astype(dtype)
    return values.clip(tiny, 1 - np.finfo(dtype).epsneg)


def scores(rng, size, dtype):
    kinds = [
        rng.normal(0, 4, size),
        rng.normal(0, 300, size),
        rng.choice([-1, 1], size) * 2.0 ** rng.uniform(-60, 11, size),
    ]
    return np.choose(rng.integers(0, len(kinds), size), kinds).astype(dtype)


def error(name, got, first, labels, truth=oracle.exact):
    pairs = zip(first.tolist(), labels.tolist(), strict=True)
    exact = [truth(OPERATIONS[name], *pair) for pair in pairs]
    return Truth.from_exact(exact, got.dtype).error(got)


WORST = {
    # Found by search; the second is where 1 - y, the third where -log(1 - p) is all in a low part.
    np.float32: [(0.7398703, 0.4155281), (0.11073745, 3.279e-42), (1e-44, 1e-44), (0.5, 0.9999999)],
    np.float64: [
        (0.7398703, 0.4155281),
        (3.8973468617953115e-24, 4.856433153342324e-26),
        (6.629708311208599e-71, 1.5970482748398523e-81),
        (5e-324, 1e-320),
    ],
}


@pytest.mark.parametrize("labels", FLOATS)
@pytest.mark.parametrize("dtype", FLOATS)
def test_probabilities(dtype, labels):
    rng = np.random.default_rng(41)
    p, y = shares(rng, 4000, dtype), shares(rng, 4000, labels)
    n = len(WORST[dtype])
    p[:n], y[:n] = np.array(WORST[dtype]).T
    y[:n] = y[:n].clip(np.finfo(labels).smallest_subnormal)
    assert error(LOSS, xn.binary_cross_entropy(p, y, reduction="none"), p, y).max() <= 1


@pytest.mark.parametrize("labels", FLOATS)
@pytest.mark.parametrize("dtype", FLOATS)
def test_scores(dtype, labels):
    rng = np.random.default_rng(43)
    s, y = scores(rng, 4000, dtype), shares(rng, 4000, labels)
    s[:2], y[:2] = (66.84265, 254.4022453928206), (0.9999999, 0.4995211054822409)
    loss, gradient = xn.binary_cross_entropy_with_logits_and_grad(s, y, reduction="none")
    assert error(BOTH, loss, s, y).max() <= 1
    # A ULP of the difference, and where it is nearly 0 what is documented of g(s).
    of_g = 2.0 ** {np.float32: -52, np.float64: -58}[dtype]
    units = error(BOTH, gradient, s, y, oracle.exact_gradient)
    assert (units <= 1 + of_g / np.spacing(np.abs(gradient)).astype(float)).all()


@pytest.mark.parametrize("dtype", FLOATS)
def test_ends(dtype):
    y = np.array([0.25, 5e-324, 1 - 2.0**-53, 0.25, 0.25, 0.25])
    p = np.array([0, 0, 1, 1, 0, 1], dtype)
    assert (xn.binary_cross_entropy(p, y, reduction="none") == np.inf).all()
    s = np.array([np.inf, -np.inf, np.inf, -np.inf, np.nan, 0], dtype)
    loss, gradient = xn.binary_cross_entropy_with_logits_and_grad(s, y, reduction="none")
    assert (loss[:4] == np.inf).all()
    assert np.isnan(loss[4])
    assert np.isnan(gradient[4])
    np.testing.assert_array_equal(gradient[:4], [0.75, dtype(-5e-324), dtype(2.0**-53), -0.25])


@pytest.mark.parametrize("dtype", FLOATS)
def test_a_hard_label_has_its_bits_among_soft_ones(dtype):
    rng = np.random.default_rng(47)
    n = 3 * SECTION
    s, p = rng.normal(0, 5, n).astype(dtype), rng.random(n).astype(dtype)
    hard = rng.integers(0, 2, n).astype(dtype)
    soft = np.where(rng.random(n) < 0.3, rng.random(n), hard).astype(dtype)
    kept = (soft == 0) | (soft == 1)
    for function, first in ((xn.binary_cross_entropy, p), (xn.binary_cross_entropy_with_logits, s)):
        alone = function(first, hard.astype(np.int8), reduction="none")
        among = function(first, soft, reduction="none")
        np.testing.assert_array_equal(among[kept], alone[kept])
    alone, among = (
        xn.binary_cross_entropy_with_logits_and_grad(s, y, reduction="none")[1]
        for y in (hard, soft)
    )
    np.testing.assert_array_equal(among[kept], alone[kept])


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("size", [1e-80, 1e-30, 1e-12, 1e-9])
def test_a_sum_of_hard_labels_has_the_same_bits_in_every_dtype(size, dtype):
    rng = np.random.default_rng(53)
    y = rng.integers(0, 2, 3 * SECTION).astype(np.int8)
    # Samples that are alike err alike: the sum shows how they were added.
    smallest = np.finfo(dtype).smallest_subnormal
    for tiny in (rng.random(10) * size).astype(dtype).clip(smallest):
        for p in (np.where(y == 1, 1 - tiny, tiny), np.full(y.size, tiny)):
            s = np.where(p == tiny, 1, -1).astype(dtype) * np.log(tiny).clip(-1e4)
            expected = xn.binary_cross_entropy(p, y, reduction="sum")
            same = xn.binary_cross_entropy_with_logits(s, y, reduction="sum")
            for labels in map(y.astype, (bool, np.int64, *FLOATS)):
                assert xn.binary_cross_entropy(p, labels, reduction="sum") == expected
                assert xn.binary_cross_entropy_with_logits(s, labels, reduction="sum") == same


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("place", [0, 700, SECTION + 5])
def test_bad_labels_among_soft_ones(dtype, place):
    y = np.full(2 * SECTION, 0.3, dtype)
    for bad in (-np.finfo(dtype).smallest_subnormal, 1 + np.finfo(dtype).eps, np.nan):
        y[place] = bad
        for function in (xn.binary_cross_entropy, xn.binary_cross_entropy_with_logits):
            with pytest.raises(ValueError, match=rf"labels\[{place}\]"):
                function(np.full(y.size, 0.5, dtype), y)
