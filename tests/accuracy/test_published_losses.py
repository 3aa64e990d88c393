"""Losses that other projects print, each computed again by mpmath to the digits that they print.

Each was looked up in the source that it names.
"""

from __future__ import annotations

from dataclasses import dataclass

import mpmath
import numpy as np
import pytest

import xent_numba
from xent_numba.accuracy import oracle
from xent_numba.operations import OPERATIONS

PROBABILITIES, SCORES, LOGISTIC, GRADIENT, SIGMOID = (
    OPERATIONS[name]
    for name in (
        "binary_cross_entropy",
        "binary_cross_entropy_with_logits",
        "logistic_loss",
        "binary_cross_entropy_with_logits_and_grad",
        "sigmoid",
    )
)
COMPUTED_BY = ("numba_parallel", "numpy_stable")


@dataclass(frozen=True)
class Published:
    """What a project prints for some samples."""

    source: str
    operation: object
    first: tuple[float, ...]
    labels: tuple[float, ...]
    expected: float | tuple[float, ...]
    within: float
    reduction: str = "mean"
    weights: tuple[float, ...] | None = None

    @property
    def exact(self):
        """The same by mpmath."""
        rows = zip(self.first, self.labels, strict=True)
        losses = [oracle.exact(self.operation, *row) for row in rows]
        if self.reduction == "none":
            return losses
        weights = [mpmath.mpf(w) for w in self.weights or (1.0,) * len(losses)]
        total = mpmath.fsum(w * loss for w, loss in zip(weights, losses, strict=True))
        return [total / (mpmath.fsum(weights) if self.reduction == "mean" else 1)]


#: Spector and Mazzeo (1980), as statsmodels and Stata's users have it: grade point average, test
#: score, taught by the new method, improved.
SPECTOR = (
    *((2.66, 20, 0, 0), (2.89, 22, 0, 0), (3.28, 24, 0, 0), (2.92, 12, 0, 0), (4.0, 21, 0, 1)),
    *((2.86, 17, 0, 0), (2.76, 17, 0, 0), (2.87, 21, 0, 0), (3.03, 25, 0, 0), (3.92, 29, 0, 1)),
    *((2.63, 20, 0, 0), (3.32, 23, 0, 0), (3.57, 23, 0, 0), (3.26, 25, 0, 1), (3.53, 26, 0, 0)),
    *((2.74, 19, 0, 0), (2.75, 25, 0, 0), (2.83, 19, 0, 0), (3.12, 23, 1, 0), (3.16, 25, 1, 1)),
    *((2.06, 22, 1, 0), (3.62, 28, 1, 1), (2.89, 14, 1, 0), (3.51, 26, 1, 0), (3.54, 24, 1, 1)),
    *((2.83, 27, 1, 1), (3.39, 17, 1, 1), (2.67, 24, 1, 0), (3.65, 21, 1, 1), (4.0, 23, 1, 1)),
    *((3.1, 21, 1, 0), (2.39, 19, 1, 1)),
)
#: Stata's deviance residuals, of which half the square is a loss.
DEVIANCES = (
    *(-0.2321102, -0.3502712, -0.6439626, -0.2290982, 1.060478, -0.2663844, -0.2317827),
    *(-0.3253788, -0.4853875, 0.8555557, -0.2225972, -0.6491808, -0.8819993, 1.813269),
    *(-0.9463985, -0.247583, -0.3320177, -0.2805444, -1.335131, 0.9103027, -0.3559217),
    *(0.4471892, -0.744005, -1.955074, 0.5939538, 1.209638, 0.952332, -0.8567857),
    *(0.5870719, 0.335292, -1.227311, 2.096639),
)
IMPROVED = tuple(float(row[3]) for row in SPECTOR)


def fitted():
    """Scores of the logistic regression, by Newton's method: where the loss is least."""
    # Stata keeps its data as float32.
    columns = np.array([(*row[:3], 1.0) for row in SPECTOR], np.float32).astype(float)
    coefficients = np.zeros(4)
    for _ in range(12):
        positive = 1 / (1 + np.exp(-columns @ coefficients))
        hessian = columns.T @ (columns * (positive * (1 - positive))[:, None])
        coefficients -= np.linalg.solve(hessian, columns.T @ (positive - IMPROVED))
    return tuple((columns @ coefficients).tolist())


