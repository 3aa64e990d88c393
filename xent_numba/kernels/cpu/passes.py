"""One pass over a block of samples for every operation: check the labels, compute, store.

A pass is made of short loops with the intermediate results of a block in ``work``, two rows
that stay in the first-level cache.  In one long loop the chain of dependent operations is
longer than what a core can look ahead; cut in two it took a tenth less time.

Labels are compared in their own type and never stored as anything else. A label is positive or
not, and separately it is allowed or not: the flag costs a comparison, an ``or``, and no branch.
"""

from __future__ import annotations

from typing import Any

from xent_numba.kernels.cpu.bits import exact, prefer_full_vectors
from xent_numba.kernels.cpu.exp import exp_sum
from xent_numba.kernels.cpu.losses import (
    add_log1p,
    cross_entropy,
    hard_cross_entropy,
    mirror,
    sigmoid_from_exp,
    slope_from_exp,
    soft_logistic_gradient,
    soft_logistic_loss,
)
from xent_numba.kernels.cpu.memory import window


@exact
def sigmoids(scores: Any, out: Any, work: Any) -> None:
    """g(s)."""
    prefer_full_vectors()
    n = scores.size
    e, low = window(work, 0, n), window(work, n, 2 * n)
    for i in range(scores.size):
        e[i], low[i] = exp_sum(-abs(scores[i]))
    for i in range(scores.size):
        out[i] = sigmoid_from_exp(scores[i] >= 0, e[i], low[i])


@exact
def _add_log1p(losses: Any, e: Any, low: Any) -> None:
    prefer_full_vectors()
    for i in range(losses.size):
        losses[i] = add_log1p(losses[i], e[i], low[i])


@exact
def _slopes(labels: Any, linear: Any, e: Any, low: Any, gradients: Any) -> None:
    prefer_full_vectors()
    for i in range(linear.size):
        slope = slope_from_exp(linear[i], e[i], low[i])
        gradients[i] = -slope if labels[i] > 0 else slope


def _hard_passes(negative: int) -> tuple[Any, ...]:
    """Return the passes for labels 1 and ``negative``, a constant of the compiled code."""

    @exact
    def exp_of_margins(scores: Any, labels: Any, linear: Any, e: Any, low: Any) -> bool:
        """Fill what `mirror` and `exp_sum` give; return whether a label is another."""
        prefer_full_vectors()
        other = False
        for i in range(scores.size):
            s, y = scores[i], labels[i]
            other |= (y != 1) & (y != negative)
            linear[i], x = mirror(s if y == 1 else -s)
            e[i], low[i] = exp_sum(x)
        return other

    @exact
    def losses_of(scores: Any, labels: Any, losses: Any, gradients: Any, work: Any) -> bool:
        """L of the margin; return whether a label is another."""
        n = scores.size
        e, low = window(work, 0, n), window(work, n, 2 * n)
        other = exp_of_margins(scores, labels, losses, e, low)
        if gradients is not None:
            _slopes(labels, losses, e, low, gradients)
        _add_log1p(losses, e, low)
        return other

    return losses_of, exp_of_margins


logistic, _ = _hard_passes(-1)
_hard_with_logits, _exp_of_margins = _hard_passes(0)


@exact
def _soft_losses(scores: Any, labels: Any, losses: Any, gradients: Any) -> bool:
    """Fill for labels in [0, 1]; return whether any label is outside."""
    prefer_full_vectors()
    bad = False
    for i in range(scores.size):
        label = labels[i]
        bad |= not ((label >= 0) & (label <= 1))
        s, y = scores[i], scores.dtype.type(label)
        losses[i] = soft_logistic_loss(s, y)
        if gradients is not None:
            gradients[i] = soft_logistic_gradient(s, y)
    return bad


@exact
def with_logits(scores: Any, labels: Any, losses: Any, gradients: Any, work: Any) -> bool:
    """log(1 + e^s) - ys, and g(s) - y unless gradients is None, for labels in [0, 1].

    Hard labels are the rule and cost less; a block that holds another is computed again. Both
    ways give a hard label the same bits.
    """
    if _hard_with_logits(scores, labels, losses, gradients, work):
        return _soft_losses(scores, labels, losses, gradients)
    return False


@exact
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


@exact
def _soft_cross_entropies(probabilities: Any, labels: Any, losses: Any) -> bool:
    """Fill for labels in [0, 1]; return whether any label is outside."""
    prefer_full_vectors()
    bad = False
    for i in range(probabilities.size):
        label = labels[i]
        bad |= not ((label >= 0) & (label <= 1))
        losses[i] = cross_entropy(probabilities[i], probabilities.dtype.type(label))
    return bad


@exact
def cross_entropy_of_probabilities(
    probabilities: Any, labels: Any, losses: Any, _gradients: None, _work: Any
) -> bool:
    """-[y log p + (1 - y) log(1 - p)] for labels in [0, 1]; hard labels as in `with_logits`."""
    bad, other = _hard_cross_entropies(probabilities, labels, losses)
    return bad or (other and _soft_cross_entropies(probabilities, labels, losses))
