"""SciPy: the ufuncs of scipy.special, on one thread, and sums by NumPy."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy import ndarray

from xent_numba import reduction
from xent_numba.operations import Call
from xent_numba.peer import SIGMOID_FLUSHED, bind_filled, missing
from xent_numba.registry import implements

DISTRIBUTION = "scipy"


def unavailable() -> str | None:
    """See `registry`."""
    return missing("scipy", "'xent-numba[bench]'")


def bind(operation: str, inputs: tuple[ndarray, ...], reduction: str) -> Callable[[], Any]:
    """See `registry`."""
    return bind_filled(_FILL[operation], inputs, reduction)


def _fill_sigmoid(scores: ndarray, out: ndarray) -> ndarray:
    from scipy.special import expit

    expit(scores, out)
    return out


def _fill_logistic_loss(scores: ndarray, labels: ndarray, out: ndarray) -> ndarray:
    from scipy.special import log_expit

    np.multiply(labels, scores, out)
    log_expit(out, out)
    # 0 - x and not -x, as a loss of zero has no sign.
    return np.subtract(0, out, out)


def _fill_with_logits(scores: ndarray, labels: ndarray, out: ndarray) -> ndarray:
    from scipy.special import log_expit

    magnitude = np.abs(scores)
    log_expit(magnitude, out)
    wrong = np.where(scores > 0, 1 - labels, labels)
    linear = np.where(wrong == 0, 0, wrong * magnitude)
    return np.subtract(linear, out, out)


def _fill_binary_cross_entropy(probabilities: ndarray, labels: ndarray, out: ndarray) -> ndarray:
    from scipy.special import xlog1py, xlogy

    xlogy(labels, probabilities, out)
    out += xlog1py(1 - labels, -probabilities)
    return np.subtract(0, out, out)


_FILL: dict[str, Callable[..., ndarray]] = {
    "sigmoid": _fill_sigmoid,
    "logistic_loss": _fill_logistic_loss,
    "binary_cross_entropy_with_logits": _fill_with_logits,
    "binary_cross_entropy": _fill_binary_cross_entropy,
}


@implements(
    "sigmoid",
    formulation="stable",
    max_ulp={"float32": 3, "float64": 3},
    known_failures=SIGMOID_FLUSHED,
    summary="scipy.special.expit(s).",
)
@implements(
    "logistic_loss",
    formulation="stable",
    max_ulp={"float32": 2, "float64": 2},
    summary="-scipy.special.log_expit(y s).",
)
@implements(
    "binary_cross_entropy_with_logits",
    formulation="stable",
    max_ulp={"float32": 2, "float64": 2},
    summary="-scipy.special.log_expit(|s|) + w |s|, w the share of the label across from s.",
)
@implements(
    "binary_cross_entropy",
    formulation="stable",
    max_ulp={"float32": 2, "float64": 3},
    max_ulp_soft={"float32": 3},
    summary="-(scipy.special.xlogy(y, p) + scipy.special.xlog1py(1 - y, -p)).",
)
def compute(call: Call) -> Any:
    """Fill an array by the ufuncs of the operation."""
    fill = _FILL[call.operation.name]
    return reduction.evaluate(call, lambda *inputs: fill(*inputs, np.empty_like(inputs[0])))
