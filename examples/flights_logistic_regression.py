"""Train a logistic regression on real flights, with the kernels of xent_numba as its loss.

Will a flight that leaves New York arrive more than 15 minutes late? The coefficients are those of
scikit-learn, which minimises the same function with the same optimiser.

Run it with ``python examples/flights_logistic_regression.py``.
"""

# ruff: noqa: T201 - an example shows its results

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numba import njit, prange
from numpy import ndarray
from scipy.optimize import minimize

from xent_numba import logistic_loss_and_grad
from xent_numba.workloads import flights

PENALTY = 1.0
TOLERANCE = 1e-10
ROWS = 2048
"""Flights that are added up together, wherever an array is cut: sums have the same bits then."""

Evaluate = Callable[[ndarray], tuple[float, ndarray]]


class Fit(NamedTuple):
    """Coefficients, the intercept last, and the seconds that it took to find them."""

    coefficients: ndarray
    seconds: float


def scores_of(columns: ndarray, coefficients: ndarray) -> ndarray:
    """Scores of flights, the intercept last among the coefficients."""
    scores = np.empty(len(columns))
    for i in prange(len(columns)):
        score = coefficients[-1]
        for j in range(columns.shape[1]):
            score += columns[i, j] * coefficients[j]
        scores[i] = score
    return scores


def slopes_of(gradient: ndarray, columns: ndarray) -> ndarray:
    """By the chain rule the slope of the summed loss; a row for each ROWS flights.

    One flight is added after the other, whoever calls it; a product by BLAS has another order for
    another number of threads.
    """
    sums = np.empty((-(-len(columns) // ROWS), columns.shape[1] + 1))
    for part in prange(len(sums)):
        row = np.zeros(columns.shape[1] + 1)
        for i in range(part * ROWS, min((part + 1) * ROWS, len(columns))):
            for j in range(columns.shape[1]):
                row[j] += gradient[i] * columns[i, j]
            row[-1] += gradient[i]
        sums[part] = row
    return sums


ON_ALL_THREADS = [njit(parallel=True)(function) for function in (scores_of, slopes_of)]
IN_A_TASK = [njit(nogil=True)(function) for function in (scores_of, slopes_of)]


def in_memory(columns: ndarray, labels: ndarray) -> Evaluate:
    """The summed loss and its slopes, of NumPy arrays."""
    gradient = np.empty(len(columns))
    scores_on_threads, slopes_on_threads = ON_ALL_THREADS

    def evaluate(coefficients: ndarray) -> tuple[float, ndarray]:
        scores = scores_on_threads(columns, coefficients)
        loss, _ = logistic_loss_and_grad(scores, labels, reduction="sum", grad_out=gradient)
        return loss, slopes_on_threads(gradient, columns)

    return evaluate


def in_chunks(columns: Any, labels: Any) -> Evaluate:
    """The same of dask arrays, chunk by chunk and with the same bits."""
    import dask
    import dask.array as da

    columns = columns.rechunk({0: 32 * ROWS, 1: -1})
    scores_in_task, slopes_in_task = IN_A_TASK

    def evaluate(coefficients: ndarray) -> tuple[float, ndarray]:
        scores = da.blockwise(
            scores_in_task, "i", columns, "ij", coefficients, None, dtype=float, concatenate=True
        )
        loss, gradient = logistic_loss_and_grad(scores, labels, reduction="sum")
        rows = {"i": lambda flights: -(-flights // ROWS), "j": lambda width: width + 1}
        slopes = da.blockwise(
            slopes_in_task, "ij", gradient, "i", columns, "ij", dtype=float, adjust_chunks=rows
        )
        found: tuple[float, ndarray] = dask.compute(loss, slopes)
        return found

    return evaluate


def fit(columns: Any, late: Any) -> Fit:
    """Minimise the summed logistic loss plus half the squared length of the weights.

    `columns` and `late` are NumPy arrays, or dask arrays of more flights than memory holds.
    """
    labels = (2 * late.astype(np.int8) - 1).astype(np.int8)
    evaluate = (in_memory if isinstance(columns, ndarray) else in_chunks)(columns, labels)

    def objective(coefficients: ndarray) -> tuple[float, ndarray]:
        weights = coefficients[:-1]
        loss, slopes = evaluate(coefficients)
        slope = np.add.reduce(slopes) + PENALTY * np.append(weights, 0)
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