LINEAR = fitted()

TABLE = (
    Published(
        "scikit-learn, log_loss, Examples",
        *(PROBABILITIES, (0.9, 0.1, 0.2, 0.65), (1, 0, 0, 1), 0.21616, 5e-5),
    ),
    Published(
        "scikit-learn, metrics/tests/test_classification.py, test_log_loss",
        *(PROBABILITIES, (0.5, 0.9, 0.99, 0.1, 0.25, 0.999), (0, 0, 0, 1, 1, 1)),
        *(1.8817971, 5e-8),
    ),
    Published(
        "PyTorch, BCEWithLogitsLoss, Examples: -log(sigmoid(1.5))",
        *(SCORES, (1.5,) * 10, (1.0,) * 10, 0.2014, 5e-5),
    ),
    Published(
        "PyTorch, test/test_mps.py, test_bce_with_logits_stability, which asks for finite losses",
        *(SCORES, (0.0, -120.0), (0.0, 1.0), (0.6931, 120.0), 2e-4, "none"),
    ),
    Published(
        "Keras, BinaryCrossentropy, Examples (digits cut, here and below)",
        *(SCORES, (-18.6, 0.51, 2.94, -12.8), (0, 1, 0, 0), 0.8654, 1e-4),
    ),
    Published(
        "Keras, BinaryCrossentropy, Examples, reduction=None (of two samples each)",
        *(SCORES, (-18.6, 0.51, 2.94, -12.8), (0, 1, 0, 0)),
        *((0.0, 2 * 0.235, 2 * 1.496, 0.0), 1e-3, "none"),
    ),
    Published(
        "Keras, BinaryCrossentropy, Examples, sample_weight=[0.8, 0.2] (a sum over the number)",
        *(SCORES, (-18.6, 0.51, 2.94, -12.8), (0, 1, 0, 0), 4 * 0.243, 4e-3, "sum"),
        (0.8, 0.8, 0.2, 0.2),
    ),
    Published(
        "Keras, binary_crossentropy, Examples",
        *(PROBABILITIES, (0.6, 0.4), (0, 1), 0.916, 5e-4),
    ),
    Published(
        "Keras, binary_crossentropy, Examples",
        *(PROBABILITIES, (0.4, 0.6), (0, 0), 0.714, 5e-4),
    ),
    Published(
        "Keras, losses_test.py, test_label_smoothing: (10 + 5 * 0.1) / 3, labels moved by 0.1 / 2",
        *(SCORES, (10.0, -10.0, -10.0), (0.95, 0.05, 0.95), 10.5 / 3, 1e-3),
    ),
    Published(
        "XGBoost, tests/cpp/metric/test_elementwise_metric.h, VerifyLogLoss",
        *(PROBABILITIES, (0.5, 1e-17, 1.0, 0.9), (0, 0, 1, 1), 0.1996, 5e-5),
    ),
    Published(
        "XGBoost, tests/cpp/metric/test_elementwise_metric.h, VerifyLogLoss",
        *(PROBABILITIES, (0.1, 0.9, 0.1, 0.9), (0, 0, 1, 1), 1.2039, 1e-4),
    ),
    Published(
        "XGBoost, tests/cpp/metric/test_elementwise_metric.h, VerifyLogLoss with weights",
        *(PROBABILITIES, (0.1, 0.9, 0.1, 0.9), (0, 0, 1, 1), 1.3138, 1e-4),
        weights=(1.0, 2.0, 9.0, 8.0),
    ),
    Published(
        "Stata by statsmodels, discrete/tests/results/results_discrete.py, Spector.logit, llf",
        *(SCORES, LINEAR, IMPROVED, 12.8896334653335, 5e-13, "sum"),
    ),
    Published(
        "the same, llnull: 11 of 32 improved",
        *(PROBABILITIES, (11 / 32,) * 32, IMPROVED, 20.5917296966173, 5e-13, "sum"),
    ),
    Published(
        "the same, resid_dev: half the square of each",
        *(SCORES, LINEAR, IMPROVED, tuple(d * d / 2 for d in DEVIANCES), 2e-6, "none"),
    ),
    Published(
        "LogExpFunctions.jl, test/basicfuns.jl, log1pexp (label -1): inputs, held to BigFloat",
        *(LOGISTIC, (-1e4, 1e4, 2.0, -2.0), (-1.0,) * 4),
        *((0.0, 1e4, 2.1269280110429727, 0.12692801104297263), 1e-15, "none"),
    ),
    Published(
        "SciPy, special/tests/test_logit.py, TestLogExpit",
        *(LOGISTIC, (500.0, 100.0, 10.0, -35.0), (1.0,) * 4),
        (7.124576406741286e-218, 3.720075976020836e-44, 4.5398899216870535e-05, 35.0),
        *(1e-14, "none"),
    ),
)
#: XGBoost, tests/cpp/objective/test_regression_obj.cc, LogisticRegressionGPair: scores, labels and
#: gradients, to 0.01; hessians are g (1 - g).
XGBOOST_GRADIENTS = {
    (0.0, 0): 0.5,
    (0.1, 0): 0.52,
    (0.9, 0): 0.71,
    (1.0, 0): 0.73,
    (0.0, 1): -0.5,
    (0.1, 1): -0.47,
    (0.9, 1): -0.28,
    (1.0, 1): -0.26,
}
#: PyTorch, test/test_mps.py, test_bce_with_logits_has_correct_grad_at_zero, and a soft label.
PYTORCH_GRADIENTS = {(0.0, 0): 0.5, (0.0, 0.25): 0.25}


