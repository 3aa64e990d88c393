"""The reference is within its bound, with hard and with soft labels, with weights, in sums."""

from __future__ import annotations

import math
from fractions import Fraction

import mpmath
import numpy as np
import pytest

from xent_numba.accuracy import certify, oracle, reference
from xent_numba.accuracy.edge_cases import edge_cases
from xent_numba.operations import OPERATIONS

DTYPES = ("float32", "float64")


def value(pairs, i):
    """The value of a pair, exactly."""
    with mpmath.workprec(oracle.PRECISION):
        total = mpmath.mpf(pairs.heads[i]) + mpmath.mpf(pairs.tails[i])
        return mpmath.ldexp(total, -int(pairs.exponents[i]))


def assert_within(pairs, true, relative_to, bound, smallest):
    """Infinities and NaN alike, numbers within the bound; below `smallest` there is nothing."""
    for i, expected in enumerate(true):
        got = value(pairs, i)
        if mpmath.isnan(expected):
            assert mpmath.isnan(got)
        elif mpmath.isinf(expected) or abs(expected) < smallest:
            assert got == expected or abs(got - expected) < smallest
        else:
            assert abs(got - expected) <= bound * abs(relative_to[i]), (i, got, expected)


def arguments(operation, dtype, soft):
    edge = edge_cases(operation, np.dtype(dtype), soft=soft)
    if operation.labels is None:
        return (np.concatenate([edge.first, certify.draw("scores", dtype, 500, 3)]),)
    drawn = certify.draw(operation.first, dtype, 500, 3)
    labels = certify.draw_labels(500, 3) if soft else np.tile(operation.labels.hard, 250)
    return np.concatenate([edge.first, drawn]), np.concatenate([edge.labels, labels])


@pytest.mark.parametrize("soft", [False, True], ids=["hard", "soft"])
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("operation", OPERATIONS.values(), ids=lambda o: o.name)
def test_reference_is_within_its_bound(operation, dtype, soft):
    if soft and not (operation.labels and operation.labels.soft):
        pytest.skip("takes hard labels")
    given = arguments(operation, dtype, soft)
    rows = list(zip(*(array.tolist() for array in given), strict=True))
    bound = reference.BOUND[dtype]
    smallest = mpmath.mpf(2) ** (-1000 if dtype == "float32" else -1200)
    true = [oracle.exact(operation, *row) for row in rows]
    assert_within(reference.samples(operation, *given), true, true, bound, smallest)
    if operation.gradient:
        gradients, terms = reference.gradients(operation, *given)
        true = [oracle.exact_gradient(operation, *row) for row in rows]
        sums = [value(terms, i) for i in range(len(rows))]
        assert_within(gradients, true, sums, bound, smallest)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("scale", [1e-300, 1.0, 1e300])
def test_weights_keep_every_digit(dtype, scale):
    operation = OPERATIONS["binary_cross_entropy_with_logits"]
    scores = np.array([-3.0, 1e-5, 80.0, 0.0], dtype)
    labels, weights = np.array([0.3, 1.0, 0.0, 0.5]), scale * np.array([1 / 3, 0.0, 5e-8, 7.0])
    product = reference.samples(operation, scores, labels).times(weights, 3.0 * scale)
    for i, (score, label) in enumerate(zip(scores.tolist(), labels.tolist(), strict=True)):
        true = oracle.exact(operation, score, label) * weights[i] / (3.0 * scale)
        assert abs(value(product, i) - true) <= reference.BOUND[dtype] * true


def test_an_infinite_loss_stays_infinite_with_a_weight():
    operation = OPERATIONS["logistic_loss"]
    losses = reference.samples(operation, np.array([-np.inf, np.nan]), np.ones(2))
    assert losses.times(np.array([0.5, 0.5])).heads.tolist() == [
        math.inf,
        pytest.approx(math.nan, nan_ok=True),
    ]


def test_doubles_add_up_to_the_pair():
    operation = OPERATIONS["sigmoid"]
    scores = np.linspace(-30, 30, 50)
    pairs = reference.samples(operation, scores)
    for i, (head, tail) in enumerate(zip(*pairs.doubles(), strict=True)):
        assert abs(tail) <= np.spacing(head) / 2
        exact = Fraction(float(pairs.heads[i])) + Fraction(float(pairs.tails[i]))
        scale = Fraction(2) ** -int(pairs.exponents[i])
        assert Fraction(float(head)) + Fraction(float(tail)) == exact * scale
