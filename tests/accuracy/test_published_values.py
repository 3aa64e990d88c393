"""Inputs that other projects test these functions with; the true values come from mpmath.

Where a library expects a rounded value, such as a loss of 0 at a score of 232.8, ours is not.
"""

from __future__ import annotations

import math

import mpmath
import numpy as np
import pytest

from xent_numba.accuracy import oracle
from xent_numba.accuracy.ulp import Truth
from xent_numba.operations import OPERATIONS

SIGMOID, LOGISTIC, LOGITS = (
    OPERATIONS[name]
    for name in ("sigmoid", "logistic_loss", "binary_cross_entropy_with_logits_and_grad")
)
STABLE = ("numba_parallel", "numpy_stable")

#: scikit-learn, sklearn/_loss/tests/test_loss.py, test_loss_on_specific_values: label, score, and
#: the expected loss, gradient and Hessian where they are not 0, 1 or the score.
HALF_BINOMIAL = [
    *[(label, score) for score in (1e20, 1e3, 37.5, 37.0, 232.8, 0.0) for label in (0.0, 1.0)],
    *[(label, -score) for score in (1e20, 1e3, 37.5, 37.0, 232.8) for label in (0.0, 1.0)],
]
#: Expected there, to the digits that are given.
HESSIANS = {
    37.5: 5.175555005801868e-17,
    37.0: 8.533047625744066e-17,
    232.8: 1.4287342391028437e-101,
}
#: SciPy, scipy/special/tests/test_logit.py, TestLogExpit: scores and expected values.
LOG_EXPIT = {
    -10000.0: -10000.0,
    -750.0: -750.0,
    -500.0: -500.0,
    -35.0: -35.000000000000000631,
    -32.0: -32.000000000000012664,
    0.0: -0.69314718055994530942,
    1e-9: -0.69314718005994530942,
    10.0: -4.5398899216870535314e-05,
    100.0: -3.7200759760208359630e-44,
    500.0: -7.1245764067412855315e-218,
    710.0: -4.476286225675e-309,
    725.0: -1.36930634e-315,
    735.0: -6.217e-320,
}
#: The same file and the tests of SciPy's logistic distribution: where e^-s stops being a number.
LOGISTIC_SIGMOID = (-740.0, -750.0, -709.0, -37.0, 36.0, 37.0, 40.0, 88.0, 709.0, 740.0)
#: JAX, tests/nn_test.py, testSoftplusGrad, -GradZero, -GradInf, -GradNegInf and -GradNan.
SOFTPLUS_GRADIENT = {
    0.0: 0.5,
    1e-8: 0.5 + 2.5e-9,
    math.inf: 1.0,
    -math.inf: 0.0,
    math.nan: math.nan,
}


def hessian(score):
    """g(s) g(-s), from mpmath."""
    return oracle.exact(SIGMOID, score) * oracle.exact(SIGMOID, -score)


def ulp_error(got, values, *, nonnegative=False):
    return Truth.from_exact(values, got.dtype).error(got, nonnegative=nonnegative)


def results(target, scores, labels=None):
    arrays = [np.array(scores)] if labels is None else [np.array(scores), np.array(labels)]
    return target.per_sample(*arrays)


def is_stable(operation):
    return pytest.mark.targets(
        lambda t: t.name in STABLE and t.operation is operation and t.dtype == np.float64
    )


@is_stable(LOGITS)
def test_extreme_losses_and_gradients(target):
    """No result is rounded further than to its last place: the tails are there."""
    labels, scores = zip(*HALF_BINOMIAL, strict=True)
    found = results(target, scores, labels)
    losses = [oracle.exact(LOGITS, s, y) for y, s in HALF_BINOMIAL]
    gradients = [oracle.exact_gradient(LOGITS, s, y) for y, s in HALF_BINOMIAL]
    assert ulp_error(found["loss"], losses, nonnegative=True).max() <= target.limit("loss")
    assert ulp_error(found["gradient"], gradients).max() <= target.limit("gradient")
    tails = [i for i, (y, s) in enumerate(HALF_BINOMIAL) if abs(s) == 232.8 and (s > 0) == y]
    assert found["loss"][tails].tolist() == pytest.approx([HESSIANS[232.8]] * 2, rel=1e-15)


@pytest.mark.parametrize(("score", "expected"), HESSIANS.items())
def test_published_hessians_are_mpmaths(score, expected):
    assert float(hessian(score)) == pytest.approx(expected, rel=1e-15)


@is_stable(SIGMOID)
def test_hessians(target):
    """g(s) g(-s) keeps its digits; g (1 - g) has lost them all at 37."""
    scores = [abs(score) for _, score in HALF_BINOMIAL if abs(score) < 740]
    ours = results(target, scores)["loss"] * results(target, [-s for s in scores])["loss"]
    limit = 2 * target.limit("loss") + 0.5
    assert ulp_error(ours, map(hessian, scores)).max() <= 2 * limit


@pytest.mark.parametrize(("score", "expected"), LOG_EXPIT.items())
def test_published_log_expit_is_mpmaths(score, expected):
    """As far as the digits that are printed there go."""
    true = -oracle.exact(LOGISTIC, score, 1.0)
    assert float(true) == pytest.approx(expected, rel=1e-3 if score > 709 else 1e-15)


@is_stable(LOGISTIC)
def test_log_expit(target):
    scores = [*LOG_EXPIT, 736.0, 745.0, 750.0, 1e4]
    losses = results(target, scores, np.ones(len(scores)))["loss"]
    true = [oracle.exact(LOGISTIC, s, 1.0) for s in scores]
    assert ulp_error(losses, true, nonnegative=True).max() <= target.limit("loss")


@is_stable(SIGMOID)
def test_logistic_sigmoid(target):
    found = results(target, LOGISTIC_SIGMOID)["loss"]
    true = [oracle.exact(SIGMOID, s) for s in LOGISTIC_SIGMOID]
    assert ulp_error(found, true, nonnegative=True).max() <= target.limit("loss")
    assert found[LOGISTIC_SIGMOID.index(-740.0)] > 0  # subnormal, and not flushed
    assert found[LOGISTIC_SIGMOID.index(-750.0)] == 0  # below half of the smallest


@is_stable(LOGITS)
def test_softplus_gradient(target):
    """With label 0 the loss is softplus(s), and its gradient g(s)."""
    scores = list(SOFTPLUS_GRADIENT)
    found = results(target, scores, np.zeros(len(scores)))["gradient"]
    true = [oracle.exact_gradient(LOGITS, s, 0.0) for s in scores]
    assert ulp_error(found, true).max() <= target.limit("gradient")
    published = [float(t) if mpmath.isfinite(t) else math.nan for t in true]
    assert published == pytest.approx(list(SOFTPLUS_GRADIENT.values()), nan_ok=True, rel=1e-15)
