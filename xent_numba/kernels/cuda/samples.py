r"""One sample on a GPU: the checks, the loss and the gradient, in registers.

The formulas are those of `kernels.cpu.losses`, on the exp, the logarithms and the quotient of
`kernels.cuda.elementary`.

A label that is an integer is hard: it costs bit operations, no conversion to floating point and
nothing of what a soft label needs.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
from numba import types
from numba.extending import overload

from xent_numba.kernels.cpu.bits import exact, fma, product
from xent_numba.kernels.cuda.elementary import constants, exp, log1p, minus_log, quotient
from xent_numba.kernels.cuda.intrinsics import at_least, flip_sign

Sample = tuple[np.int32, float, float]
"""What is wrong with a sample (0 for nothing), its loss, and its gradient."""


def as_type_of(like: Any, value: Any) -> Any:
    """Return value in the precision of ``like``; literals would turn float32 into float64."""
    raise NotImplementedError


def in_checked_type(like: Any, label: Any) -> Any:
    """Return a soft label for comparison: in the precision of ``like``, or its own if wider."""
    raise NotImplementedError


def surplus(label: Any, bits: int) -> Any:
    """Return bits that no accepted label has, as 32: not 0 if they are not."""
    raise NotImplementedError


@overload(as_type_of, inline="always")
def _as_type_of(like, value):  # type: ignore[no-untyped-def]
    if like == types.float32:
        return lambda like, value: np.float32(value)
    return lambda like, value: np.float64(value)


@overload(in_checked_type, inline="always")
def _in_checked_type(like, label):  # type: ignore[no-untyped-def]
    if like == types.float32 and label != types.float64:
        return lambda like, label: np.float32(label)
    return lambda like, label: np.float64(label)


@overload(surplus)
def _surplus(label, bits):  # type: ignore[no-untyped-def]
    if label.bitwidth == 64:
        return lambda label, bits: np.int32(bits | bits >> 32)
    return lambda label, bits: np.int32(bits)


@exact
def is_share(like: float, label: Any) -> bool:
    """Whether a label, or a probability, is in [0, 1]; NaN is not."""
    y = in_checked_type(like, label)
    return y >= as_type_of(y, 0) and y <= as_type_of(y, 1)


@exact
def is_weight(weight: float) -> bool:
    """Whether a weight is finite and not negative."""
    return weight >= as_type_of(weight, 0) and weight < as_type_of(weight, np.inf)


@exact
def sigmoid_from_exp(s: float, e: float) -> float:
    """g(s) from e = exp(-|s|): 1/(1 + e), or e/(1 + e) for s < 0."""
    k = constants(s)
    return quotient(e if s < k.zero else k.one, e)


@exact
def of_margin(margin: float) -> tuple[float, float]:
    """L(m) = max(-m, 0) + log(1 + e^-|m|), and g(-m), from one exponential."""
    e = exp(-abs(margin))
    return at_least(constants(margin).zero, -margin) + log1p(e), sigmoid_from_exp(-margin, e)


@exact
def sigmoid(score: float, label: Any) -> Sample:
    """g(s); whatever stands for the label is not looked at."""
    return np.int32(0), sigmoid_from_exp(score, exp(-abs(score))), constants(score).zero


@exact
def logistic_hard(score: float, label: Any) -> Sample:
    """L(ys), and -y g(-ys), for an integer label."""
    loss, slope = of_margin(flip_sign(score, label))
    # -1 + 1 and 1 + 1 have no bit but that of 2, and every other sum has.
    return surplus(label, (label + 1) & ~2), loss, flip_sign(-slope, label)


@exact
def logistic_real(score: float, label: Any) -> Sample:
    """L(ys), and -y g(-ys), for a floating-point label."""
    y = in_checked_type(score, label)
    positive = y > as_type_of(y, 0)
    loss, slope = of_margin(score if positive else -score)
    return np.int32(abs(y) != as_type_of(y, 1)), loss, -slope if positive else slope


@exact
def with_logits_hard(score: float, label: Any) -> Sample:
    """log(1 + e^s) - ys, and g(s) - y, for an integer label: the logistic loss of (2y - 1)s."""
    sign = label - 1
    loss, slope = of_margin(flip_sign(score, sign))
    return surplus(label, label & ~1), loss, flip_sign(-slope, sign)


@exact
def with_logits_soft(score: float, label: Any) -> Sample:
    """log(1 + e^s) - ys, and g(s) - y.

    The formulas are those of `kernels.cpu.soft_labels`, in the precision of the scores.
    """
    y = as_type_of(score, label)
    k = constants(score)
    upper = y >= k.half
    margin = score if upper else -score
    distance = k.one - y if upper else y
    weight = distance - k.one if margin < k.zero else distance
    linear = k.zero if weight == k.zero else product(weight, margin)
    e = exp(-abs(score))
    towards = sigmoid_from_exp(-margin, e)
    gradient = distance - towards if upper else towards - distance
    return np.int32(not is_share(score, label)), linear + log1p(e), gradient


@exact
def minus_log_of(p: float, positive: bool) -> tuple[float, float]:
    """-log p or -log(1 - p), and what it lost; 1 - p is rounded, and its error is kept.

    That error is exact by Fast2Sum.
    """
    k = constants(p)
    other = k.one - p
    error = (k.one - other) - p
    return minus_log(p if positive else other, k.zero if positive else error)


@exact
def cross_entropy_hard(probability: float, label: Any) -> Sample:
    """-log p or -log(1 - p), for an integer label."""
    wrong = np.int32(not is_share(probability, probability)) | surplus(label, label & ~1)
    loss, _ = minus_log_of(probability, label == 1)
    return np.int32(wrong), loss, constants(probability).zero


@exact
def cross_entropy_soft(probability: float, label: Any) -> Sample:
    """-[y log p + (1 - y) log(1 - p)]; a label that is 0 or 1 needs one logarithm only.

    A loss just below a power of 2 may be nearly all of a logarithm just above it, whose rounding
    counts twice: what the logarithms lost is added.
    """
    y = as_type_of(probability, label)
    k = constants(probability)
    allowed = is_share(probability, probability) and is_share(probability, label)
    loss, low = minus_log_of(probability, y > k.zero)
    if y > k.zero and y < k.one:
        # 1 - y is rounded, and what it lost is exact (Fast2Sum).
        other = k.one - y
        lost = (k.one - other) - y
        towards_zero, low_zero = minus_log_of(probability, False)
        rest = product(lost, towards_zero) if towards_zero < k.infinity else k.zero
        rest = fma(y, low, fma(other, low_zero, rest))
        loss = fma(y, loss, fma(other, towards_zero, rest))
    return np.int32(not allowed), loss, k.zero


@exact
def weight_alone(weight: float, label: Any) -> Sample:
    """The weight, in the place of a loss."""
    return np.int32(not is_weight(weight)), weight, constants(weight).zero


@exact
def nothing(first: float, label: Any) -> Sample:
    """The first argument, in the place of everything: a pass that does nothing but move memory."""
    return np.int32(label == -77), first, first


SAMPLE_WEIGHT = "sample_weight"
"""What the pass over the weights alone is called, among the operations."""
NO_ARITHMETIC = "no arithmetic"
"""And the pass that shows what is left to be gained by faster arithmetic."""

SAMPLES: dict[str, tuple[Any, Any]] = {
    "sigmoid": (sigmoid, sigmoid),
    "binary_cross_entropy": (cross_entropy_hard, cross_entropy_soft),
    "logistic_loss": (logistic_hard, logistic_real),
    "binary_cross_entropy_with_logits": (with_logits_hard, with_logits_soft),
    "logistic_loss_and_grad": (logistic_hard, logistic_real),
    "binary_cross_entropy_with_logits_and_grad": (with_logits_hard, with_logits_soft),
    SAMPLE_WEIGHT: (weight_alone, weight_alone),
    NO_ARITHMETIC: (nothing, nothing),
}
"""By operation: for integer labels, and for floating-point ones."""


@cache
def weighted_sample(
    operation: str, *, hard: bool, weighted: bool, divided: bool
) -> Callable[..., Any]:
    """Return ``f(first, label, weight, divisor)``: what is wrong, the loss and the gradient.

    What is wrong is said in bits, so that those of many samples can be or-ed.
    A gradient that no one stores is computed by no instruction: the compiler drops it.

    Parameters
    ----------
    operation : str
        Name of an operation.
    hard : bool
        Whether labels are integers.
    weighted : bool
        Whether loss and gradient are multiplied by the weight, which is checked too.
    divided : bool
        Whether the gradient is divided by the divisor, as for a mean.
    """
    sample = SAMPLES[operation][not hard]

    @exact
    def evaluate(first: float, label: Any, weight: float, divisor: float) -> Sample:
        wrong, loss, gradient = sample(first, label)
        if weighted:
            wrong = np.int32(wrong | np.int32(not is_weight(weight)))
            loss = product(loss, as_type_of(first, weight))
            gradient = product(gradient, as_type_of(first, weight))
        if divided:
            gradient = as_type_of(first, gradient / divisor)
        return wrong, loss, gradient

    return evaluate
