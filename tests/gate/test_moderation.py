"""Shrunk variances: that the model's parameters are found, and what is left alone."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.special import polygamma

from xent_numba.gate import moderation
from xent_numba.gate.moderation import moderated


@pytest.mark.parametrize("d0", [4.0, 20.0, 100.0])
def test_what_benchmarks_have_in_common_is_found(d0):
    """Of 20,000, drawn as the model has them."""
    rng = np.random.default_rng(1)
    true = d0 * 0.3 / rng.chisquare(d0, 20_000)
    d = np.full(20_000, 5.0)
    found, freedom = moderated(true * rng.chisquare(5, 20_000) / 5, d)
    # By the formula of two of them, as they came out.
    more = freedom[0] - 5
    assert more == pytest.approx(d0, rel=0.1)
    assert np.mean((found - true) ** 2) < np.mean((true * (rng.chisquare(5, 20_000) / 5 - 1)) ** 2)
    assert found.min() == pytest.approx(more * 0.3 / freedom[0], rel=0.1)


def test_variances_that_are_alike_become_one():
    rng = np.random.default_rng(2)
    found, freedom = moderated(rng.chisquare(5, 5000) / 5, np.full(5000, 5.0))
    assert freedom[0] > 40
    assert np.mean(found) == pytest.approx(1, abs=0.05)
    assert np.std(found) < 0.1


def test_none_and_few_are_left_alone():
    few = np.array([*range(moderation.FEWEST), 0.0])
    found, freedom = moderated(few, np.full(few.size, 5.0))
    assert (found.tolist(), freedom.tolist()) == (few.tolist(), [5.0] * few.size)
    some = np.array([1.0, *range(1, moderation.FEWEST), 0.0])
    found, freedom = moderated(some, np.full(some.size, 5.0))
    assert (found[-1], freedom[-1]) == (0, 5)
    assert found[0] > 1
    assert moderated(np.zeros(0), np.zeros(0))[0].size == 0


@pytest.mark.parametrize("x", [1e-3, 0.5, 1.0, 3.0, 500.0])
def test_the_inverse_of_the_trigamma_function(x):
    assert moderation.inverse_trigamma(float(polygamma(1, x))) == pytest.approx(x, rel=1e-8)
