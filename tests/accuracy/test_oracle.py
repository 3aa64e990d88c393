"""The oracle: against values that are known, against itself at higher precision, and frozen."""

from __future__ import annotations

import ast
import math
from pathlib import Path

import mpmath
import numpy as np
import pytest

from tools import freeze_edge_cases
from xent_numba.accuracy import oracle
from xent_numba.accuracy.edge_cases import edge_cases
from xent_numba.operations import OPERATIONS

DATA = Path(__file__).parents[1] / "data"
INF = math.inf
SIGMOID, PROBABILITY, LOGISTIC, LOGITS = (
    OPERATIONS[name]
    for name in (
        "sigmoid",
        "binary_cross_entropy",
        "logistic_loss",
        "binary_cross_entropy_with_logits",
    )
)


@pytest.mark.parametrize(
    ("operation", "first", "label", "value"),
    [
        (SIGMOID, 0.0, None, 0.5),
        (SIGMOID, INF, None, 1),
        (SIGMOID, -INF, None, 0),
        (SIGMOID, math.log(3), None, 0.75),
        (LOGISTIC, 0.0, 1.0, math.log(2)),
        (LOGISTIC, INF, 1.0, 0),
        (LOGISTIC, -INF, 1.0, INF),
        (LOGISTIC, 1e308, -1.0, 1e308),
        (LOGISTIC, 300.0, 1.0, 5.148200222412013e-131),
        (LOGITS, INF, 1.0, 0),
        (LOGITS, INF, 0.0, INF),
        (LOGITS, -INF, 0.0, 0),
        (LOGITS, INF, 0.5, INF),
        (LOGITS, 2.0, 0.25, math.log(1 + math.exp(2)) - 0.5),
        (PROBABILITY, 0.0, 0.0, 0),
        (PROBABILITY, 1.0, 1.0, 0),
        (PROBABILITY, 0.0, 1.0, INF),
        (PROBABILITY, 1.0, 0.0, INF),
        (PROBABILITY, 5e-324, 0.0, 5e-324),
        (PROBABILITY, 0.25, 0.5, -0.5 * math.log(0.25 * 0.75)),
    ],
)
def test_known_values(operation, first, label, value):
    assert float(oracle.exact(operation, first, label)) == pytest.approx(value, rel=1e-15)


@pytest.mark.parametrize("operation", OPERATIONS.values(), ids=lambda o: o.name)
def test_nan_stays_nan(operation):
    label = operation.labels and operation.labels.hard[1]
    assert mpmath.isnan(oracle.exact(operation, math.nan, label))


def test_tail_is_not_lost_at_huge_scores():
    """exp(-1e308) is no double, and no zero either."""
    tail = oracle.exact(LOGISTIC, 1e308, 1.0)
    assert tail > 0
    assert mpmath.almosteq(mpmath.log(tail), -mpmath.mpf(1e308))


def literal(operation, first, label, precision):
    """The formulas as DESIGN has them, with so many digits that cancellation does no harm."""
    with mpmath.workprec(precision):
        x, y = mpmath.mpf(first), mpmath.mpf(label or 0)
        if operation is SIGMOID:
            return 1 / (1 + mpmath.exp(-x))
        if operation is LOGISTIC:
            return mpmath.log(1 + mpmath.exp(-y * x))
        if operation is LOGITS:
            return mpmath.log(1 + mpmath.exp(x)) - y * x
        terms = [y * mpmath.log(x)] if y else []
        terms += [(1 - y) * mpmath.log(1 - x)] if y != 1 else []
        return -mpmath.fsum(terms)


@pytest.mark.parametrize(
    "operation", [SIGMOID, LOGISTIC, LOGITS, PROBABILITY], ids=lambda o: o.name
)
def test_literal_formula_agrees(operation):
    rng = np.random.default_rng(8)
    for _ in range(150):
        score = float(rng.choice([-1, 1]) * 10 ** rng.uniform(-3, 3))
        first = float(rng.uniform()) if operation is PROBABILITY else score
        label = None
        if operation.labels:
            soft = [float(rng.uniform())] if operation.labels.soft else []
            label = float(rng.choice([*operation.labels.hard, *soft]))
        ours, theirs = oracle.exact(operation, first, label), literal(operation, first, label, 4000)
        assert abs(ours / theirs - 1) < mpmath.mpf(2) ** -240


@pytest.mark.parametrize(
    "name", ["logistic_loss_and_grad", "binary_cross_entropy_with_logits_and_grad"]
)
def test_gradient_is_the_derivative(name):
    operation = OPERATIONS[name]
    rng = np.random.default_rng(9)
    for _ in range(20):
        first, label = float(rng.normal(0, 20)), float(rng.choice(operation.labels.hard))
        step = 2.0**-20
        slope = (
            oracle.exact(operation, first + step, label)
            - oracle.exact(operation, first - step, label)
        ) / (2 * step)
        assert float(slope / oracle.exact_gradient(operation, first, label)) == pytest.approx(
            1, abs=1e-11
        )


@pytest.mark.parametrize("score", [5e-324, -1e-308, 1e-20, -0.3, 0.999, 1.001, 40.0, -800.0])
@pytest.mark.parametrize("label", [0.0, 0.1, 0.5, 1 - 2.0**-53, 1.0])
def test_gradient_does_not_cancel(score, label):
    """At half a label what is left of g(s) - y is all in the tail of g."""
    operation = OPERATIONS["binary_cross_entropy_with_logits_and_grad"]
    with mpmath.workprec(4000):
        s, y = mpmath.mpf(score), mpmath.mpf(label)
        literal = 1 / (1 + mpmath.exp(-s)) - y
        assert abs(oracle.exact_gradient(operation, score, label) / literal - 1) < 2.0**-140


def test_oracle_knows_no_implementation():
    tree = ast.parse(Path(oracle.__file__).read_text(encoding="utf-8"))
    modules = {
        name
        for node in ast.walk(tree)
        if isinstance(node, ast.Import | ast.ImportFrom)
        for name in (
            [node.module] if isinstance(node, ast.ImportFrom) else [a.name for a in node.names]
        )
    }
    assert modules == {"__future__", "math", "typing", "mpmath", "xent_numba.operations"}


def test_frozen_tables_are_what_mpmath_gives():
    assert freeze_edge_cases.differing(DATA) == []


def test_a_changed_table_is_noticed(tmp_path):
    freeze_edge_cases.write(tmp_path)
    assert freeze_edge_cases.differing(tmp_path) == []
    table = tmp_path / "edge_sigmoid.json"
    text = table.read_text(encoding="utf-8")
    table.write_text(text.replace('"0x1.0000000000000p-1"', '"0x1.0000000000001p-1"', 1), "utf-8")
    (tmp_path / "edge_logistic_loss.json").unlink()
    assert freeze_edge_cases.differing(tmp_path) == ["sigmoid", "logistic_loss"]


@pytest.mark.parametrize("operation", OPERATIONS.values(), ids=lambda o: o.name)
def test_frozen_tables_hold_the_edge_cases(operation):
    content = freeze_edge_cases.read(DATA, operation)
    for dtype in ("float32", "float64"):
        edge = edge_cases(operation, np.dtype(dtype))
        rows = content[dtype][: len(edge.first)]
        for column, array in enumerate(edge.arguments):
            np.testing.assert_array_equal([row[column] for row in rows], array)