def names(table):
    return [f"{number}-{row.source.split(',')[0]}" for number, row in enumerate(table)]


@pytest.mark.parametrize("row", TABLE, ids=names(TABLE))
def test_published_figures_are_mpmaths(row):
    expected = row.expected if isinstance(row.expected, tuple) else (row.expected,)
    for true, printed in zip(row.exact, expected, strict=True):
        assert abs(float(true) - printed) <= row.within * max(1.0, abs(printed))


@pytest.mark.parametrize("name", COMPUTED_BY)
@pytest.mark.parametrize("row", TABLE, ids=names(TABLE))
def test_ours_are_mpmaths(row, name):
    """To all digits, where others print a few."""
    first, labels = np.array(row.first), np.array(row.labels)
    got = getattr(xent_numba, row.operation.name)(
        first,
        labels,
        sample_weight=None if row.weights is None else np.array(row.weights),
        reduction=row.reduction,
        implementation=name,
    )
    true = [float(value) for value in row.exact]
    np.testing.assert_allclose(np.atleast_1d(got), true, rtol=1e-15, atol=0)


@pytest.mark.parametrize(
    "table", [XGBOOST_GRADIENTS, PYTORCH_GRADIENTS], ids=["XGBoost", "PyTorch"]
)
@pytest.mark.parametrize("name", COMPUTED_BY)
def test_gradients(name, table):
    rows = list(table)
    scores, labels = (np.array(column, float) for column in zip(*rows, strict=True))
    true = [float(oracle.exact_gradient(GRADIENT, *row)) for row in rows]
    assert true == pytest.approx(list(table.values()), abs=0.01)
    _, gradients = xent_numba.binary_cross_entropy_with_logits_and_grad(
        scores, labels, reduction="none", implementation=name
    )
    np.testing.assert_allclose(gradients, true, rtol=1e-15, atol=0)


@pytest.mark.parametrize("name", COMPUTED_BY)
def test_logistic_at_its_ends(name):
    """LogExpFunctions.jl, test/basicfuns.jl, logistic."""
    low, tiny, high, one = xent_numba.sigmoid([-750.0, -740.0, 36.0, 750.0], implementation=name)
    assert low == 0 < tiny
    assert high < 1 == one
    assert tiny == float(oracle.exact(SIGMOID, -740.0))
