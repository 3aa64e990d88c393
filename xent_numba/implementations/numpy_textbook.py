"""NumPy: the textbook formulas on whole arrays."""

from __future__ import annotations

import numpy as np
from numpy import ndarray

from xent_numba.reduction import elementwise, from_losses, from_losses_and_gradients
from xent_numba.registry import implements


@implements("sigmoid", formulation="textbook", max_ulp={"float32": 4, "float64": 4})
@elementwise
def sigmoid(scores: ndarray) -> ndarray:
    """1 / (1 + exp(-s))."""
    return 1 / (1 + np.exp(-scores))


@implements("binary_cross_entropy", formulation="textbook", max_ulp={"float32": 4, "float64": 4})
@from_losses("binary_cross_entropy")
def binary_cross_entropy(probabilities: ndarray, labels: ndarray) -> ndarray:
    """-[y log p + (1 - y) log(1 - p)]."""
    return -(labels * np.log(probabilities) + (1 - labels) * np.log(1 - probabilities))


@implements("logistic_loss", formulation="textbook", max_ulp={"float32": 4, "float64": 4})
@from_losses("logistic_loss")
def logistic_loss(scores: ndarray, labels: ndarray) -> ndarray:
    """log(1 + exp(-y s))."""
    return np.log(1 + np.exp(-labels * scores))


@implements(
    "binary_cross_entropy_with_logits",
    formulation="textbook",
    max_ulp={"float32": 4, "float64": 4},
)
@from_losses("binary_cross_entropy_with_logits")
def binary_cross_entropy_with_logits(scores: ndarray, labels: ndarray) -> ndarray:
    """log(1 + exp(s)) - y s."""
    return np.log(1 + np.exp(scores)) - labels * scores


@implements(
    "logistic_loss_and_grad",
    formulation="textbook",
    max_ulp={"float32": 4, "float64": 4},
    max_ulp_gradient={"float32": 4, "float64": 4},
)
@from_losses_and_gradients("logistic_loss_and_grad")
def logistic_loss_and_grad(scores: ndarray, labels: ndarray) -> tuple[ndarray, ndarray]:
    """log(1 + exp(-y s)) and -y / (1 + exp(y s))."""
    loss = np.log(1 + np.exp(-labels * scores))
    return loss, -labels / (1 + np.exp(labels * scores))


@implements(
    "binary_cross_entropy_with_logits_and_grad",
    formulation="textbook",
    max_ulp={"float32": 4, "float64": 4},
    max_ulp_gradient={"float32": 4, "float64": 4},
)
@from_losses_and_gradients("binary_cross_entropy_with_logits_and_grad")
def binary_cross_entropy_with_logits_and_grad(
    scores: ndarray, labels: ndarray
) -> tuple[ndarray, ndarray]:
    """log(1 + exp(s)) - y s and 1 / (1 + exp(-s)) - y."""
    loss = np.log(1 + np.exp(scores)) - labels * scores
    return loss, 1 / (1 + np.exp(-scores)) - labels
