"""Every implementation on every edge case: right where it says so, wrong where it says so."""

from __future__ import annotations

import functools
import os

import numpy as np
import pytest

from xent_numba.accuracy import oracle
from xent_numba.accuracy.edge_cases import SIZES, Edge, edge_cases
from xent_numba.accuracy.judge import judge
from xent_numba.accuracy.ulp import Truth

SIMULATED = os.environ.get("NUMBA_ENABLE_CUDASIM", "0") not in ("", "0")
"""Whether each sample is a step of a Python thread; sizes beyond a tile are `simulated_cuda`'s."""
_KINDS = {"loss": oracle.exact, "gradient": oracle.exact_gradient}


@functools.cache
def truth(operation, dtype, kind, soft=False):
    rows = edge_cases(operation, dtype, soft=soft).rows
    return Truth.from_exact([_KINDS[kind](operation, *row) for row in rows], dtype)


def results(target, edge: Edge):
    """Per-sample results; one call for all cases, or one each where one of them raises."""
    try:
        return target.per_sample(*edge.arguments)
    except (OverflowError, ValueError, ZeroDivisionError):
        return one_by_one(target, edge)


def one_by_one(target, edge):
    kinds = ("loss", "gradient") if target.operation.gradient else ("loss",)
    collected = {kind: np.zeros_like(edge.first) for kind in kinds}
    # What raised has no value. No true gradient is infinite, no true loss is negative.
    never = {"loss": -np.inf, "gradient": np.inf}
    for i in range(len(edge.first)):
        arguments = [array[i : i + 1] for array in edge.arguments]
        try:
            got = target.per_sample(*arguments)
        except (OverflowError, ValueError, ZeroDivisionError):
            got = {kind: [never[kind]] for kind in kinds}
        for kind in kinds:
            collected[kind][i] = got[kind][0]
    return collected


def describe(target, edge, indices, got, errors):
    """One line a case, or it could not be found again."""
    lines = []
    for i in indices:
        score, label = edge.rows[i]
        line = f"  {target.operation.first} {score!r}, label {label}:"
        for kind, values in got.items():
            true = truth(target.operation, target.dtype, kind).nearest[i]
            line += f" {kind} {values[i]} for {true} ({errors[kind][i]:.3g} ULP);"
        lines.append(line)
    return "\n".join(lines)


def test_edge_cases(target):
    edge = edge_cases(target.operation, target.dtype)
    if edge.labels is not None:
        edge = Edge(edge.first, edge.labels.astype(np.int8))
    got = results(target, edge)
    errors = {
        kind: truth(target.operation, target.dtype, kind).error(values, nonnegative=kind == "loss")
        for kind, values in got.items()
    }
    wrong = np.any([errors[kind] > target.limit(kind) for kind in got], axis=0)
    declared = np.array(
        [target.declaration.known_failure(*row, target.dtype.name) is not None for row in edge.rows]
    )
    unexpected, gone = np.flatnonzero(wrong & ~declared), np.flatnonzero(declared & ~wrong)
    assert not len(unexpected), "wrong results:\n" + describe(target, edge, unexpected, got, errors)
    assert not len(gone), "declared failures that do not fail:\n" + describe(
        target, edge, gone, got, errors
    )


@pytest.mark.targets(lambda t: t.declaration.known_failures)
def test_each_declared_failure_is_tested(target):
    rows = edge_cases(target.operation, target.dtype).rows
    for failure in target.declaration.known_failures:
        if failure.dtype in (None, target.dtype.name):
            assert any(failure.covers(*row, target.dtype.name) for row in rows), failure


#: Losses and gradients with soft labels that have to be right everywhere.
soft = pytest.mark.targets(
    lambda t: (
        t.operation.labels
        and t.operation.labels.soft
        and t.declaration.formulation == "stable"
        and not t.declaration.known_failures
    )
)


def assert_right(target, arguments):
    verdict = judge(
        target, target.operation, arguments, reduction="none", tolerance=target.tolerance
    )
    assert verdict.ok, verdict.reason


@soft
def test_soft_labels(target):
    """Held by the judge, which knows what a cancelling gradient may lose."""
    assert_right(target, edge_cases(target.operation, target.dtype, soft=True).arguments)


@soft
def test_random_soft_labels(target):
    """Labels of every size: of few of them 1 - y is exact, and of none is y (-log p)."""
    rng = np.random.default_rng(17)
    first, _ = target.sample(600 if SIMULATED else 60_000)
    labels = np.where(
        np.arange(first.size) % 3,
        rng.random(first.size),
        rng.choice([0.0, 1.0], first.size) - np.exp2(rng.uniform(-60, 0, first.size)),
    )
    labels = np.abs(labels).astype(target.dtype)
    first[0], labels[0] = 0.7398703, 0.4155281
    assert_right(target, (first, labels))


@pytest.mark.targets(lambda t: t.dtype == np.float32)
@pytest.mark.parametrize("size", [size for size in SIZES if size < 500 or not SIMULATED])
def test_sizes(target, size):
    """A sample's result is the same bits whatever the size of the array around it."""
    arguments = target.sample(500 if SIMULATED else max(SIZES))
    whole = target.per_sample(*arguments)
    part = target.per_sample(*(array[:size] for array in arguments))
    for kind, values in part.items():
        assert values.shape == (size,)
        limit = 0 if target.name.startswith("numba") else 2 * target.limit(kind)
        np.testing.assert_array_max_ulp(values, whole[kind][:size], np.ceil(limit))
