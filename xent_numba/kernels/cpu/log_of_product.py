r"""Sums of losses without a logarithm for each: the logarithm of a product.

.. math::
    \sum_i \log(1 + e^{x_i}) &= \sum_i \max(x_i, 0) + \log \prod_i (1 + e^{-|x_i|}) \\
    -\sum_i \log f_i &= -\log \prod_i f_i, \quad f_i = p_i \text{ or } 1 - p_i

with x = -m for the margin m. A section is multiplied up in LANES products, these are multiplied
down to LAST, and only of those the logarithm is taken: one for 256 samples. The logarithm is
more than half of the arithmetic of a loss.

No sample is rounded on the way. The sum is the closer to the true one: a sum of rounded samples
carries their errors, which do not average out where many samples are alike.

* float32: factors and products are float64.  1 + e^{-|x|} would lose a small exponential, so the
  product is kept less 1: (1 + a)(1 + b) - 1 = ab + (a + b).  The exponential has the polynomial
  of the float32 kernels, 2^-27.9 from the truth, which is 0.06 ULP of the sum.
* float64: factor and product are unevaluated sums of two float64 (Dekker, Numerische Mathematik
  18, 1971, with fma for the error of the leading product).  What is dropped, the products of low
  parts, makes the low part of the product the *linear* sum of the relative low parts:
  log(high + low) is meant as log(high) + low / high.

The products cannot leave the range. A factor 1 + e^{-|x|} is at most 2, and 256 of them at most
2^256; factors f are at most 1, and are scaled to about 1 before there are too many of them. What
the scaling took out is counted in whole octaves.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numba import types
from numba.extending import overload

from xent_numba.kernels.cpu.bits import (
    EXACT,
    exact,
    fma,
    in_unit_interval,
    prefer_full_vectors,
    split_octave,
)
from xent_numba.kernels.cpu.exp import FLOAT64, exp_for_float32, exp_sum
from xent_numba.kernels.cpu.log import log_sum
from xent_numba.kernels.cpu.memory import window
from xent_numba.kernels.cpu.soft_labels import penalty
from xent_numba.kernels.cpu.summation import LANES, fold, fold_sums, fold_to, row_of, two_sum

SectionSum = Callable[[Any, Any, Any], tuple[bool, float, float]]
"""``section_sum(first, labels, state)`` returns whether it knows all labels and values of a
section, and if so the sum of the losses as value + error.
"""

SECTION = 2048
"""Samples multiplied up before logarithms are taken."""

LAST = np.int64(8)  # a bare 8 would be a type, and have `fold_to` compiled for itself
HIGH, LOW, LINEAR, LINEAR_ERROR, STATE = range(5)
"""Rows of lanes: a product, and what is added to its logarithm, each with a low part."""

STATE_SIZE = STATE * LANES

SAFE_ROWS = 4
"""Rows of float32 probabilities, at least 2^-149 each, that a float64 product takes unscaled."""

TINY = float.fromhex("0x1p-30")
"""A smaller float64 sum is all in the low parts, whose roundings are not kept: it is left alone."""

_LN2, _LN2_LOW = FLOAT64.ln2_high, FLOAT64.ln2_low
_SQRT_HALF = float.fromhex("0x1.6a09e667f3bcdp-1")


@exact
def joined(a: float, b: float) -> float:
    """(1 + a)(1 + b) - 1."""
    return fma(a, b, a + b)


@exact
def multiplied(a: float, a_low: float, b: float, b_low: float) -> tuple[float, float]:
    """(a + a_low)(b + b_low), without the product of the low parts."""
    product = a * b
    return product, fma(a_low, b, fma(a, b_low, fma(a, b, -product)))


def by_dtype(float32: SectionSum, float64: SectionSum) -> SectionSum:
    """Return a function that compiled code may call: the one for its first argument's dtype."""

    def section_sum(first: Any, labels: Any, state: Any) -> tuple[bool, float, float]:
        raise NotImplementedError

    @overload(section_sum, jit_options=EXACT)
    def choose(first: Any, labels: Any, state: Any) -> SectionSum:
        return float32 if first.dtype == types.float32 else float64

    return section_sum


