"""NumPy: the stable formulas on whole arrays.

Everything is written in e = exp(-|s|), which cannot overflow:

    g(s)             = 1 / (1 + e)  for s >= 0,  e / (1 + e)  for s < 0
    log(1 + exp(-m)) = max(-m, 0) + log1p(e)       with e = exp(-|m|)
"""

from __future__ import annotations

import numpy as np
from numpy import ndarray

from xent_numba.reduction import per_sample
from xent_numba.registry import implements

#: float32 is dominated by NumPy's vectorised exp and log, which are within some 2.5 and 3.8 ULP.
_SIGMOID_ULP = {"float32": 4.0, "float64": 3.0}
_LOSS_ULP = {"float32": 4.0, "float64": 2.0}
# Measured with the logarithms of NumPy 1.26, whose log1p is the least accurate supported.
_PROBABILITY_ULP = {"float32": 4.0, "float64": 1.5}
# 2.002 was seen with those that NumPy takes without AVX-512.
_SOFT_PROBABILITY_ULP = {"float64": 3.0}


@implements("sigmoid", formulation="stable", max_ulp=_SIGMOID_ULP)
@per_sample
def sigmoid(scores: ndarray) -> ndarray:
    """1 / (1 + exp(-s)), with the exponential of a negative number only."""
    return _sigmoid(scores)


@implements(
    "binary_cross_entropy",
    formulation="stable",
    max_ulp=_PROBABILITY_ULP,
    max_ulp_soft=_SOFT_PROBABILITY_ULP,
)
@per_sample
def binary_cross_entropy(probabilities: ndarray, labels: ndarray) -> ndarray:
    """-[y log p + (1 - y) log1p(-p)], where a class of weight zero adds nothing."""
    positive = np.where(labels == 0, 0, -labels * np.log(probabilities))
    negative = np.where(labels == 1, 0, (labels - 1) * np.log1p(-probabilities))
    return positive + negative


@implements("logistic_loss", formulation="stable", max_ulp=_LOSS_ULP)
@per_sample
def logistic_loss(scores: ndarray, labels: ndarray) -> ndarray:
    """log(1 + exp(-y s))."""
    return _softplus(-labels * scores)


@implements("binary_cross_entropy_with_logits", formulation="stable", max_ulp=_LOSS_ULP)
@per_sample
def binary_cross_entropy_with_logits(scores: ndarray, labels: ndarray) -> ndarray:
    """log1p(exp(-|s|)) + w |s|, with w the share of the label that s is on the wrong side of."""
    return _with_logits(scores, labels)


@implements(
    "logistic_loss_and_grad", formulation="stable", max_ulp=_LOSS_ULP, max_ulp_gradient=_SIGMOID_ULP
)
@per_sample
def logistic_loss_and_grad(scores: ndarray, labels: ndarray) -> tuple[ndarray, ndarray]:
    """The loss, and -y g(-y s)."""
    return _softplus(-labels * scores), -labels * _sigmoid(-labels * scores)


@implements(
    "binary_cross_entropy_with_logits_and_grad",
    formulation="stable",
    max_ulp=_LOSS_ULP,
    max_ulp_gradient=_SIGMOID_ULP,
)
@per_sample
def binary_cross_entropy_with_logits_and_grad(
    scores: ndarray, labels: ndarray
) -> tuple[ndarray, ndarray]:
    """The loss, and (1 - y) g(s) - y g(-s), which is g(s) - y without its cancellation."""
    gradients = (1 - labels) * _sigmoid(scores) - labels * _sigmoid(-scores)
    return _with_logits(scores, labels), gradients


def _softplus(x: ndarray) -> ndarray:
    return np.maximum(x, 0) + np.log1p(np.exp(-np.abs(x)))


def _sigmoid(s: ndarray) -> ndarray:
    e = np.exp(-np.abs(s))
    return np.where(s >= 0, 1, e) / (1 + e)


def _with_logits(s: ndarray, y: ndarray) -> ndarray:
    wrong = np.where(s > 0, 1 - y, y)
    linear = np.where(wrong == 0, 0, wrong * np.abs(s))
    return linear + np.log1p(np.exp(-np.abs(s)))
