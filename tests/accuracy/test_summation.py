"""True sums are exact, and so are the errors that are measured against them."""

from __future__ import annotations

import contextlib
import time
from fractions import Fraction

import mpmath
import numpy as np
import pytest
from in_process import Here

import xent_numba as xn
from xent_numba.accuracy import oracle, summation
from xent_numba.operations import OPERATIONS


@pytest.mark.parametrize("size", [0, 1, 10_000])
def test_exact_sum_is_that_of_fractions(size):
    rng = np.random.default_rng(size)
    values = rng.normal(0, 1, size) * np.exp2(rng.integers(-300, 300, size))
    assert summation.exact_sum(values) == sum(map(Fraction, values.tolist()))


def test_exact_sum_of_the_extremes():
    values = [5e-324, -5e-324, 1.7976931348623157e308, 1.0, -1.7976931348623157e308, 3e-320]
    assert summation.exact_sum(np.array(values)) == sum(map(Fraction, values))


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_what_is_not_finite_has_no_exact_sum(value):
    with pytest.raises((ValueError, OverflowError), match="cannot convert"):
        summation.exact_sum(np.array([1.0, value]))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_true_sums_are_the_oracles(dtype):
    scores, labels = summation.draw(100, dtype)
    (found,) = summation.true_sums((100,), dtype, Here()).values()
    operation = OPERATIONS[summation.OPERATION]
    with mpmath.workprec(oracle.PRECISION):
        rows = zip(scores.tolist(), labels.tolist(), strict=True)
        true = sum(oracle.exact(operation, score, float(label)) for score, label in rows)
        error = abs(mpmath.mpf(found.numerator) / found.denominator / true - 1)
    assert error < {"float32": 2.0**-50, "float64": 2.0**-90}[dtype]


def test_fewer_inputs_are_the_first_of_more():
    few, many = summation.draw(1000, "float32"), summation.draw(summation.BLOCK + 5, "float32")
    for a, b in zip(few, many, strict=True):
        np.testing.assert_array_equal(a, b[:1000])


def measure(names, monkeypatch, **limits):
    for name, value in limits.items():
        monkeypatch.setattr(summation, name, value)
    return summation.measure(names, ["float32"], 4, workers=lambda: contextlib.nullcontext(Here()))


def test_errors_of_sums_and_means(monkeypatch):
    found = measure(["numpy_stable", "numba_parallel"], monkeypatch)
    assert {(row.size, row.reduction) for row in found.rows} == {
        (size, reduction) for size in (1000, 10_000) for reduction in ("sum", "mean")
    }
    assert all(row.error < 1e-6 for row in found.rows)
    # Half an ULP of float32, and the errors of single losses, which hardly add up.
    ours = [row.error for row in found.rows if row.implementation == "numba_parallel"]
    assert max(ours) < 2.0**-23


def test_a_lost_sample_is_noticed(monkeypatch):
    monkeypatch.setattr(
        "xent_numba.binary_cross_entropy_with_logits",
        lambda scores, labels, *, reduction, implementation: np.logaddexp(
            0, np.where(labels == 1, -scores, scores)[1:].astype(float)
        ).sum(),
    )
    found = measure(["numpy_stable"], monkeypatch)
    assert all(row.error > 1e-5 for row in found.rows if row.reduction == "sum")


def test_what_takes_too_long_is_left_out_and_named(monkeypatch):
    found = measure(["numpy_stable"], monkeypatch, SECONDS=0.0)
    assert {row.size for row in found.rows} == {1000}
    assert found.omitted == {
        "numpy_stable, float32": "10,000 samples would take more than 0 s a call"
    }


def test_a_first_call_that_compiles_is_not_what_more_samples_would_take(monkeypatch):
    compute, slept = xn.binary_cross_entropy_with_logits, []

    def compile_first(*arguments, **options):
        if not slept:
            slept.append(time.sleep(0.3))
        return compute(*arguments, **options)

    monkeypatch.setattr("xent_numba.binary_cross_entropy_with_logits", compile_first)
    found = measure(["numpy_stable"], monkeypatch, SECONDS=1.0)
    assert slept
    assert not found.omitted