@exact
def number_of_logarithms(state: Any) -> int:
    """LAST, but LLVM must not know: it would unroll a loop of eight before it can vectorise it."""
    return state.size // (STATE * LANES // LAST)


@exact
def _multiply_lanes(high: Any, low: Any) -> None:
    """Multiply the products down to LAST of them."""
    half = LANES // 2
    while half >= LAST:
        for j in range(half):
            high[j], low[j] = multiplied(high[j], low[j], high[j + half], low[j + half])
        half //= 2


def _linear_part(negative: int) -> Any:
    """Return ``linear(s, y)``, which compiled code may call: L = linear + log(1 + e^-|s|).

    It returns whether the label is allowed, and linear, in float64, as an unevaluated sum.
    """

    def hard(s: Any, y: Any) -> Any:
        x = np.float64(-s if y == 1 else s)
        return (y == 1) | (y == negative), 0.0 if x < 0.0 else x, 0.0

    def soft(s: Any, y: Any) -> Any:
        linear, low = penalty(np.float64(s), np.float64(y))
        return (y >= 0) & (y <= 1), linear, low

    def linear_part(s: Any, y: Any) -> Any:
        raise NotImplementedError

    @overload(linear_part, jit_options=EXACT)
    def choose(s: Any, y: Any) -> Any:
        takes_soft = negative == 0 and isinstance(y, types.Float)
        return soft if takes_soft else hard

    return linear_part


def softplus_sums(negative: int, checked: bool = True) -> tuple[SectionSum, SectionSum]:
    """Return the sums of log(1 + e^-m), float32 and float64, for labels 1 and ``negative``.

    With `negative` 0 and floating labels, of log(1 + e^s) - ys for labels in [0, 1]. Not
    `checked`, they take any label for an allowed one.
    """
    linear_part = _linear_part(negative)

    def float32(first: Any, labels: Any, state: Any) -> tuple[bool, float, float]:
        prefer_full_vectors()
        product = row_of(state, HIGH)
        linear = row_of(state, LINEAR)
        product[:] = 0.0  # the product less 1
        linear[:] = 0.0
        plain = True
        for start in range(0, first.size, LANES):
            end = start + LANES
            row, row_labels = window(first, start, end), window(labels, start, end)
            for j in range(LANES):
                allowed, more, _ = linear_part(row[j], row_labels[j])
                if checked:
                    plain &= allowed
                linear[j] += more
                product[j] = joined(product[j], exp_for_float32(-abs(np.float64(row[j]))))
        half = LANES // 2
        while half >= LAST:
            for j in range(half):
                product[j] = joined(product[j], product[j + half])
            half //= 2
        fold_to(LAST, linear)
        for j in range(number_of_logarithms(state)):
            log, rest = log_sum(*two_sum(1.0, product[j]))
            linear[j] += log + rest
        return plain, fold(linear[:LAST]), 0.0

    def float64(first: Any, labels: Any, state: Any) -> tuple[bool, float, float]:
        prefer_full_vectors()
        high = row_of(state, HIGH)
        low = row_of(state, LOW)
        linear = row_of(state, LINEAR)
        errors = row_of(state, LINEAR_ERROR)
        high[:] = 1.0
        low[:] = 0.0
        linear[:] = 0.0
        errors[:] = 0.0
        plain = True
        for start in range(0, first.size, LANES):
            end = start + LANES
            row, row_labels = window(first, start, end), window(labels, start, end)
            for j in range(LANES):
                allowed, more, more_low = linear_part(row[j], row_labels[j])
                if checked:
                    plain &= allowed
                linear[j], lost = two_sum(linear[j], more)
                errors[j] += lost + more_low
                e, e_low = exp_sum(-abs(row[j]))
                factor = 1.0 + e
                factor_low = (e - (factor - 1.0)) + e_low
                high[j], low[j] = multiplied(high[j], low[j], factor, factor_low)
        _multiply_lanes(high, low)
        for j in range(number_of_logarithms(state)):
            log, rest = log_sum(high[j], 0.0)
            linear[j], lost = two_sum(linear[j], log)
            errors[j] += lost + (rest + low[j] / high[j])
        value, error = fold_sums(linear, errors)
        return plain & (value > TINY), value, error

    return float32, float64


