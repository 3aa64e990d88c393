"""One pass over a block of samples for every operation: check the labels, compute, store.

Labels are compared in their own type and never stored as anything else. A label is positive or
not, and separately it is allowed or not: the flag costs a comparison, an ``or``, and no branch.
"""

from __future__ import annotations

from typing import Any

from numba import njit

from xent_numba.kernels.bits import prefer_full_vectors
from xent_numba.kernels.losses import (
    cross_entropy,
    hard_cross_entropy,
    logistic_loss,
    logistic_loss_and_slope,
    sigmoid,
    soft_logistic_gradient,
    soft_logistic_loss,
)


@njit(error_model="numpy")
def sigmoids(scores: Any, out: Any) -> None:
    """g(s) for a block."""
    prefer_full_vectors()
    for i in range(scores.size):
        out[i] = sigmoid(scores[i])


@njit(error_model="numpy")
def logistic_losses(scores: Any, labels: Any, losses: Any, _gradients: None) -> bool:
    """L(ys) for labels -1/+1."""
    prefer_full_vectors()
    bad = False
    for i in range(scores.size):
        s, y = scores[i], labels[i]
        bad |= (y != 1) & (y != -1)
        losses[i] = logistic_loss(s if y > 0 else -s)
    return bad


@njit(error_model="numpy")
def logistic_losses_and_gradients(scores: Any, labels: Any, losses: Any, gradients: Any) -> bool:
    """L(ys) and -y g(-ys) for labels -1/+1."""
    prefer_full_vectors()
    bad = False
    for i in range(scores.size):
        s, y = scores[i], labels[i]
        bad |= (y != 1) & (y != -1)
        losses[i], slope = logistic_loss_and_slope(s if y > 0 else -s)
        gradients[i] = -slope if y > 0 else slope
    return bad


@njit(error_model="numpy")
def _hard_with_logits(scores: Any, labels: Any, losses: Any, gradients: Any) -> bool:
    """Fill for labels 0/1; return whether any label is neither."""
    prefer_full_vectors()
    other = False
    for i in range(scores.size):
        s, y = scores[i], labels[i]
        other |= (y != 1) & (y != 0)
        margin = s if y > 0 else -s
        if gradients is None:
            losses[i] = logistic_loss(margin)
        else:
            losses[i], slope = logistic_loss_and_slope(margin)
            gradients[i] = -slope if y > 0 else slope
    return other


@njit(error_model="numpy")
def _soft_with_logits(scores: Any, labels: Any, losses: Any, gradients: Any) -> bool:
    """Fill for labels in [0, 1]; return whether any label is outside."""
    prefer_full_vectors()
    bad = False
    for i in range(scores.size):
        s, y = scores[i], scores.dtype.type(labels[i])
        bad |= not ((y >= 0) & (y <= 1))
        losses[i] = soft_logistic_loss(s, y)
        if gradients is not None:
            gradients[i] = soft_logistic_gradient(s, y)
    return bad


@njit
def losses_with_logits(scores: Any, labels: Any, losses: Any, gradients: Any) -> bool:
    """log(1 + e^s) - ys, and g(s) - y unless gradients is None, for labels in [0, 1].

    Hard labels are the rule and cost less; a block that holds another is computed again. Both
    ways give a hard label the same bits.
    """
    if _hard_with_logits(scores, labels, losses, gradients):
        return _soft_with_logits(scores, labels, losses, gradients)
    return False


@njit(error_model="numpy")
def _hard_cross_entropies(probabilities: Any, labels: Any, losses: Any) -> tuple[bool, bool]:
    """Fill for labels 0/1; return whether any probability is bad, any label neither."""
    prefer_full_vectors()
    bad = False
    other = False
    for i in range(probabilities.size):
        p, y = probabilities[i], labels[i]
        bad |= not ((p >= 0) & (p <= 1))
        other |= (y != 1) & (y != 0)
        losses[i] = hard_cross_entropy(p, y > 0)
    return bad, other


@njit(error_model="numpy")
def _soft_cross_entropies(probabilities: Any, labels: Any, losses: Any) -> bool:
    """Fill for labels in [0, 1]; return whether any label is outside."""
    prefer_full_vectors()
    bad = False
    for i in range(probabilities.size):
        y = probabilities.dtype.type(labels[i])
        bad |= not ((y >= 0) & (y <= 1))
        losses[i] = cross_entropy(probabilities[i], y)
    return bad


@njit
def cross_entropies(probabilities: Any, labels: Any, losses: Any, _gradients: None) -> bool:
    """-[y log p + (1 - y) log(1 - p)] for labels in [0, 1]; hard labels as above."""
    bad, other = _hard_cross_entropies(probabilities, labels, losses)
    return bad or (other and _soft_cross_entropies(probabilities, labels, losses))
