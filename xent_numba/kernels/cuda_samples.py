r"""One sample on a GPU: the checks, the loss and the gradient, in registers.

The arithmetic is that of the CPU, `kernels.losses`, compiled for the GPU: additions, products,
fused multiply-adds and divisions that IEEE 754 rounds correctly, and no function of libdevice,
whose exp and log1p are off by 1 ULP each. So what is proved and swept on the CPU carries over, up
to one liberty of NVIDIA's compiler: it may fuse a product into the addition that takes it. Where
the product's own rounding error was about to be repaired (``quotient``, ``log1p_parts``) this
leaves half an ULP of it unrepaired, which is why the bound here is 2 ULP and not 1.

A label costs one conversion and one comparison; a warp of hard labels takes no branch.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
from numba import njit, types
from numba.extending import overload

from xent_numba.kernels.exp import exp_sum
from xent_numba.kernels.losses import (
    add_log1p,
    cross_entropy,
    hard_cross_entropy,
    logistic_loss,
    mirror,
    sigmoid_from_exp,
    soft_logistic_loss,
)


def as_type_of(like: Any, value: Any) -> Any:
    """Return value in the precision of ``like``; literals would turn float32 into float64."""
    raise NotImplementedError


def in_checked_type(like: Any, label: Any) -> Any:
    """Return a label for comparison: in the precision of ``like``, or in its own if that is wider.

    No integer but 0 and +-1 rounds to 0 or +-1, but a float64 a little off 1 does.
    """
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


@njit(error_model="numpy")
def is_plus_minus_one(like: float, label: Any) -> bool:
    """Whether a label is -1 or +1."""
    y = in_checked_type(like, label)
    return abs(y) == as_type_of(y, 1)


@njit(error_model="numpy")
def is_share(like: float, label: Any) -> bool:
    """Whether a label, or a probability, is in [0, 1]; NaN is not."""
    y = in_checked_type(like, label)
    return y >= as_type_of(y, 0) and y <= as_type_of(y, 1)


@njit(error_model="numpy")
def is_weight(weight: float) -> bool:
    """Whether a weight is finite and not negative."""
    return weight >= as_type_of(weight, 0) and weight < as_type_of(weight, np.inf)


@njit(error_model="numpy")
def logistic(score: float, label: Any) -> tuple[bool, float, float]:
    """L(ys); 0 stands for the gradient that is not asked for."""
    y = as_type_of(score, label)
    zero = as_type_of(score, 0)
    return is_plus_minus_one(score, label), logistic_loss(score if y > zero else -score), zero


@njit(error_model="numpy")
def logistic_and_gradient(score: float, label: Any) -> tuple[bool, float, float]:
    """L(ys), and -y g(-ys), from one exponential."""
    y = as_type_of(score, label)
    positive = y > as_type_of(score, 0)
    margin = score if positive else -score
    linear, x = mirror(margin)
    e, low = exp_sum(x)
    slope = sigmoid_from_exp(-margin, e, low)
    allowed = is_plus_minus_one(score, label)
    return allowed, add_log1p(linear, e, low), -slope if positive else slope


@njit(error_model="numpy")
def with_logits(score: float, label: Any) -> tuple[bool, float, float]:
    """log(1 + e^s) - ys."""
    y = as_type_of(score, label)
    return is_share(score, label), soft_logistic_loss(score, y), as_type_of(score, 0)


@njit(error_model="numpy")
def with_logits_and_gradient(score: float, label: Any) -> tuple[bool, float, float]:
    """log(1 + e^s) - ys, and g(s) - y, from one exponential.

    The formulas are those of `losses.soft_logistic_loss` and `losses.soft_logistic_gradient`.
    """
    y = as_type_of(score, label)
    zero, one = as_type_of(score, 0), as_type_of(score, 1)
    upper = y >= as_type_of(score, 0.5)
    margin = score if upper else -score
    distance = one - y if upper else y
    weight = distance - one if margin < zero else distance
    linear = zero if weight == zero else weight * margin
    e, low = exp_sum(-abs(score))
    towards = sigmoid_from_exp(-margin, e, low)
    gradient = distance - towards if upper else towards - distance
    return is_share(score, label), add_log1p(linear, e, low), gradient


@njit(error_model="numpy")
def cross_entropy_of(probability: float, label: Any) -> tuple[bool, float, float]:
    """-[y log p + (1 - y) log(1 - p)]; a hard label needs one logarithm only."""
    y = as_type_of(probability, label)
    zero, one = as_type_of(probability, 0), as_type_of(probability, 1)
    allowed = is_share(probability, probability) and is_share(probability, label)
    if y > zero and y < one:
        loss = cross_entropy(probability, y)
    else:
        loss = hard_cross_entropy(probability, y == one)
    return allowed, loss, zero


SAMPLES: dict[str, Any] = {
    "binary_cross_entropy": cross_entropy_of,
    "logistic_loss": logistic,
    "binary_cross_entropy_with_logits": with_logits,
    "logistic_loss_and_grad": logistic_and_gradient,
    "binary_cross_entropy_with_logits_and_grad": with_logits_and_gradient,
}


@cache
def weighted_sample(operation: str, weighted: bool, divided: bool) -> Callable[..., Any]:
    """Return ``f(first, label, weight, divisor)``: whether allowed, the loss and the gradient.

    Parameters
    ----------
    operation : str
        Name of an operation with labels.
    weighted : bool
        Whether loss and gradient are multiplied by the weight, which is checked too.
    divided : bool
        Whether the gradient is divided by the divisor, as for a mean.
    """
    sample = SAMPLES[operation]

    @njit(error_model="numpy")
    def evaluate(
        first: float, label: Any, weight: float, divisor: float
    ) -> tuple[bool, float, float]:
        allowed, loss, gradient = sample(first, label)
        if weighted:
            allowed = allowed and is_weight(weight)
            loss = as_type_of(first, loss * weight)
            gradient = as_type_of(first, gradient * weight)
        if divided:
            gradient = as_type_of(first, gradient / divisor)
        return allowed, loss, gradient

    return evaluate
