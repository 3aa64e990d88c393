"""Generate ``coefficients.py``: minimax polynomials, rounded in the working precision.

Run ``python -m tools.minimax`` to write the file; a test regenerates it.

Two functions are approximated, one in two forms, each by the part that is left when its leading
terms have been split off, so that the polynomial's own rounding is multiplied by a small number:

* ``exp(r) = 1 + r + r^2 Q(r)``, ``|r| <= ln(2)/2``, and ``|r| <= ln(2)/32`` beside a table;
* ``log(1 + t) = q + q^3 A(q^2)`` with ``q = t/(1 + t/2)``, the series of ``2 atanh(q/2)``;
* ``log(1 + t) = t - t^2/2 + t^3 T(t)``, which needs no division.

The error that is minimised is relative to the *function*, so ``Q`` carries the weight
``r^2 exp(-r)``, ``A`` the weight ``q^3 / log(1 + t)`` and ``T`` the weight ``t^3 / log(1 + t)``.

The real coefficients come from Remez's exchange algorithm and are then rounded.  Because the
weights vanish where the polynomial's constant term alone remains, that rounding costs less than
the last quarter bit of the bound that is printed, which is measured with the rounded ones.
"""

import struct
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

import mpmath
from mpmath import mpf

DIGITS = 40
GRID = 800
EXCHANGES = 40
TABLE = 16

POWERS_COMMENTS = {
    "POWERS": "2^(k/16) less k in the four bits behind the exponent.",
    "POWERS_REST": "What rounding took from 2^(k/16), less k likewise.",
}

Real = Callable[[mpf], mpf]
Sample = tuple[mpf, mpf, mpf]
"""A point x, the weight there and the target there."""


@dataclass(frozen=True)
class Approximation:
    """One polynomial: what it approximates, where, and in which precision it is evaluated."""

    name: str
    formula: str
    target: Real
    weight: Real
    low: str
    high: str
    degree: int
    bits: int


def exp_tail(r: mpf) -> mpf:
    """Return (exp(r) - 1 - r) / r^2."""
    return mpmath.hyp1f1(1, 3, r) / 2


def exp_weight(r: mpf) -> mpf:
    """Return r^2 / exp(r)."""
    return r * r * mpmath.exp(-r)


def log_tail(u: mpf) -> mpf:
    """Return (2 atanh(q/2) - q) / q^3 at u = q^2."""
    return mpmath.hyp2f1(1, mpf(3) / 2, mpf(5) / 2, u / 4) / 12


def log_weight(u: mpf) -> mpf:
    """Return q^3 / (2 atanh(q/2)) at u = q^2."""
    return u / (1 + u * log_tail(u))


def direct_tail(t: mpf) -> mpf:
    """Return (log(1 + t) - t + t^2/2) / t^3."""
    return mpmath.hyp2f1(1, 3, 4, -t) / 3


def direct_weight(t: mpf) -> mpf:
    """Return t^3 / log(1 + t)."""
    return t * t / mpmath.hyp2f1(1, 1, 2, -t)


def _exp(name: str, bound: str, degree: int, bits: int) -> Approximation:
    return Approximation(
        name, "exp(r) = 1 + r + r^2 Q(r)", exp_tail, exp_weight, f"-{bound}", bound, degree, bits,
    )  # fmt: skip


def _log(precision: str, name: str, high: str, degree: int, bits: int) -> Approximation:
    return Approximation(
        f"{name}_{precision}", "log(1 + t) = q + q^3 A(q^2)",
        log_tail, log_weight, "0", high, degree, bits,
    )  # fmt: skip


def _direct(name: str, low: str, high: str, degree: int) -> Approximation:
    return Approximation(
        f"{name}_DIRECT_FLOAT32", "log(1 + t) = t - t^2/2 + t^3 T(t)",
        direct_tail, direct_weight, low, high, degree, 24,
    )  # fmt: skip


# q^2 at t = 1, the largest exponential of a negative number.
SOFTPLUS_SQUARE = "0.4445"
# q^2 at 1 + t = sqrt(2) and at 1 + t = sqrt(1/2), the ends of the reduced logarithm.
LOG_SQUARE = "0.1178"

# ln(2)/2 and ln(2)/32, a little widened for the rounding of the reduction.
WHOLE, SIXTEENTH = "0.3466", "0.02167"

APPROXIMATIONS = (
    _exp("EXP_FLOAT32", WHOLE, 4, 24),
    _exp("EXP_SIXTEENTH_FLOAT32", SIXTEENTH, 1, 24),
    _log("FLOAT32", "LOG1P", SOFTPLUS_SQUARE, 3, 24),
    _log("FLOAT32", "LOG", LOG_SQUARE, 2, 24),
    _direct("LOG1P", "0", "1", 8),
    _direct("LOG", "-0.2930", "0.4143", 7),
    _exp("EXP_FLOAT64", WHOLE, 10, 53),
    _exp("EXP_SIXTEENTH_FLOAT64", SIXTEENTH, 5, 53),
    _log("FLOAT64", "LOG1P", SOFTPLUS_SQUARE, 9, 53),
    _log("FLOAT64", "LOG", LOG_SQUARE, 6, 53),
)


