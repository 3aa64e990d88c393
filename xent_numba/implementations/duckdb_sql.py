"""DuckDB: the formulas in SQL over the arrays where they lie, in double precision, sums by DuckDB.

Its functions know double precision alone, and it has no log1p, which is
log(1 + x) = 2 atanh(x / (2 + x)). NaN is NULL to it where an array of NumPy's holds it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy import ndarray

from xent_numba.operations import Call
from xent_numba.peer import evaluate_bound, missing, threads
from xent_numba.registry import implements

_COLUMNS = ("s", "y", "w")
_LOG1P = "2 * atanh(exp(-abs(s)) / (2 + exp(-abs(s))))"
_WRONG = "CASE WHEN s > 0 THEN 1 - y ELSE y END"
_FORMULAS = {
    "sigmoid": "CASE WHEN s >= 0 THEN 1 ELSE exp(s) END / (1 + exp(-abs(s)))",
    "logistic_loss": f"CASE WHEN y * s < 0 THEN abs(s) ELSE 0 END + {_LOG1P}",
    "binary_cross_entropy_with_logits": (
        f"CASE WHEN {_WRONG} = 0 THEN 0 ELSE ({_WRONG}) * abs(s) END + {_LOG1P}"
    ),
    "binary_cross_entropy": (
        "CASE WHEN y = 0 THEN 0 ELSE -y * ln(s) END"
        " + CASE WHEN y = 1 THEN 0 ELSE"
        " (1 - y) * CASE WHEN s < 0.5 THEN 2 * atanh(s / (2 - s)) ELSE -ln(1 - s) END END"
    ),
}


DISTRIBUTION = "duckdb"


def unavailable() -> str | None:
    """See `registry`."""
    return missing("duckdb", "'xent-numba[peers]'")


def bind(operation: str, inputs: tuple[ndarray, ...], reduction: str) -> Callable[[], Any]:
    """See `registry`."""
    connection = _connection()
    arrays = [np.ascontiguousarray(array, inputs[0].dtype) for array in inputs]
    connection.register("samples", dict(zip(_COLUMNS, arrays, strict=False)))
    columns = ", ".join(f"{name}::DOUBLE AS {name}" for name in _COLUMNS[: len(arrays)])
    wide = f"(SELECT {columns} FROM samples)"  # noqa: S608 - our own words
    formula = f"coalesce({_FORMULAS[operation]}, 'NaN'::DOUBLE)"
    if len(arrays) > 2:
        formula += " * w"
    if reduction == "none":
        kind = "FLOAT" if arrays[0].dtype == np.float32 else "DOUBLE"
        query = f"SELECT ({formula})::{kind} AS found FROM {wide}"  # noqa: S608 - our own words
        return lambda: connection.execute(query).fetchnumpy()["found"]
    divisor = 1 if reduction == "sum" else "sum(w)" if len(arrays) > 2 else arrays[0].size
    query = f"SELECT sum({formula}) / {divisor} FROM {wide}"  # noqa: S608 - our own words
    return lambda: arrays[0].dtype.type(connection.execute(query).fetchone()[0])


def _connection() -> Any:
    import duckdb

    return duckdb.connect(config={"threads": threads()})


@implements(
    "sigmoid",
    formulation="stable",
    max_ulp={"float32": 1, "float64": 4},
    summary="duckdb: (1 or exp(s)) / (1 + exp(-abs(s))).",
)
@implements(
    "logistic_loss",
    formulation="stable",
    max_ulp={"float32": 1, "float64": 4},
    summary="duckdb: max(-y s, 0) + log1p(exp(-abs(s))), by atanh.",
)
@implements(
    "binary_cross_entropy_with_logits",
    formulation="stable",
    max_ulp={"float32": 1, "float64": 4},
    summary="duckdb: w |s| + log1p(exp(-abs(s))), by atanh, w the label across from s.",
)
@implements(
    "binary_cross_entropy",
    formulation="stable",
    max_ulp={"float32": 1, "float64": 4},
    summary="duckdb: -[y ln(p) + (1 - y) log1p(-p)], by atanh.",
)
def compute(call: Call) -> Any:
    """Evaluate the query of the operation."""
    return evaluate_bound(call, bind)
