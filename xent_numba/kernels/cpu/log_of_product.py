r"""Sums of losses without a logarithm for each: the logarithm of a product.

.. math::
    \sum_i \log(1 + e^{x_i}) &= \sum_i \max(x_i, 0) + \log \prod_i (1 + e^{-|x_i|}) \\
    -\sum_i \log f_i &= -\log \prod_i f_i, \quad f_i = p_i \text{ or } 1 - p_i

with x = -m for the margin m. A section is multiplied up in lanes that stay in registers,
and only of the last eight products the logarithm is taken: one for 256 samples. The logarithm is
more than half of the arithmetic of a loss.

No sample is rounded on the way. The sum is the closer to the true one: a sum of rounded samples
carries their errors, which do not average out where many samples are alike.

A soft label's cross entropy is that of the score whose sigmoid is p: e^{-|x|} = min(p, 1 - p) /
max(p, 1 - p), and one logarithm is left of two.

* float32: factors and products are float64.  1 + e^{-|x|} would lose a small exponential, so the
  product is kept less 1: (1 + a)(1 + b) - 1 = ab + (a + b).  The exponential has the polynomial
  of the float32 kernels, 2^-29.2 from the truth, which is 0.03 ULP of the sum.  Factors f have no
  such form, since their product may vanish: a sum that shows roundings next to 1 is left alone.
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

from numba import types
from numba.extending import overload

from xent_numba.kernels.cpu.bits import (
    EXACT,
    exact,
    fma,
    in_unit_interval,
    inlined,
    split_octave,
)
from xent_numba.kernels.cpu.exp import FLOAT64, exp_for_float32, exp_sum_of_normal
from xent_numba.kernels.cpu.lanes import (
    LINE,
    any_of,
    filled,
    halves,
    load,
    load_beside,
    select,
    to_float64,
)
from xent_numba.kernels.cpu.log import log_of_reduced, log_reduced, log_sum
from xent_numba.kernels.cpu.soft_labels import log_for_float32, other_share, penalty
from xent_numba.kernels.cpu.summation import fold, fold_sums, two_sum

SectionSum = Callable[[Any, Any, Any], tuple[bool, float, float]]
"""``section_sum(first, labels, state)`` returns whether it knows all labels and values of a
section, and if so the sum of the losses as value + error.
"""

SECTION = 2048
"""Samples multiplied up before logarithms are taken."""

SAFE_ROWS = 4
"""Lines of probabilities, at least 2^-149 (float32) or 2^-200, that a product takes unscaled."""

SMALL_FACTOR = float.fromhex("0x1p-200")
"""Of a smaller factor in float64 the loss is over 138: a section that has one is left alone."""

TINY = float.fromhex("0x1p-30")
"""A smaller float64 sum is all in the low parts, whose roundings are not kept: it is left alone."""

TINY_FLOAT32 = float.fromhex("0x1p-14")
"""Beside a smaller sum the roundings of 2048 float64 factors near 1, and of their products, 2^-54
each, are seen.
"""

_LN2, _LN2_LOW = FLOAT64.ln2_high, FLOAT64.ln2_low
_SQRT_HALF = float.fromhex("0x1.6a09e667f3bcdp-1")


@inlined
def joined(a: Any, b: Any) -> Any:
    """(1 + a)(1 + b) - 1."""
    return fma(a, b, a + b)


@inlined
def multiplied(a: Any, a_low: Any, b: Any, b_low: Any) -> tuple[Any, Any]:
    """(a + a_low)(b + b_low), without the product of the low parts."""
    product = a * b
    return product, fma(a_low, b, fma(a, b_low, fma(a, b, -product)))


@inlined
def _plus_log1p(total: Any, product: Any, state: Any) -> float:
    """Return the sum of all lanes of total + log(1 + product)."""
    product = joined(*halves(product))
    log, rest = log_sum(*two_sum(filled(1.0, product), product))
    a, b = halves(total)
    return fold((a + b) + (log + rest), state)


@inlined
def _plus_log(total: Any, errors: Any, high: Any, low: Any, state: Any) -> tuple[float, float]:
    """Return the sum of all lanes of total + errors + log(high + low), as value + error."""
    log, rest = log_sum(high, filled(0.0, high))
    total, lost = two_sum(total, log)
    return fold_sums(total, errors + (lost + (rest + low / high)), state)


def _by_types(choose: Callable[[int, Any], Any]) -> SectionSum:
    """Return a function that compiled code may call: ``choose(double, labels)``.

    `double` is 1 for float64 scores or probabilities, else 0; `labels` the dtype of the labels.
    """

    def section_sum(first: Any, labels: Any, state: Any) -> tuple[bool, float, float]:
        raise NotImplementedError

    @overload(section_sum, jit_options=EXACT)
    def chosen(first: Any, labels: Any, state: Any) -> SectionSum:
        return choose(int(first.dtype == types.float64), labels.dtype)

    return section_sum


def hard_margin(negative: int) -> tuple[Any, Any]:
    """Return what tells whether a label is 1 or ``negative``, and L = linear + log(1 + e^-|s|).

    ``linear`` is |s| where label and score disagree, in float64, as an unevaluated sum.
    """

    @inlined
    def allowed(y: Any) -> Any:
        return (y == 1) | (y == negative)

    @inlined
    def linear(s: Any, y: Any) -> Any:
        return select((y == 1) ^ (s > 0.0), abs(s), 0.0), 0.0

    return allowed, linear


@inlined
def _soft_label(y: Any) -> Any:
    return (y >= 0) & (y <= 1)


@inlined
def _soft_linear(s: Any, y: Any) -> Any:
    return penalty(s, to_float64(y))


def softplus_sums(allowed: Any, linear: Any, checked: bool = True) -> tuple[SectionSum, SectionSum]:
    """Return the sums of linear + log(1 + e^-|s|), float32 and float64."""

    def float32(first: Any, labels: Any, state: Any) -> tuple[bool, float, float]:
        product = filled(0.0, first)  # less 1
        total = filled(0.0, first)
        bad = filled(False, first)
        for i in range(0, first.size, LINE // first.itemsize):
            s = to_float64(load(first, i))
            y = load_beside(labels, i, s)
            more, _ = linear(s, y)
            if checked:
                bad |= ~allowed(y)
            total += more
            product = joined(product, exp_for_float32(-abs(s)))
        return not any_of(bad), _plus_log1p(total, product, state), 0.0

    def float64(first: Any, labels: Any, state: Any) -> tuple[bool, float, float]:
        high, low = filled(1.0, first), filled(0.0, first)
        total, errors = filled(0.0, first), filled(0.0, first)
        bad = filled(False, first)
        for i in range(0, first.size, LINE // first.itemsize):
            s = load(first, i)
            y = load_beside(labels, i, s)
            more, more_low = linear(s, y)
            if checked:
                bad |= ~allowed(y)
            total, lost = two_sum(total, more)
            errors += lost + more_low
            e, e_low = exp_sum_of_normal(-abs(s))
            factor = 1.0 + e
            high, low = multiplied(high, low, factor, (e - (factor - 1.0)) + e_low)
        value, error = _plus_log(total, errors, high, low, state)
        # NaN of a score is in the error alone, and so is an infinite one.
        return (not any_of(bad)) & (value > TINY) & (error == error), value, error

    return float32, float64


def softplus_sum(negative: int, checked: bool = True) -> SectionSum:
    """Return the sum of log(1 + e^-m) for labels 1 and ``negative``.

    With `negative` 0 and floating labels, of log(1 + e^s) - ys for labels in [0, 1]: who finds the
    first of them hard, takes all for hard until it sees another. Not `checked`, it takes any label
    for an allowed one.
    """
    hard = softplus_sums(*hard_margin(negative), checked)
    mixed = [
        _first_hard(exact(one), exact(soft))
        for one, soft in zip(hard, softplus_sums(_soft_label, _soft_linear, checked), strict=True)
    ]

    def choose(double: int, labels: Any) -> Any:
        takes_soft = negative == 0 and isinstance(labels, types.Float)
        return (mixed if takes_soft else hard)[double]

    return _by_types(choose)


@exact
def _any_soft(labels: Any) -> bool:
    found = filled(False, labels)
    for i in range(0, labels.size, LINE // labels.itemsize):
        y = load(labels, i)
        found |= (y != 0) & (y != 1)
    return any_of(found)


def _first_hard(hard: Any, soft: Any) -> Any:
    """Return a sum for labels in [0, 1]; hard ones get the bits that integers get."""

    def either(first: Any, labels: Any, state: Any) -> tuple[bool, float, float]:
        y = load(labels, 0)
        if not any_of((y != 0) & (y != 1)):
            plain, value, error = hard(first, labels, state)
            if plain or not _any_soft(labels):
                return plain, value, error
        found: tuple[bool, float, float] = soft(first, labels, state)
        return found

    return either


@inlined
def _factor(p: Any, positive: Any) -> tuple[Any, Any]:
    """p, or 1 - p and what rounding it lost."""
    other = 1.0 - p
    return select(positive, p, other), select(positive, 0.0, (1.0 - other) - p)


@inlined
def _known(p: Any, y: Any) -> Any:
    return in_unit_interval(p) & ((y == 1) | (y == 0))


def cross_entropy_sums(checked: bool = True) -> tuple[SectionSum, SectionSum]:
    """Return the sums of cross entropies, float32 and float64, for labels 0/1 and p in [0, 1]."""

    def float32(first: Any, labels: Any, state: Any) -> tuple[bool, float, float]:
        step = LINE // first.itemsize
        product, octaves = filled(1.0, first), filled(0.0, first)
        bad = filled(False, first)
        for start in range(0, first.size, SAFE_ROWS * step):
            for i in range(start, start + SAFE_ROWS * step, step):
                p = load(first, i)
                y = load_beside(labels, i, p)
                if checked:
                    bad |= ~_known(p, y)
                factor, _ = _factor(to_float64(p), y == 1)
                product *= factor
            n, _, scale = split_octave(product, _SQRT_HALF)
            octaves, product = octaves + n, product * scale
        a, b = halves(product)
        log, rest = log_sum(a * b, filled(0.0, a))
        a, b = halves(octaves)
        value = 0.0 - fold(fma(a + b, _LN2, log) + rest, state)
        return (not any_of(bad)) & (value > TINY_FLOAT32), value, 0.0

    def float64(first: Any, labels: Any, state: Any) -> tuple[bool, float, float]:
        high, low, octaves = filled(1.0, first), filled(0.0, first), filled(0.0, first)
        bad = filled(False, first)
        step = LINE // first.itemsize
        for start in range(0, first.size, SAFE_ROWS * step):
            for i in range(start, start + SAFE_ROWS * step, step):
                p = load(first, i)
                y = load_beside(labels, i, p)
                factor, factor_low = _factor(p, y == 1)
                bad |= factor < SMALL_FACTOR
                if checked:
                    bad |= ~_known(p, y)
                high, low = multiplied(high, low, factor, factor_low)
            n, _, scale = split_octave(high, _SQRT_HALF)
            octaves, high, low = octaves + n, high * scale, low * scale
        powers = octaves * _LN2
        lost = fma(octaves, _LN2, -powers) + octaves * _LN2_LOW
        value, error = _plus_log(powers, lost, high, low, state)
        return (not any_of(bad)) & (value < -TINY), 0.0 - value, -error

    return float32, float64


@inlined
def _odds(p: Any, y: Any) -> tuple[Any, Any, Any, Any]:
    """Return the smaller of p and 1 - p over the larger, at most 1, and the smaller's share of y.

    Both are unevaluated sums. 1 - p is exact where it is the smaller (Sterbenz); the residual of
    the quotient has 1/larger = 1 + quotient.
    """
    other, other_low = other_share(p)
    rest, rest_low = other_share(y)
    above = p > 0.5
    smaller, larger = select(above, other, p), select(above, p, other)
    quotient = smaller / larger
    residual = fma(-quotient, larger, smaller) - quotient * select(above, 0.0, other_low)
    return (
        quotient,
        fma(residual, quotient, residual),
        select(above, rest, y),
        select(above, rest_low, 0.0),
    )


@inlined
def _finite(p: Any, y: Any) -> Any:
    """Whether a label is in [0, 1], p too, and p is 0 or 1 for that label alone."""
    return _soft_label(y) & (((p > 0.0) & (p < 1.0)) | (to_float64(p) == to_float64(y)))


def _soft_cross_entropy_sums(checked: bool) -> tuple[SectionSum, SectionSum]:
    """Return the sums of log(1 + o) - w log o, float32 and float64, for o and w of `_odds`."""

    def float32(first: Any, labels: Any, state: Any) -> tuple[bool, float, float]:
        product = filled(0.0, first)  # less 1
        total = filled(0.0, first)
        bad = filled(False, first)
        for i in range(0, first.size, LINE // first.itemsize):
            p = load(first, i)
            y = load_beside(labels, i, p)
            if checked:
                bad |= ~_finite(p, y)
            # Where they are 0, w is too, and the logarithm that it is multiplied by some number.
            odds, _, w, _ = _odds(to_float64(p), to_float64(y))
            total = fma(-w, log_for_float32(odds, 0.0), total)
            product = joined(product, odds)
        return not any_of(bad), _plus_log1p(total, product, state), 0.0

    def float64(first: Any, labels: Any, state: Any) -> tuple[bool, float, float]:
        high, low = filled(1.0, first), filled(0.0, first)
        total, errors = filled(0.0, first), filled(0.0, first)
        bad = filled(False, first)
        for i in range(0, first.size, LINE // first.itemsize):
            p = load(first, i)
            y = load_beside(labels, i, p)
            if checked:
                bad |= ~_finite(p, y)
            odds, odds_low, w, w_low = _odds(p, to_float64(y))
            n, t, scale = log_reduced(odds)
            log, log_low = log_of_reduced(n, t, odds_low * scale)
            more = w * log
            total, lost = two_sum(total, -more)
            errors += lost - fma(w, log, -more) - fma(w, log_low, w_low * log)
            factor = 1.0 + odds
            high, low = multiplied(high, low, factor, (odds - (factor - 1.0)) + odds_low)
        value, error = _plus_log(total, errors, high, low, state)
        return (not any_of(bad)) & (value > TINY), value, error

    return float32, float64


def cross_entropy_sum(checked: bool = True) -> SectionSum:
    """Return the sum of cross entropies for p in [0, 1] and labels 0/1, or floats in [0, 1].

    Not `checked`, it takes any label for an allowed one, and any p for a probability.
    """
    hard = cross_entropy_sums(checked)
    mixed = [
        _first_hard(exact(one), exact(soft))
        for one, soft in zip(hard, _soft_cross_entropy_sums(checked), strict=True)
    ]
    return _by_types(
        lambda double, labels: (mixed if isinstance(labels, types.Float) else hard)[double]
    )
