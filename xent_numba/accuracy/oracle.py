"""The true value of every operation, from mpmath. It knows no implementation.

Inputs are the floats an implementation is given, taken exactly. With e = exp(-|s|) and w the share
of the label that the score is on the wrong side of (y for s < 0, 1 - y for s > 0):

    g(s) = 1 / (1 + e)  or  e / (1 + e)
    L    = log1p(e) + w |s|                   labels 0/1; a label -1/+1 is (1 + y) / 2
    L    = y (-log p) + (1 - y) (-log1p(-p))
    dL/ds = +-(w - (1 - w) e) / (1 + e),      + for s >= 0
          = +-((2 w - 1) - (1 - w) expm1(-|s|)) / (1 + e)

The two forms of the gradient are for large and for small scores. No line subtracts what may be
nearly equal, but for the gradient at a soft label, where the difference of a double and a
transcendental number costs about as many bits as a double has twice: 2 w - 1 is no such number at
w = 1/2, where the first form would lose all of a small score.
"""

from __future__ import annotations

import math
from typing import Any

import mpmath

from xent_numba.operations import Operation

#: Working precision in bits: 53 for the result and 200 to tell on which side of a rounding
#: boundary it lies, where some 120 are ever needed (Muller et al., "Handbook of Floating-Point
#: Arithmetic", 2nd ed. 2018, ch. 10).
PRECISION = 256

_mp = mpmath.MPContext()
_mp.prec = PRECISION


def exact(operation: Operation, first: float, label: float | None = None) -> Any:
    """True loss, or sigmoid, of one sample.

    Parameters
    ----------
    operation : Operation
        What is computed; of an operation with a gradient, the loss.
    first : float
        Score or probability, exactly as the implementation gets it.
    label : float, optional
        The label, where the operation takes one.

    Returns
    -------
    mpmath.mpf
        Correct to about `PRECISION` bits; infinities and NaN by the mathematical limit.
    """
    if math.isnan(first):
        return _mp.nan
    if label is None:
        return _sigmoid(_mp.mpf(first))
    positive = _positive_share(operation, label)
    if operation.first == "probabilities":
        return _cross_entropy(_mp.mpf(first), positive)
    return _softplus_with_share(_mp.mpf(first), positive)


def exact_gradient(operation: Operation, first: float, label: float | None) -> Any:
    """True derivative of the loss with respect to the score; see `exact`."""
    if math.isnan(first):
        return _mp.nan
    score, positive = _mp.mpf(first), _positive_share(operation, label)
    wrong, right = (1 - positive, positive) if score >= 0 else (positive, 1 - positive)
    distance = abs(score)
    e = _mp.exp(-distance)
    small = distance < 1
    slope = (2 * wrong - 1) - right * _mp.expm1(-distance) if small else wrong - right * e
    return (slope if score >= 0 else -slope) / (1 + e)


def _positive_share(operation: Operation, label: float | None) -> Any:
    """The label as the share of the positive class, in [0, 1]."""
    assert operation.labels is not None
    assert label is not None
    negative, positive = operation.labels.hard
    return (_mp.mpf(label) - negative) / (_mp.mpf(positive) - negative)


def _sigmoid(score: Any) -> Any:
    e = _mp.exp(-abs(score))
    return (1 if score >= 0 else e) / (1 + e)


def _softplus_with_share(score: Any, positive: Any) -> Any:
    wrong = 1 - positive if score > 0 else positive
    linear = wrong * abs(score) if wrong else 0
    return linear + _mp.log1p(_mp.exp(-abs(score)))


def _cross_entropy(probability: Any, positive: Any) -> Any:
    loss = _mp.mpf(0)
    if positive > 0:
        loss -= positive * _mp.log(probability)
    if positive < 1:
        rest = -_mp.inf if probability == 1 else _mp.log1p(-probability)
        loss -= (1 - positive) * rest
    return loss
