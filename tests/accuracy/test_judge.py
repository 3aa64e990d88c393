"""Every implementation on random samples, held by the judge: reductions, weights and gradients."""

from __future__ import annotations

import functools
import math
import re

import numpy as np
import pytest

import xent_numba
from xent_numba import registry
from xent_numba.accuracy import oracle, reference
from xent_numba.accuracy.judge import judge
from xent_numba.accuracy.tolerance import Tolerance
from xent_numba.operations import OPERATIONS

SIZE = 10_007
LOGISTIC = OPERATIONS["logistic_loss_and_grad"]


def verdict_on(target, reduction, sample_weight=None):
    return judge(
        target,
        target.operation,
        target.sample(SIZE),
        reduction=reduction,
        tolerance=target.tolerance,
        sample_weight=sample_weight,
    )


@pytest.mark.targets(lambda t: t.operation.labels is None)
def test_random_scores(target):
    verdict = verdict_on(target, "none")
    assert verdict.ok, verdict.reason


@pytest.mark.targets(lambda t: t.operation.labels)
@pytest.mark.parametrize("weighted", [False, True], ids=["plain", "weighted"])
def test_random_samples(target, weighted):
    weights = None
    if weighted:
        weights = np.random.default_rng(3).exponential(size=SIZE).astype(target.dtype)
        weights[::7] = 0
    for reduction in ("sum", "mean"):
        verdict = verdict_on(target, reduction, weights)
        assert verdict.ok, f"{reduction}: {verdict.reason}"


@pytest.mark.targets(lambda t: t.operation.labels and t.declaration.formulation == "stable")
@pytest.mark.parametrize("reduction", ["sum", "mean"])
def test_reduced_loss_of_one_infinite_and_one_nan(target, reduction):
    """An infinite loss makes the sum infinite and NaN makes it NaN: nothing is skipped."""
    first, labels = target.sample(300)
    if target.operation.first == "probabilities":
        first[40], labels[40] = 0, 1
    elif not target.declaration.known_failure(-np.inf, 1.0, target.dtype.name):
        first[40], labels[40] = -np.inf, 1
    else:
        pytest.skip(f"{target.name} declares to fail at -inf")
    result = target(first, labels, reduction=reduction)
    assert (result[0] if target.operation.gradient else result) == np.inf
    if target.operation.first == "scores":
        first[41] = np.nan
        result = target(first, labels, reduction=reduction)
        assert np.isnan(result[0] if target.operation.gradient else result)


class Reference:
    """The right answer, with a fault to plant in its gradient or its reduced loss."""

    def __init__(self, gradient_fault=None, loss_fault=None):
        self.gradient_fault, self.loss_fault = gradient_fault, loss_fault

    def __call__(
        self, scores, labels, *, sample_weight=None, reduction="mean", out=None, grad_out=None
    ):
        weights = np.ones_like(scores) if sample_weight is None else sample_weight
        losses, gradients = [], []
        for row in zip(scores.tolist(), labels.tolist(), strict=True):
            losses.append(float(oracle.exact(LOGISTIC, *row)))
            gradients.append(float(oracle.exact_gradient(LOGISTIC, *row)))
        divisor = math.fsum(weights.tolist()) if reduction == "mean" else 1
        gradient = (np.array(gradients) * weights / divisor).astype(scores.dtype)
        if self.gradient_fault:
            gradient = self.gradient_fault(gradient, reduction)
        if grad_out is not None:
            grad_out[...] = gradient
            gradient = grad_out
        if reduction == "none":
            out[...] = np.array(losses) * weights
            return out, gradient
        total = scores.dtype.type(math.fsum(np.array(losses) * weights) / divisor)
        return (self.loss_fault(total) if self.loss_fault else total), gradient


def forget_the_divisor(gradient, reduction):
    return gradient * 500 if reduction == "mean" else gradient


