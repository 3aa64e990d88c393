"""SciPy: the ufuncs of scipy.special, on one thread, and sums by NumPy."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy import ndarray

from xent_numba.peer import SIGMOID_FLUSHED, bind_filled, missing
from xent_numba.reduction import from_losses
from xent_numba.registry import implements


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
)
def sigmoid(scores: ndarray, *, out: ndarray) -> ndarray:
    """scipy.special.expit(s)."""
    return _fill_sigmoid(scores, out)


@implements("logistic_loss", formulation="stable", max_ulp={"float32": 2, "float64": 2})
@from_losses("logistic_loss")
def logistic_loss(scores: ndarray, labels: ndarray) -> ndarray:
    """-scipy.special.log_expit(y s)."""
    return _fill_logistic_loss(scores, labels, np.empty_like(scores))


@implements(
    "binary_cross_entropy_with_logits",
    formulation="stable",
    max_ulp={"float32": 2, "float64": 2},
)
@from_losses("binary_cross_entropy_with_logits")
def binary_cross_entropy_with_logits(scores: ndarray, labels: ndarray) -> ndarray:
    """-scipy.special.log_expit(|s|) + w |s|, w the share of the label across from s."""
    return _fill_with_logits(scores, labels, np.empty_like(scores))


@implements("binary_cross_entropy", formulation="stable", max_ulp={"float32": 2, "float64": 3})
@from_losses("binary_cross_entropy")
def binary_cross_entropy(probabilities: ndarray, labels: ndarray) -> ndarray:
    """-(scipy.special.xlogy(y, p) + scipy.special.xlog1py(1 - y, -p))."""
    return _fill_binary_cross_entropy(probabilities, labels, np.empty_like(probabilities))
