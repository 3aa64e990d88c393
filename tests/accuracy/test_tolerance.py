"""What is declared counts as far as the judge allows it, and no further."""

from __future__ import annotations

import dataclasses
import functools

import numpy as np
import pytest

import xent_numba
from xent_numba import registry
from xent_numba.accuracy.judge import Verdict, judge
from xent_numba.accuracy.tolerance import Tolerance, allowed
from xent_numba.operations import OPERATIONS

DECLARED = registry.get("numpy_stable").operations["sigmoid"]
SIGMOID = OPERATIONS["sigmoid"]


def half_everywhere(scores, *, out):
    out[...] = 0.5
    return out


def test_a_boundless_declaration_is_not_believed():
    boundless = dataclasses.replace(DECLARED, max_ulp={"float32": 1e9, "float64": 1e9})
    scores = np.linspace(-4, 4, 1000, dtype=np.float32)
    verdict = judge(
        half_everywhere,
        SIGMOID,
        (scores,),
        reduction="none",
        tolerance=Tolerance.of(boundless, "float32"),
    )
    assert not verdict.ok
    assert verdict.grade == "wrong"


@pytest.mark.parametrize(
    ("declared", "formulation", "expected"),
    [(0.5, "stable", 0.5), (7, "stable", 7), (1e9, "stable", 10), (1e9, "textbook", 100)],
)
def test_a_declaration_can_only_be_stricter(declared, formulation, expected):
    declaration = dataclasses.replace(
        DECLARED, max_ulp={"float32": declared}, formulation=formulation
    )
    assert Tolerance.of(declaration, "float32").loss == expected


def test_what_is_here_declares_no_more_than_is_allowed():
    """But for the log1p of XLA before jax 0.12, which is wrong by 128 ULP."""
    beyond = {
        (name, operation, dtype)
        for name, implementation in registry.implementations().items()
        for operation, declaration in implementation.operations.items()
        for dtype, limit in declaration.max_ulp.items()
        if limit > allowed(operation, declaration.formulation, "loss")
    }
    assert beyond <= {("jax_jit", "binary_cross_entropy", "float64")}


@pytest.mark.parametrize(
    ("verdict", "grade"),
    [
        (Verdict(True, 0.5), "within 1 ULP"),
        (Verdict(True, 0.5, 3.0), "within 4 ULP"),
        (Verdict(True, 99.0, 3.0), "within 100 ULP"),
        (Verdict(True, 1e7), "wrong where it declares to be"),
        (Verdict(False, 0.5), "wrong"),
        (Verdict(True), "within 1 ULP"),
    ],
)
def test_the_measured_error_decides_how_a_row_is_shown(verdict, grade):
    assert verdict.grade == grade


def test_soft_labels_have_no_allowance():
    operation = OPERATIONS["binary_cross_entropy_with_logits"]
    scores, labels = np.linspace(-5, 5, 999), np.linspace(0.1, 0.9, 999)

    def compute(*arguments, out=None, factor, **options):
        public = functools.partial(
            xent_numba.binary_cross_entropy_with_logits, implementation="numpy_stable"
        )
        return (
            public(*arguments, out=out, **options)
            if factor is None
            else (np.multiply(public(*arguments, **options), factor, out=out))
        )

    for factor, limit, soft, ok in (
        (None, 2.0, None, True),
        (1 + 2.0**-50, 2.0, None, False),
        (1 + 2.0**-50, 2.0, 12.0, True),
        (1 + 2.0**-50, 12.0, 2.0, False),
    ):
        verdict = judge(
            functools.partial(compute, factor=factor),
            operation,
            (scores, labels),
            reduction="none",
            tolerance=Tolerance(limit, soft=soft),
        )
        assert verdict.ok == ok, verdict.reason


@pytest.mark.parametrize("scale", [1e-300, 1.0, 1e307])
def test_a_mean_does_not_depend_on_the_scale_of_its_weights(scale):
    operation = OPERATIONS["logistic_loss"]
    scores, labels = np.linspace(-5, 5, 99), np.ones(99)
    weights = np.linspace(1, 2, 99) * scale

    def compute(scores, labels, *, sample_weight, reduction, out=None):
        losses = np.logaddexp(0, -scores * labels)
        if reduction == "none":
            return np.multiply(losses, sample_weight, out=out)
        return np.float64(np.average(losses, weights=sample_weight / scale))

    verdict = judge(
        compute,
        operation,
        (scores, labels),
        reduction="mean",
        tolerance=Tolerance(3),
        sample_weight=weights,
    )
    assert verdict.ok, verdict.reason


@pytest.mark.parametrize(("mean", "ok"), [(1e308, True), (np.inf, False)])
def test_a_mean_of_losses_whose_sum_overflows(mean, ok):
    def compute(scores, labels, *, sample_weight, reduction, out=None):
        if reduction == "none":
            out[...] = np.abs(scores)
            return out
        return np.float64(mean)

    scores = np.full(10, -1e308)
    verdict = judge(
        compute,
        OPERATIONS["logistic_loss"],
        (scores, np.ones(10)),
        reduction="mean",
        tolerance=Tolerance(1),
    )
    assert verdict.ok == ok, verdict.reason
