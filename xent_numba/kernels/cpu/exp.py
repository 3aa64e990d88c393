r"""exp(x) to one and a half times the working precision, as an unevaluated sum.

.. math:: e^x = 2^n e^r, \quad n = \lfloor x / \ln 2 \rceil, \quad r = x - n \ln 2
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from xent_numba.kernels.cpu.bits import (
    by_precision,
    exact,
    fma,
    inlined,
    low_bits_to_exponent,
    polynomial,
    scale_by_low_bits,
)
from xent_numba.kernels.cpu.coefficients import (
    EXP_FLOAT32,
    EXP_FLOAT64,
    EXP_SIXTEENTH_FLOAT32,
    EXP_SIXTEENTH_FLOAT64,
    POWERS_FLOAT32,
    POWERS_FLOAT64,
    POWERS_REST_FLOAT32,
    POWERS_REST_FLOAT64,
)
from xent_numba.kernels.cpu.lanes import select
from xent_numba.kernels.cpu.lookup import table


class ExpConstants(NamedTuple):
    """The constants of `exp_sum` in one precision.

    Attributes
    ----------
    lowest : float
        exp of anything lower is less than half of the smallest subnormal number.
    inverse_ln2 : float
        1 / ln 2.
    round_to_int : float
        1.5 * 2^(p-1) + bias + lift: adding it rounds to an integer, because the last place of
        the sum is 1 (Cody and Waite, "Software Manual for the Elementary Functions", 1980;
        Muller et al., "Handbook of Floating-Point Arithmetic", 2nd ed., 2018, section 11.1),
        and leaves n + bias + lift in the low bits of the significand.
    ln2_high, ln2_low : float
        ln 2 as an unevaluated sum.
    unlift : float
        2^-lift, where lift keeps the exponent field positive down to the last subnormal.
    tail : tuple of float
        Q of exp(r) = 1 + r + r^2 Q(r).
    round_to_sixteenth : float
        1.5 * 2^(p-5) + lift: adding it rounds to a sixteenth.
    sixteenth_tail : tuple of float
        Q for a sixteenth of an octave.
    """

    lowest: Any
    inverse_ln2: Any
    round_to_int: Any
    ln2_high: Any
    ln2_low: Any
    unlift: Any
    tail: Any
    round_to_sixteenth: Any
    sixteenth_tail: Any


# Literals: what is computed at an import is rounded as the caller has it, powers of two too.
_hex = float.fromhex

FLOAT32 = ExpConstants(
    lowest=np.float32(-104.0),
    inverse_ln2=np.float32(_hex("0x1.715476p+0")),
    round_to_int=np.float32(_hex("0x1.8p23") + 127 + 64),
    ln2_high=np.float32(_hex("0x1.62e43p-1")),
    ln2_low=np.float32(_hex("-0x1.05c61p-29")),
    unlift=np.float32(_hex("0x1p-64")),
    tail=tuple(np.float32(c) for c in EXP_FLOAT32),
    round_to_sixteenth=np.float32(_hex("0x1.8p19") + 64),
    sixteenth_tail=tuple(np.float32(c) for c in EXP_SIXTEENTH_FLOAT32),
)
FLOAT64 = ExpConstants(
    lowest=-746.0,
    inverse_ln2=_hex("0x1.71547652b82fep+0"),
    round_to_int=_hex("0x1.8p52") + 1023 + 512,
    ln2_high=_hex("0x1.62e42fefa39efp-1"),
    ln2_low=_hex("0x1.abc9e3b39803fp-56"),
    unlift=_hex("0x1p-512"),
    tail=EXP_FLOAT64,
    round_to_sixteenth=_hex("0x1.8p48") + 512,
    sixteenth_tail=EXP_SIXTEENTH_FLOAT64,
)


_constants = by_precision(FLOAT32, FLOAT64)

_powers = table(float32=[POWERS_FLOAT32], float64=[POWERS_FLOAT64])
"""2^(k/16), for `scale_by_low_bits`."""

_powers_and_rests = table(
    float32=[POWERS_FLOAT32, POWERS_REST_FLOAT32], float64=[POWERS_FLOAT64, POWERS_REST_FLOAT64]
)
"""2^(k/16), and what rounding took from it."""


@exact
def exp_reduced(x: float, round_to_int: float) -> tuple[float, float, float, float]:
    """Return (shifted, leading, tail, finer): e^x = 2^n (1 + leading + tail), n in shifted's bits.

    ``round_to_int`` is 1.5 * 2^(p-1) and what else is to be in the low bits.

    The reduced argument is x - n ln2_high - n ln2_low.  The first difference is exact: n is the
    nearest integer to x / ln 2, so both terms are multiples of ulp(ln2_high) and their
    difference, below ln(2)/2 + ulp, fits into the significand; fma does not round the product.
    The second difference is kept apart in ``tail``, except inside Q where it is too small to
    matter; ``finer`` is what tail lacks since r and r Q are rounded, for those who want it.
    """
    k = _constants(x)
    shifted = fma(x, k.inverse_ln2, round_to_int)
    n = shifted - round_to_int
    leading = fma(n, -k.ln2_high, x)
    correction = n * k.ln2_low
    r = leading - correction
    q = polynomial(r, k.tail)
    product = r * q
    tail = fma(r, product, -correction)
    finer = fma((leading - r) - correction, leading + tail, r * fma(r, q, -product))
    return shifted, leading, tail, finer


@exact
def exp_parts(x: float) -> tuple[float, float, float]:
    """Return (high, low, lowest) with e^x their sum, for x <= 1; NaN stays NaN.

    What is rounded of `exp_reduced` is only tail (far below 1) and exp(r) - 1 (up to 0.41).

    high is 2^n (1 + (exp(r) - 1)) by one fma, and low what that rounded off: 2^n - high is exact
    (Sterbenz), and fma adds the same product back.  2^n may be subnormal, and only high is
    rounded to that: 2^(n + lift) is built from bits and is always normal, and 2^-lift takes it
    exactly to 2^n.  lowest is what rounding exp(r) - 1 took from it (Fast2Sum).
    """
    k = _constants(x)
    x = k.lowest if x < k.lowest else x
    shifted, leading, tail, _ = exp_reduced(x, k.round_to_int)
    scale = low_bits_to_exponent(shifted) * k.unlift
    expm1 = leading + tail
    high = fma(scale, expm1, scale)
    return high, fma(scale, expm1, scale - high), scale * ((leading - expm1) + tail)


@exact
def exp_sum(x: float) -> tuple[float, float]:
    """Return (high, low) with e^x = high + low to 2^-54 (float32: 2^-25); see `exp_parts`."""
    high, low, _ = exp_parts(x)
    return high, low


@inlined
def _reduced(x: Any, shift: float) -> tuple[Any, Any]:
    """Return (shifted, r) with x = n ln 2 + r and the sixteenths of n in the bits of shifted."""
    k = _constants(x)
    shifted = fma(x, k.inverse_ln2, shift)
    n = shifted - shift
    return shifted, fma(n, -k.ln2_low, fma(n, -k.ln2_high, x))


@inlined
def _sum_by_table(x: Any, shift: float) -> tuple[Any, Any]:
    k = _constants(x)
    shifted, r = _reduced(x, shift)
    power, rest = _powers_and_rests(shifted)
    power, rest = scale_by_low_bits(power, shifted, 4), scale_by_low_bits(rest, shifted, 4)
    step = fma(power, fma(r * r, polynomial(r, k.sixteenth_tail), r), rest)
    high = power + step
    return high, step - (high - power)


@inlined
def exp_sum_by_table(x: Any) -> tuple[Any, Any]:
    """Return (high, low) with e^x = high + low to 2^-57 (float32: 2^-28); lanes, x <= 1.

    As in `exp_parts`, with |r| <= ln(2)/32: step is at most 0.022 power, and so are the roundings
    in it; high + low is power + step exactly (Fast2Sum). Both are 2^lift too large, hence normal,
    and 2^-lift rounds them once where they are subnormal.
    """
    k = _constants(x)
    high, low = _sum_by_table(select(x < k.lowest, k.lowest, x), k.round_to_sixteenth)
    return high * k.unlift, low * k.unlift


_ROUND_TO_SIXTEENTH = _hex("0x1.8p48")
_LOWEST = -700.0


_LOWEST_SUM = -600.0


@inlined
def exp_sum_of_normal(x: Any) -> tuple[Any, Any]:
    """`exp_sum_by_table` of float64 lanes for a result that is added to 1: of x < -600, e^-600.

    2^-85, the least of the table, times that is still a normal number.
    """
    return _sum_by_table(select(x < _LOWEST_SUM, _LOWEST_SUM, x), _ROUND_TO_SIXTEENTH)


_TAIL = (1.0, *EXP_SIXTEENTH_FLOAT32)


@inlined
def _parts_for_float32(x: Any) -> tuple[Any, Any, Any]:
    """Return (n, 2^n, x - n ln 2 to 2^-45), n in sixteenths, of float64 lanes."""
    x = select(x < _LOWEST, _LOWEST, x)
    shifted = fma(x, FLOAT64.inverse_ln2, _ROUND_TO_SIXTEENTH)
    n = shifted - _ROUND_TO_SIXTEENTH
    (power,) = _powers(shifted)
    return n, scale_by_low_bits(power, shifted, 4), fma(n, -FLOAT64.ln2_high, x)


@inlined
def exp_for_float32(x: Any) -> Any:
    """e^x for x <= 0 in float64, to 2^-29.2; for x < -700, e^-700, which is 0 to a float32."""
    _, power, r = _parts_for_float32(x)
    return fma(power * r, polynomial(r, _TAIL), power)


@inlined
def exp_for_difference(x: Any) -> Any:
    """`exp_for_float32` to 2^-52, for what cancels; beside that it costs a polynomial."""
    n, power, r = _parts_for_float32(x)
    r = fma(n, -FLOAT64.ln2_low, r)
    return fma(power, fma(r * r, polynomial(r, FLOAT64.sixteenth_tail), r), power)