@exact
def _factor(p: float, positive: bool) -> tuple[float, float]:
    """p, or 1 - p and what rounding it lost."""
    other = 1.0 - p
    return (p, 0.0) if positive else (other, (1.0 - other) - p)


def cross_entropy_sums(checked: bool = True) -> tuple[SectionSum, SectionSum]:
    """Return the sums of cross entropies, float32 and float64, for labels 0/1 and p in [0, 1].

    Not `checked`, they take a label that is not 1 for 0, and any p for a probability.
    """

    def float32(first: Any, labels: Any, state: Any) -> tuple[bool, float, float]:
        prefer_full_vectors()
        product = row_of(state, HIGH)
        lost = row_of(state, LOW)
        octaves = row_of(state, LINEAR)
        product[:] = 1.0
        lost[:] = 0.0
        octaves[:] = 0.0
        plain = True
        for start in range(0, first.size, LANES):
            end = start + LANES
            row, row_labels = window(first, start, end), window(labels, start, end)
            for j in range(LANES):
                positive = row_labels[j] == 1
                if checked:
                    plain &= in_unit_interval(row[j]) & (positive | (row_labels[j] == 0))
                factor, factor_low = _factor(np.float64(row[j]), positive)
                product[j] *= factor
                # Not negligible only beside a factor of 1.
                lost[j] += factor_low
            if start // LANES % SAFE_ROWS == SAFE_ROWS - 1:
                for j in range(LANES):
                    n, _, scale = split_octave(product[j], _SQRT_HALF)
                    octaves[j] += n
                    product[j] *= scale
        half = LANES // 2
        while half >= LAST:
            for j in range(half):
                product[j] *= product[j + half]
            half //= 2
        fold_to(LAST, lost)
        fold_to(LAST, octaves)
        for j in range(number_of_logarithms(state)):
            log, rest = log_sum(product[j], 0.0)
            octaves[j] = fma(octaves[j], _LN2, log) + (rest + lost[j])
        return plain, 0.0 - fold(octaves[:LAST]), 0.0

    def float64(first: Any, labels: Any, state: Any) -> tuple[bool, float, float]:
        prefer_full_vectors()
        high = row_of(state, HIGH)
        low = row_of(state, LOW)
        octaves = row_of(state, LINEAR)
        errors = row_of(state, LINEAR_ERROR)
        high[:] = 1.0
        low[:] = 0.0
        octaves[:] = 0.0
        plain = True
        for start in range(0, first.size, LANES):
            end = start + LANES
            row, row_labels = window(first, start, end), window(labels, start, end)
            for j in range(LANES):
                positive = row_labels[j] == 1
                if checked:
                    plain &= in_unit_interval(row[j]) & (positive | (row_labels[j] == 0))
                factor, factor_low = _factor(row[j], positive)
                n, _, scale = split_octave(factor, _SQRT_HALF)
                octaves[j] += n
                high[j], low[j] = multiplied(high[j], low[j], factor * scale, factor_low * scale)
        # A subnormal factor is less than 1/2 after scaling too.
        for j in range(LANES):
            n, _, scale = split_octave(high[j], _SQRT_HALF)
            octaves[j] += n
            high[j] *= scale
            low[j] *= scale
        _multiply_lanes(high, low)
        fold_to(LAST, octaves)
        for j in range(number_of_logarithms(state)):
            log, rest = log_sum(high[j], 0.0)
            rest += low[j] / high[j]
            powers = octaves[j] * _LN2
            powers_low = fma(octaves[j], _LN2, -powers) + octaves[j] * _LN2_LOW
            octaves[j], lost = two_sum(log, powers)
            errors[j] = lost + (rest + powers_low)
        value, error = fold_sums(octaves[:LAST], errors[:LAST])
        return plain & (value < -TINY), 0.0 - value, -error

    return float32, float64