def one_sign_flipped(gradient, reduction):
    gradient = gradient.copy()
    gradient[-1] *= -1
    return gradient


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        ({}, ""),
        ({"gradient_fault": forget_the_divisor}, r"gradient\[\d+\] is .* 1 of 1 samples"),
        ({"gradient_fault": one_sign_flipped}, r"gradient\[499\] is"),
        ({"loss_fault": lambda loss: loss * (1 + 3e-6)}, "the mean of 1 losses is"),
        ({"loss_fault": lambda loss: loss + np.inf}, "the mean of 1 losses is inf"),
        ({"loss_fault": lambda loss: loss * np.nan}, "the mean of 1 losses is nan"),
    ],
)
@pytest.mark.parametrize("weighted", [False, True], ids=["plain", "weighted"])
def test_faults_in_gradient_and_reduction(fault, reason, weighted):
    rng = np.random.default_rng(5)
    arguments = rng.normal(0, 9, 500), rng.choice(np.array([-1, 1], np.int8), 500)
    weights = rng.exponential(size=500) if weighted else None
    verdict = judge(
        Reference(**fault),
        LOGISTIC,
        arguments,
        reduction="mean",
        tolerance=Tolerance(1),
        sample_weight=weights,
    )
    assert verdict.ok == (not reason)
    if reason:
        assert re.search(reason, verdict.reason), verdict.reason


def test_mpmath_decides_what_the_reference_cannot(monkeypatch):
    """A reference that is wrong is not believed on the samples that mpmath checks."""
    scores = np.linspace(-3, 3, 31)
    right = reference.samples

    def wrong(*arguments):
        return right(*arguments).times(1 + 1e-13)

    def compute(scores, labels, *, sample_weight=None, reduction="none", out=None):
        out[...] = wrong(OPERATIONS["logistic_loss"], scores, labels).doubles()[0]
        return out

    monkeypatch.setattr(reference, "samples", wrong)
    verdict = judge(
        compute,
        OPERATIONS["logistic_loss"],
        (scores, np.ones(31, np.int8)),
        reduction="none",
        tolerance=Tolerance(4),
    )
    assert not verdict.ok


def test_verdict_names_the_first_wrong_sample():
    def compute(scores, *, out):
        out[...] = 1 / (1 + np.exp(-scores))
        out.flat[[7, 9]] = 0.25
        return out

    verdict = judge(
        compute, OPERATIONS["sigmoid"], (np.ones((4, 5)),), reduction="none", tolerance=Tolerance(4)
    )
    assert (verdict.ok, verdict.index, verdict.got) == (False, 7, 0.25)
    assert verdict.expected == pytest.approx(0.7310585786300049)
    assert "2 of 20 samples are wrong" in verdict.reason
    assert verdict.max_ulp > 1e15


def test_judge_leaves_no_trace_of_an_empty_array():
    def compute(scores, *, out):
        return out

    assert judge(
        compute, OPERATIONS["sigmoid"], (np.empty(0),), reduction="none", tolerance=Tolerance(0)
    ).ok


class TestDeclaredFailures:
    """What a kernel declares to get wrong is excused sample by sample, never in the result."""

    declaration = registry.get("numpy_textbook").operations["logistic_loss"]
    compute = staticmethod(
        functools.partial(xent_numba.logistic_loss, implementation="numpy_textbook")
    )

    def verdict(self, scores, reduction, declaration):
        labels = np.ones(scores.shape, np.int8)
        return judge(
            self.compute,
            OPERATIONS["logistic_loss"],
            (scores, labels),
            reduction=reduction,
            tolerance=Tolerance(self.declaration.max_ulp["float64"], declaration=declaration),
        )

    def test_lost_tails_are_excused_where_the_sum_is_right(self):
        scores = np.concatenate([np.linspace(-5, 0, 999), [40.0]])
        assert not self.verdict(scores, "sum", None).ok
        verdict = self.verdict(scores, "sum", self.declaration)
        assert verdict.ok
        assert verdict.reason.startswith("1 of 1000 samples lie where it fails: 1 + exp(-m)")
        assert verdict.max_ulp > 1e15

    def test_not_where_every_sample_is_the_result(self):
        assert not self.verdict(np.array([-1.0, 40.0]), "none", self.declaration).ok

    def test_not_where_the_sum_is_wrong(self):
        verdict = self.verdict(np.array([-1.0, -800.0]), "sum", self.declaration)
        assert "the sum of 2 losses is inf" in verdict.reason

    def test_nothing_else_is_excused(self, monkeypatch):
        compute = self.compute

        def off(scores, labels, **options):
            return compute(scores * 1.0000001, labels, **options)

        monkeypatch.setattr(type(self), "compute", staticmethod(off))
        assert not self.verdict(np.array([-1.0, 40.0]), "sum", self.declaration).ok
