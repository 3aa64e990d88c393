"""A fit of real flights on dask arrays: the coefficients of the one in memory; dask-ml's time."""

from __future__ import annotations

import importlib.util
import runpy
import time
import timeit
import warnings
from pathlib import Path
from typing import Any

import dask
import dask.array as da
import numpy as np
from trial import report, told

import xent_numba
from xent_numba.workloads import flights

EXAMPLE = Path(__file__).parents[2] / "examples" / "flights_logistic_regression.py"
CHUNKS = 6


def share(function: Any, calls: int, seconds: float) -> float:
    """Part of some seconds that so many calls of a function take."""
    return calls * min(timeit.repeat(function, number=1, repeat=3)) / seconds


def ours(columns: np.ndarray, late: np.ndarray, lazy: list[Any]) -> dict[str, Any]:
    example = runpy.run_path(str(EXAMPLE))
    calls = []
    loss = example["logistic_loss_and_grad"]

    def counted(*arguments: Any, **options: Any) -> Any:
        calls.append(1)
        return loss(*arguments, **options)

    in_chunks, in_memory = example["fit"](*lazy), example["fit"](columns, late)
    example["fit"].__globals__["logistic_loss_and_grad"] = counted
    example["fit"](columns, late)
    scores = columns @ in_memory.coefficients[:-1]
    labels = (2 * late.astype(np.int8) - 1).astype(np.int8)
    gradient = np.empty(len(scores))

    def evaluate() -> Any:
        return xent_numba.logistic_loss_and_grad(scores, labels, reduction="sum", grad_out=gradient)

    evaluate()
    return {
        "same_bits": in_chunks.coefficients.tobytes() == in_memory.coefficients.tobytes(),
        "evaluations": len(calls),
        "seconds_in_chunks": in_chunks.seconds,
        "seconds_in_memory": in_memory.seconds,
        "share_of_the_loss_in_memory": share(evaluate, len(calls), in_memory.seconds),
    }


def theirs(columns: np.ndarray, late: np.ndarray, lazy: list[Any]) -> dict[str, Any]:
    """dask-ml's fit by L-BFGS, and what exp and log1p on whole arrays would take of it."""
    if importlib.util.find_spec("dask_ml") is None:
        return {"dask_ml": "is not installed"}
    warnings.simplefilter("ignore")
    from dask_glm import families
    from dask_ml.linear_model import LogisticRegression

    calls = []
    for name in ("loglike", "gradient"):
        method = getattr(families.Logistic, name)

        def counted(*arguments: Any, name: str = name, method: Any = method) -> Any:
            calls.append(name)
            return method(*arguments)

        setattr(families.Logistic, name, staticmethod(counted))
    model = LogisticRegression(solver="lbfgs", C=1.0, max_iter=100)
    start = time.perf_counter()
    model.fit(*lazy)
    seconds = time.perf_counter() - start
    scores = columns @ np.ravel(model.coef_)
    return {
        "dask_ml": "installed",
        "dask_ml_seconds": seconds,
        "dask_ml_evaluations": calls.count("loglike"),
        "dask_ml_share_of_exp_and_log1p": share(
            lambda: (np.log1p(np.exp(scores)), np.exp(-scores)), calls.count("loglike"), seconds
        ),
        "dask_ml_share_of_dot": share(
            lambda: (columns @ model.coef_.ravel(), scores @ columns), len(calls) // 2, seconds
        ),
        "dask_ml_accuracy": float(np.mean((scores + model.intercept_ > 0) == late)),
    }


def main() -> None:
    (most,) = told()
    table = flights.read()
    columns, late = flights.design_matrix(table)[:most], table.late[:most]
    rows = -(-len(columns) // CHUNKS)
    lazy = [da.from_array(columns, chunks=(rows, -1)), da.from_array(late, chunks=rows)]
    dask.compute(*lazy)
    figures = {"flights": len(columns), "columns": columns.shape[1]}
    report(**figures, **ours(columns, late, lazy), **theirs(columns, late, lazy))


if __name__ == "__main__":
    main()
