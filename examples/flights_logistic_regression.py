"""Train a logistic regression on real flights, with the kernels of xent_numba as its loss.

Will a flight that leaves New York arrive more than 15 minutes late? The coefficients are those of
scikit-learn, which minimises the same function with the same optimiser.

Run it with ``python examples/flights_logistic_regression.py``.
"""

# ruff: noqa: T201 - an example shows its results

from __future__ import annotations

import time
from typing import NamedTuple

import numpy as np
from numpy import ndarray
from scipy.optimize import minimize

from xent_numba import logistic_loss_and_grad
from xent_numba.workloads import flights

PENALTY = 1.0
TOLERANCE = 1e-10


class Fit(NamedTuple):
    """Coefficients, the intercept last, and the seconds that it took to find them."""

    coefficients: ndarray
    seconds: float


def fit(columns: ndarray, late: ndarray) -> Fit:
    """Minimise the summed logistic loss plus half the squared length of the weights."""
    labels = np.where(late, 1, -1).astype(np.int8)
    scores, gradient = np.empty(len(columns)), np.empty(len(columns))

    def objective(coefficients: ndarray) -> tuple[float, ndarray]:
        weights, intercept = coefficients[:-1], coefficients[-1]
        np.dot(columns, weights, out=scores)
        np.add(scores, intercept, out=scores)
        loss, _ = logistic_loss_and_grad(scores, labels, reduction="sum", grad_out=gradient)
        # By the chain rule: scores are columns @ weights + intercept.
        slope = np.append(gradient @ columns + PENALTY * weights, gradient.sum())
        # Divided by the number of flights, as the optimiser's tolerances are absolute.
        return (loss + PENALTY / 2 * weights @ weights) / len(labels), slope / len(labels)

    start = time.perf_counter()
    found = minimize(
        objective,
        np.zeros(columns.shape[1] + 1),
        jac=True,
        method="L-BFGS-B",
        options={"gtol": TOLERANCE, "ftol": 64 * np.finfo(float).eps, "maxls": 50},
    )
    return Fit(found.x, time.perf_counter() - start)


def fit_with_sklearn(columns: ndarray, late: ndarray) -> Fit:
    """Let scikit-learn minimise the same function."""
    from sklearn.linear_model import LogisticRegression

    model = LogisticRegression(C=1 / PENALTY, solver="lbfgs", tol=TOLERANCE, max_iter=1000)
    start = time.perf_counter()
    model.fit(columns, late)
    seconds = time.perf_counter() - start
    return Fit(np.append(model.coef_.ravel(), model.intercept_), seconds)


def main() -> None:
    """Fit twice, and compare."""
    table = flights.read()
    columns = flights.design_matrix(table)
    print(f"{len(columns)} flights, {columns.shape[1]} columns, {table.late.mean():.1%} late")
    fit(columns[:1000], table.late[:1000])  # compiles
    ours, theirs = fit(columns, table.late), fit_with_sklearn(columns, table.late)
    difference = np.linalg.norm(ours.coefficients - theirs.coefficients)
    difference /= np.linalg.norm(theirs.coefficients)
    print(f"xent_numba and SciPy: {ours.seconds:.2f} s")
    print(f"scikit-learn:         {theirs.seconds:.2f} s")
    print(f"Relative difference of the coefficients: {difference:.1e}")


if __name__ == "__main__":
    main()
