"""One pass over a block of samples for every operation: check the labels, compute, store.

A pass is made of short loops with the intermediate results of a block in ``work``, two rows
that stay in the first-level cache.  In one long loop the chain of dependent operations is
longer than what a core can look ahead; cut in two it took a tenth less time.

Labels are compared in their own type and never stored as anything else. A label is positive or
not, and separately it is allowed or not: the flag costs a comparison, an ``or``, and no branch.
"""

from __future__ import annotations

from typing import Any

from numba import types
from numba.extending import overload

from xent_numba.kernels.cpu.bits import EXACT, exact, prefer_full_vectors
from xent_numba.kernels.cpu.exp import exp_sum
from xent_numba.kernels.cpu.losses import (
    add_log1p,
    hard_cross_entropy,
    mirror,
    sigmoid_from_exp,
    slope_from_exp,
)
from xent_numba.kernels.cpu.memory import window
from xent_numba.kernels.cpu.soft_labels import soft_cross_entropy, soft_gradient, soft_loss


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
    """Fill where a label is soft; return whether any is outside [0, 1]."""
    prefer_full_vectors()
    bad = False
    for i in range(scores.size):
        s, y = scores[i], labels[i]
        hard = (y == 0) | (y == 1)
        bad |= not ((y >= 0) & (y <= 1))
        loss = soft_loss(s, y)
        losses[i] = losses[i] if hard else loss
        if gradients is not None:
            gradient = soft_gradient(s, y)
            gradients[i] = gradients[i] if hard else gradient
    return bad


@exact
def _soft_cross_entropies(probabilities: Any, labels: Any, losses: Any, _gradients: None) -> bool:
    """Fill where a label is soft; return whether any label or probability is outside [0, 1]."""
    prefer_full_vectors()
    bad = False
    for i in range(probabilities.size):
        p, y = probabilities[i], labels[i]
        hard = (y == 0) | (y == 1)
        bad |= not ((y >= 0) & (y <= 1) & (p >= 0) & (p <= 1))
        loss = soft_cross_entropy(p, y)
        losses[i] = losses[i] if hard else loss
    return bad


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
def _hard_entropies(
    probabilities: Any, labels: Any, losses: Any, _gradients: None, _work: Any
) -> bool:
    bad, other = _hard_cross_entropies(probabilities, labels, losses)
    return bad | other


@exact
def _hard_labels(labels: Any) -> bool:
    """Whether any label is 0 or 1."""
    prefer_full_vectors()
    found = False
    for i in range(labels.size):
        found |= (labels[i] == 0) | (labels[i] == 1)
    return found


def _passes(hard: Any, soft: Any) -> Any:
    """Return the pass for labels in [0, 1] from one for labels 0 and 1, and one for the others.

    The hard pass returns whether a label is another, or a value is not allowed; the soft pass
    leaves hard labels as they are and returns whether anything is not allowed. A block gets those
    that it needs, so that neither bits nor time of a hard label depend on soft ones.
    """

    def of_integers(first: Any, labels: Any, losses: Any, gradients: Any, work: Any) -> Any:
        return hard(first, labels, losses, gradients, work)

    def of_floats(first: Any, labels: Any, losses: Any, gradients: Any, work: Any) -> Any:
        done = labels.size > 0 and (labels[0] == 0 or labels[0] == 1)
        if done and not hard(first, labels, losses, gradients, work):
            return False
        if not done and _hard_labels(labels):
            hard(first, labels, losses, gradients, work)
        return soft(first, labels, losses, gradients)

    def by_labels(first: Any, labels: Any, losses: Any, gradients: Any, work: Any) -> Any:
        raise NotImplementedError

    @overload(by_labels, jit_options=EXACT)
    def choose(first: Any, labels: Any, losses: Any, gradients: Any, work: Any) -> Any:
        return of_floats if isinstance(labels.dtype, types.Float) else of_integers

    @exact
    def block(first: Any, labels: Any, losses: Any, gradients: Any, work: Any) -> bool:
        return by_labels(first, labels, losses, gradients, work)

    return block


with_logits = _passes(_hard_with_logits, _soft_losses)
"""log(1 + e^s) - ys, and g(s) - y unless gradients is None."""

cross_entropy_of_probabilities = _passes(_hard_entropies, _soft_cross_entropies)
"""-[y log p + (1 - y) log(1 - p)]."""
