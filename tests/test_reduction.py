"""Weights of any magnitude, and means whose sums overflow, of those that compute per sample."""

from __future__ import annotations

import numpy as np
import pytest
from conftest import require

import xent_numba as xn
from xent_numba import registry
from xent_numba.operations import OPERATIONS

#: Fused into one pass, and tested where they are.
FUSED = {"numba_parallel", "numba_cuda"}
PAIRS = [
    (name, operation)
    for name in registry.names()
    if name not in FUSED
    for operation in registry.get(name).operations
    if OPERATIONS[operation].labels
]
SCALES = [2.0**-1022, 1e-305, 1e-50, 1e-44, 1e40, 1e300, 2.0**1020]


@pytest.mark.parametrize(("name", "operation"), PAIRS)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_weighted_mean_does_not_depend_on_the_scale_of_the_weights(name, operation, dtype):
    require(name)
    first = np.array([0.25, 0.5, 0.75], dtype)
    labels = np.array(OPERATIONS[operation].labels.hard)[[0, 1, 1]].astype(np.int8)
    weight = np.array([1.0, 0.5, 3.0])

    def mean(weight):
        found = getattr(xn, operation)(first, labels, sample_weight=weight, implementation=name)
        return np.hstack(found if OPERATIONS[operation].gradient else [found])

    expected = mean(weight)
    losses = getattr(xn, operation)(first, labels, reduction="none", implementation=name)
    losses = losses[0] if OPERATIONS[operation].gradient else losses
    assert expected[0] == pytest.approx(np.average(losses.astype(float), weights=weight), rel=1e-6)
    for scale in SCALES:
        exact = 2.0 ** round(np.log2(scale))
        np.testing.assert_array_equal(mean(weight * exact), expected)
        single = mean(np.full(3, scale))
        np.testing.assert_allclose(single, mean(np.ones(3)), rtol=4 * np.finfo(dtype).eps)
    tiny = np.full(3, 1e-44, np.float32)
    np.testing.assert_allclose(mean(tiny), mean(np.ones(3)), rtol=4 * np.finfo(dtype).eps)


@pytest.mark.parametrize("name", [name for name in registry.names() if name not in FUSED])
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize(("dtype", "score"), [("float64", -1e308), ("float32", -3e38)])
def test_a_mean_is_finite_where_its_sum_is_not(name, weighted, dtype, score):
    require(name)
    declaration = registry.get(name).operations.get("logistic_loss")
    if declaration is None or declaration.known_failure(score, 1.0, dtype):
        pytest.skip("such scores are declared to fail, or there is no such loss")
    scores, labels = np.full(5, score, dtype), np.ones(5, np.int8)
    weight = np.full(5, 1e300) if weighted else None
    options = {"sample_weight": weight, "implementation": name}
    with np.errstate(all="raise"):
        assert xn.logistic_loss(scores, labels, **options) == -scores[0]
        assert np.isinf(xn.logistic_loss(scores, labels, reduction="sum", **options))


def test_weights_sum_in_their_own_precision():
    """Not in that of the scores, in which the small ones would be lost."""
    weight = np.array([2.0**25, 1.0, 1.0])
    scores, labels = np.array([-1.0, 5.0, 5.0], np.float32), np.ones(3, np.int8)
    losses = xn.logistic_loss(scores, labels, reduction="none", implementation="numpy_stable")
    expected = np.float32(np.average(losses.astype(float), weights=weight))
    found = xn.logistic_loss(scores, labels, sample_weight=weight, implementation="numpy_stable")
    assert found == expected


@pytest.mark.parametrize("total", [0.0, -0.0])
def test_weights_that_sum_to_nothing(total):
    weight = np.full(3, total)
    with pytest.raises(ValueError, match="sample_weight sums to 0; accepted for a mean"):
        xn.logistic_loss(
            np.ones(3), np.ones(3), sample_weight=weight, implementation="numpy_stable"
        )
