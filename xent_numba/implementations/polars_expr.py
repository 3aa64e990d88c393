"""polars: stable formulas as expressions on the columns of a data frame, sums by polars."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy import ndarray

from xent_numba.operations import Call
from xent_numba.peer import evaluate_bound, missing
from xent_numba.registry import implements

_COLUMNS = ("first", "labels", "weights")


DISTRIBUTION = "polars"


def unavailable() -> str | None:
    """See `registry`."""
    return missing("polars", "'xent-numba[peers]'")


def bind(operation: str, inputs: tuple[ndarray, ...], reduction: str) -> Callable[[], Any]:
    """See `registry`."""
    import polars

    arrays = [np.ascontiguousarray(array, inputs[0].dtype) for array in inputs]
    frame = polars.DataFrame(dict(zip(_COLUMNS, arrays, strict=False)))
    losses = _expression(operation)
    weights = polars.col("weights")
    if len(arrays) > 2:
        losses = losses * weights
    if reduction == "none":
        return lambda: frame.select(losses).to_series().to_numpy()
    total = losses.sum()
    if reduction == "mean":
        total = total / weights.sum() if len(arrays) > 2 else losses.mean()
    return lambda: arrays[0].dtype.type(frame.select(total).item())


def _expression(operation: str) -> Any:
    """Return the losses as an expression; a comparison takes NaN for greater than any number."""
    from polars import col, when

    s = p = col("first")
    y = col("labels")

    def softplus_of_minus(magnitude: Any) -> Any:
        return (-magnitude).exp().log1p()

    if operation == "sigmoid":
        e = (-s.abs()).exp()
        return when(s >= 0).then(1).otherwise(e) / (1 + e)
    if operation == "logistic_loss":
        return when(y * s < 0).then(-y * s).otherwise(0) + softplus_of_minus((y * s).abs())
    if operation == "binary_cross_entropy_with_logits":
        wrong = when(s > 0).then(1 - y).otherwise(y)
        linear = when(wrong == 0).then(0).otherwise(wrong * s.abs())
        return linear + softplus_of_minus(s.abs())
    # abs for a minus, since polars takes 0 - x for -x and x + 0 for x: a loss of zero has no sign.
    positive = when(y == 0).then(0).otherwise(y * p.log().abs())
    return positive + when(y == 1).then(0).otherwise((1 - y) * (-p).log1p().abs())


@implements(
    "sigmoid",
    formulation="stable",
    max_ulp={"float32": 3, "float64": 3},
    summary="polars: (1 or e) / (1 + e), e = (-s.abs()).exp().",
)
@implements(
    "logistic_loss",
    formulation="stable",
    max_ulp={"float32": 2, "float64": 2},
    summary="polars: max(-y s, 0) + (-s.abs()).exp().log1p().",
)
@implements(
    "binary_cross_entropy_with_logits",
    formulation="stable",
    max_ulp={"float32": 2, "float64": 2},
    summary="polars: w |s| + (-s.abs()).exp().log1p(), w the share of the label across from s.",
)
@implements(
    "binary_cross_entropy",
    formulation="stable",
    max_ulp={"float32": 2, "float64": 2},
    max_ulp_soft={"float32": 5, "float64": 3},
    summary="polars: -[y p.log() + (1 - y) (-p).log1p()], a class of weight zero adds nothing.",
)
def compute(call: Call) -> Any:
    """Evaluate the expression of the operation."""
    return evaluate_bound(call, bind)
