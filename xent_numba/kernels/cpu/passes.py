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

from xent_numba.kernels.cpu.bits import EXACT, exact
from xent_numba.kernels.cpu.exp import exp_sum_by_table
from xent_numba.kernels.cpu.lanes import (
    LINE,
    any_of,
    filled,
    load,
    load_beside,
    load_pair,
    replaced,
    select,
    store,
)
from xent_numba.kernels.cpu.losses import (
    add_log1p,
    hard_cross_entropy,
    mirror,
    sigmoid_from_exp,
    slope_from_exp,
)
from xent_numba.kernels.cpu.memory import stack, window
from xent_numba.kernels.cpu.soft_labels import soft_cross_entropy, soft_gradient, soft_loss
from xent_numba.kernels.cpu.summation import BLOCK

PAIR = 2 * LINE

MOST_LANES = 32
"""Of float32 in two lines; of float64 there are half as many."""


def of_any_size(block: Any, step: int = LINE) -> Any:
    """Return the pass for any number of samples from one for whole steps, in bytes.

    The last samples are computed aside, the last of them repeated as often as it takes: what is
    found out about it is the same. Labels and gradients may be None.
    """

    @exact
    def rest(first: Any, labels: Any, losses: Any, gradients: Any, work: Any) -> bool:
        lanes = step // first.itemsize
        a, values = stack(MOST_LANES, first), stack(MOST_LANES, first)
        b, slopes = stack(MOST_LANES, labels), stack(MOST_LANES, gradients)
        for k in range(lanes):
            last = min(k, first.size - 1)
            a[k] = first[last]
            if labels is not None:
                b[k] = labels[last]
        bad = block(
            window(a, 0, lanes),
            window(b, 0, lanes),
            window(values, 0, lanes),
            window(slopes, 0, lanes),
            work,
        )
        for k in range(first.size):
            losses[k] = values[k]
            if gradients is not None:
                gradients[k] = slopes[k]
        return bad

    @exact
    def any_size(first: Any, labels: Any, losses: Any, gradients: Any, work: Any) -> bool:
        size = first.size
        whole = size - size % (step // first.itemsize)
        bad = block(
            window(first, 0, whole),
            window(labels, 0, whole),
            window(losses, 0, whole),
            window(gradients, 0, whole),
            work,
        )
        if whole < size:
            bad |= rest(
                window(first, whole, size),
                window(labels, whole, size),
                window(losses, whole, size),
                window(gradients, whole, size),
                work,
            )
        return bad

    return any_size


@exact
def sigmoid_pass(scores: Any, _labels: None, out: Any, _gradients: None, _work: Any) -> bool:
    """g(s), of whole pairs of lines; arguments and result as those of the other passes."""
    # The one pass that is short enough for one loop, and for two lines of scores side by side, of
    # which one waits less for the other than two that follow each other.
    for i in range(0, scores.size, PAIR // scores.itemsize):
        s = load_pair(scores, i)
        e, low = exp_sum_by_table(-abs(s))
        store(out, i, sigmoid_from_exp(s >= 0.0, e, low))
    return False


_sigmoids_of_any_size = of_any_size(sigmoid_pass, PAIR)


@exact
def sigmoids(scores: Any, out: Any, work: Any) -> None:
    """g(s)."""
    _sigmoids_of_any_size(scores, None, out, None, work)


def _hard_pass(negative: int) -> Any:
    """Return the pass for labels 1 and ``negative``, a constant of the compiled code."""

    @exact
    def losses_of(scores: Any, labels: Any, losses: Any, gradients: Any, work: Any) -> bool:
        """L of the margin; return whether a label is another."""
        other = filled(False, scores)
        step = LINE // scores.itemsize
        for i in range(0, scores.size, step):
            s = load(scores, i)
            y = load_beside(labels, i, s)
            other = other | ((y != 1) & (y != negative))
            linear, x = mirror(select(y == 1, s, -s))
            e, low = exp_sum_by_table(x)
            store(losses, i, linear)
            store(work, i, e)
            store(work, BLOCK + i, low)
        if gradients is not None:
            for i in range(0, scores.size, step):
                linear = load(losses, i)
                slope = slope_from_exp(linear, load(work, i), load(work, BLOCK + i))
                positive = load_beside(labels, i, linear) > 0
                store(gradients, i, select(positive, -slope, slope))
        for i in range(0, scores.size, step):
            store(losses, i, add_log1p(load(losses, i), load(work, i), load(work, BLOCK + i)))
        return any_of(other)

    return losses_of


@exact
def soft_losses(scores: Any, labels: Any, losses: Any, gradients: Any) -> bool:
    """Fill where a label is soft; return whether any is outside [0, 1]."""
    allowed = filled(True, scores)
    for i in range(0, scores.size, LINE // scores.itemsize):
        s = load(scores, i)
        y = load_beside(labels, i, s)
        soft = (y != 0) & (y != 1)
        allowed = allowed & (y >= 0) & (y <= 1)
        store(losses, i, replaced(losses, i, soft, soft_loss(s, y)))
        if gradients is not None:
            store(gradients, i, replaced(gradients, i, soft, soft_gradient(s, y)))
    return any_of(~allowed)


@exact
def soft_cross_entropies(probabilities: Any, labels: Any, losses: Any, _gradients: None) -> bool:
    """Fill where a label is soft; return whether any label or probability is outside [0, 1]."""
    allowed = filled(True, probabilities)
    for i in range(0, probabilities.size, LINE // probabilities.itemsize):
        p = load(probabilities, i)
        y = load_beside(labels, i, p)
        soft = (y != 0) & (y != 1)
        allowed = allowed & (y >= 0) & (y <= 1) & (p >= 0) & (p <= 1)
        store(losses, i, replaced(losses, i, soft, soft_cross_entropy(p, y)))
    return any_of(~allowed)


@exact
def hard_cross_entropies(
    probabilities: Any, labels: Any, losses: Any, _gradients: None, _work: Any
) -> bool:
    """Fill for labels 0/1; return whether any probability or label is another."""
    allowed = filled(True, probabilities)
    for i in range(0, probabilities.size, LINE // probabilities.itemsize):
        p = load(probabilities, i)
        y = load_beside(labels, i, p)
        allowed = allowed & (p >= 0) & (p <= 1) & ((y == 1) | (y == 0))
        store(losses, i, hard_cross_entropy(p, y > 0))
    return any_of(~allowed)


@exact
def _hard_labels(labels: Any) -> bool:
    """Whether any label is 0 or 1."""
    found = filled(False, labels)
    for i in range(0, labels.size, LINE // labels.itemsize):
        y = load(labels, i)
        found = found | (y == 0) | (y == 1)
    return any_of(found)


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

    return of_any_size(block)


hard_logistic = _hard_pass(-1)
logistic = of_any_size(hard_logistic)
"""log(1 + e^-m), and -y g(-m) unless gradients is None."""

with_logits = _passes(_hard_pass(0), soft_losses)
"""log(1 + e^s) - ys, and g(s) - y unless gradients is None."""

cross_entropy_of_probabilities = _passes(hard_cross_entropies, soft_cross_entropies)
"""-[y log p + (1 - y) log(1 - p)]."""
