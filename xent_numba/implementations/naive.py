"""Plain Python: the textbook formulas, one sample at a time.

Python computes in double precision whatever the input, and its `math` functions raise where IEEE
arithmetic would return an infinity.
"""

from __future__ import annotations

from collections.abc import Callable
from math import exp, log

import numpy as np
from numpy import ndarray

from xent_numba.reduction import elementwise, from_losses, from_losses_and_gradients
from xent_numba.registry import implements


def _total(values: ndarray) -> float:
    total = 0.0
    for value in values.ravel().tolist():
        total += value
    return total


def _each(formula: Callable[..., float], *arrays: ndarray) -> ndarray:
    columns = (array.ravel().tolist() for array in arrays)
    values = [formula(*sample) for sample in zip(*columns, strict=True)]
    return np.array(values, np.float64).reshape(arrays[0].shape)


@implements("sigmoid", formulation="textbook", max_ulp={"float32": 1, "float64": 4})
@elementwise
def sigmoid(scores: ndarray) -> ndarray:
    """1 / (1 + exp(-s))."""
    return _each(lambda s: 1 / (1 + exp(-s)), scores)


@implements("binary_cross_entropy", formulation="textbook", max_ulp={"float32": 1, "float64": 4})
@from_losses("binary_cross_entropy", _total)
def binary_cross_entropy(probabilities: ndarray, labels: ndarray) -> ndarray:
    """-[y log p + (1 - y) log(1 - p)]."""
    return _each(lambda p, y: -(y * log(p) + (1 - y) * log(1 - p)), probabilities, labels)


@implements("logistic_loss", formulation="textbook", max_ulp={"float32": 1, "float64": 4})
@from_losses("logistic_loss", _total)
def logistic_loss(scores: ndarray, labels: ndarray) -> ndarray:
    """log(1 + exp(-y s))."""
    return _each(lambda s, y: log(1 + exp(-y * s)), scores, labels)


@implements(
    "binary_cross_entropy_with_logits",
    formulation="textbook",
    max_ulp={"float32": 1, "float64": 4},
)
@from_losses("binary_cross_entropy_with_logits", _total)
def binary_cross_entropy_with_logits(scores: ndarray, labels: ndarray) -> ndarray:
    """log(1 + exp(s)) - y s."""
    return _each(lambda s, y: log(1 + exp(s)) - y * s, scores, labels)


@implements(
    "logistic_loss_and_grad",
    formulation="textbook",
    max_ulp={"float32": 1, "float64": 4},
    max_ulp_gradient={"float32": 1, "float64": 4},
)
@from_losses_and_gradients("logistic_loss_and_grad", _total)
def logistic_loss_and_grad(scores: ndarray, labels: ndarray) -> tuple[ndarray, ndarray]:
    """log(1 + exp(-y s)) and -y / (1 + exp(y s))."""
    loss = _each(lambda s, y: log(1 + exp(-y * s)), scores, labels)
    return loss, _each(lambda s, y: -y / (1 + exp(y * s)), scores, labels)


@implements(
    "binary_cross_entropy_with_logits_and_grad",
    formulation="textbook",
    max_ulp={"float32": 1, "float64": 4},
    max_ulp_gradient={"float32": 1, "float64": 4},
)
@from_losses_and_gradients("binary_cross_entropy_with_logits_and_grad", _total)
def binary_cross_entropy_with_logits_and_grad(
    scores: ndarray, labels: ndarray
) -> tuple[ndarray, ndarray]:
    """log(1 + exp(s)) - y s and 1 / (1 + exp(-s)) - y."""
    loss = _each(lambda s, y: log(1 + exp(s)) - y * s, scores, labels)
    return loss, _each(lambda s, y: 1 / (1 + exp(-s)) - y, scores, labels)