def polynomial(coefficients: Iterable[mpf], x: mpf) -> mpf:
    """Return c[0] + c[1] x + c[2] x^2 + ..."""
    return sum((c * x**k for k, c in enumerate(coefficients)), mpf(0))


def _levelled(reference: list[Sample], degree: int) -> list[mpf]:
    """Return the coefficients whose error alternates on the reference, then that error."""
    rows = [[w * x**k for k in range(degree + 1)] + [(-1) ** i]
            for i, (x, w, _) in enumerate(reference)]  # fmt: skip
    return list(
        mpmath.lu_solve(mpmath.matrix(rows), mpmath.matrix([w * y for _, w, y in reference]))
    )


def remez(samples: list[Sample], degree: int) -> list[mpf]:
    """Return c minimising the largest |weight (target - sum_k c_k x^k)| over the samples."""
    size = degree + 2
    reference = [samples[(len(samples) - 1) * k // (size - 1)] for k in range(size)]
    for _ in range(EXCHANGES):
        *coefficients, level = _levelled(reference, degree)
        errors = [(w * (y - polynomial(coefficients, x)), (x, w, y)) for x, w, y in samples]
        if max(abs(error) for error, _ in errors) <= abs(level) * mpf("1.001"):
            return coefficients
        signs = groupby(errors, key=lambda e: e[0] > 0)
        peaks = [max(run, key=lambda e: abs(e[0])) for _, run in signs]
        while len(peaks) > size:
            peaks.pop(0 if abs(peaks[0][0]) < abs(peaks[-1][0]) else -1)
        reference = [sample for _, sample in peaks]
    raise ArithmeticError("the exchange did not settle")


def rounded(value: mpf, bits: int) -> mpf:
    """Return the value rounded to nearest at a precision of `bits` bits."""
    with mpmath.workprec(bits):
        return +value


def fit(approximation: Approximation) -> tuple[list[mpf], mpf]:
    """Return the rounded coefficients, constant term first, and the relative error they leave."""
    a = approximation
    low, high = mpf(a.low), mpf(a.high)
    # The extrema of a Chebyshev polynomial, without the points where the weight vanishes.
    grid = [
        (low + high) / 2 - (high - low) / 2 * mpmath.cos(mpmath.pi * (k + mpf(1) / 2) / GRID)
        for k in range(GRID)
    ]
    samples = [(x, a.weight(x), a.target(x)) for x in grid]
    fitted = [rounded(c, a.bits) for c in remez(samples, a.degree)]
    return fitted, max(abs(w * (y - polynomial(fitted, x))) for x, w, y in samples)


def powers(bits: int) -> tuple[list[float], list[float]]:
    """Return 2^(k/16), k below 16, for `scale_by_low_bits`, and what rounding took from it.

    A sixteenth of an octave is less by 1 in the four bits behind the exponent, which has the
    bits of k added there vanish again. Nothing has no exponent to be scaled: beside 2^0 stands
    2^-1.6p.
    """
    heads, rests = [], []
    for k in range(TABLE):
        exact = mpf(2) ** (mpf(k) / TABLE)
        head = rounded(exact, bits)
        rest = rounded(exact - head, bits) or mpf(2) ** (-8 * bits // 5)
        heads.append(less_in_bits(head, k, bits))
        rests.append(less_in_bits(rest, k, bits))
    return heads, rests


def less_in_bits(value: mpf, k: int, bits: int) -> float:
    """Return the float whose bits are those of a value, less k in the four behind the exponent."""
    kind, integer = {24: ("f", "I"), 53: ("d", "Q")}[bits]
    (pattern,) = struct.unpack(integer, struct.pack(kind, float(value)))
    return float(struct.unpack(kind, struct.pack(integer, pattern - (k << (bits - 5))))[0])


def source() -> str:
    """Return the text of ``coefficients.py``."""
    lines = ['"""Minimax coefficients, constant term first. Written by ``minimax.py``."""', ""]
    with mpmath.workdps(DIGITS):
        for approximation in APPROXIMATIONS:
            coefficients, error = fit(approximation)
            lines += [
                f"# {approximation.formula} on [{approximation.low}, {approximation.high}]:",
                f"# relative error below 2^{mpmath.nstr(mpmath.log(error, 2), 4)}.",
                f"{approximation.name} = (",
                *(f'    float.fromhex("{float(c).hex()}"),' for c in coefficients),
                ")",
                "",
            ]
        for name, bits in (("FLOAT32", 24), ("FLOAT64", 53)):
            for row, values in zip(("POWERS", "POWERS_REST"), powers(bits), strict=True):
                lines += [
                    f"# {POWERS_COMMENTS[row]}",
                    f"{row}_{name} = (",
                    *(f'    float.fromhex("{value.hex()}"),' for value in values),
                    ")",
                    "",
                ]
    return "\n".join(lines)


if __name__ == "__main__":
    coefficients = Path(__file__).parents[1] / "xent_numba/kernels/cpu/coefficients.py"
    coefficients.write_text(source())
