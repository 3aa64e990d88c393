"""A sweep finds what is planted: one fault each, and it is found by name."""

from __future__ import annotations

import numpy as np
import pytest
from planted import plant, true_sigmoid

from xent_numba.accuracy.counting import band_starts
from xent_numba.accuracy.error_counts import Grade
from xent_numba.accuracy.plans import CHUNK, PIECE, Exhaustive, bits_to_floats, float_to_bits
from xent_numba.accuracy.sweep import Quantity, Sweep, inspect, total
from xent_numba.operations import OPERATIONS

__all__ = ["plant"]

SIGMOID = Quantity("planted", "sigmoid", "float32")
LOSS = Quantity("planted", "logistic_loss", "float32", 1.0)
AROUND_ONE = Exhaustive(float_to_bits(0.97), float_to_bits(1.3))
TAIL = Exhaustive(float_to_bits(80.0), float_to_bits(100.0))


def counts(quantity, plan, chunks=None):
    sweep = Sweep(quantity.implementation, quantity.dtype, (quantity.operation,))
    chosen = range(plan.chunks) if chunks is None else chunks
    return total(inspect(sweep, plan, chunk)[quantity] for chunk in chosen)


def test_a_right_kernel_breaks_no_rule(plant):
    plant(lambda scores, values: values)
    found = counts(SIGMOID, AROUND_ONE)
    assert found.normal.count == 2 * (float_to_bits(1.3) - float_to_bits(0.97))
    assert found.normal.correctly_rounded == found.normal.count
    assert found.max_ulp == found.normal.max_ulp < 0.50001
    assert set(found.grades.values()) == {Grade.ONE}
    assert not any(
        v.count for v in (found.nonfinite, found.sign, found.monotonicity, found.symmetry)
    )


def test_error_of_1_6_ulp_at_one_exponent(plant):
    def fault(scores, values):
        off = (scores >= 1) & (scores < 2)
        wide = true_sigmoid(scores.astype(np.float64))
        return np.where(off, wide + 1.6 * 2.0**-24, wide).astype(np.float32)

    plant(fault)
    found = counts(SIGMOID, AROUND_ONE)
    assert found.normal.max_ulp == pytest.approx(1.6 + 0.5, abs=0.01)
    assert 1 <= float.fromhex(found.normal.worst) < 2
    assert found.grades[grade_number(0.99)] == Grade.ONE
    assert found.grades[grade_number(1.01)] == Grade.FOUR


def test_one_wrong_input_among_all(plant):
    """Anywhere among the 2^32: chunks cover them all, and the chunk it is in finds it."""
    whole = Exhaustive.over(OPERATIONS["sigmoid"])
    pattern = int(np.random.default_rng().integers(1, float_to_bits(np.inf)))
    (magnitude,) = bits_to_floats(pattern, pattern + 1)
    victim = float(magnitude) * np.random.default_rng().choice([-1, 1])

    def fault(scores, values):
        return np.where(scores == np.float32(victim), np.float32(0.25), values)

    plant(fault)
    chunk = pattern // CHUNK
    found = counts(SIGMOID, whole, [chunk])
    worst = max((found.normal, found.subnormal), key=lambda errors: errors.max_ulp)
    assert worst.max_ulp > 1
    assert float.fromhex(worst.worst) == victim, f"planted at {victim.hex()}"
    plant(lambda scores, values: values)
    right = counts(SIGMOID, whole, [chunk])
    rounded = [f.normal.correctly_rounded + f.subnormal.correctly_rounded for f in (found, right)]
    assert rounded[0] == rounded[1] - 1
    assert found.monotonicity.count > 0


def test_chunks_cover_all_of_float32():
    for name in ("sigmoid", "binary_cross_entropy"):
        plan = Exhaustive.over(OPERATIONS[name])
        at = 0
        for chunk in (*range(3), *range(plan.chunks - 3, plan.chunks)):
            at = chunk * CHUNK
            lead = plan.lead(chunk)
            assert (lead is None) == (chunk == 0)
            if lead is not None:
                assert lead.view(np.uint32)[-1] == at - 1
            for piece in plan.pieces(chunk):
                bits = piece.view(np.uint32)
                assert bits[0] == at
                assert (np.diff(bits) == 1).all()
                at += piece.size
        assert at == plan.stop
    assert Exhaustive.over(OPERATIONS["sigmoid"]).stop == 1 << 31
    assert bits_to_floats(plan.stop - 1, plan.stop)[0] == 1


def test_flush_of_subnormals(plant):
    plant(lambda scores, values: np.where(values < 2.0**-126, np.float32(0), values))
    found = counts(SIGMOID, TAIL)
    assert found.normal.max_ulp < 0.50001
    assert found.subnormal.max_ulp > 8e6
    assert found.grades[~grade_number(90.0)] == Grade.LOST
    assert found.grades[~grade_number(82.0)] == Grade.ONE


def test_negative_zero(plant):
    plant(lambda scores, values: np.where(values == 0, -values, values))
    top = Exhaustive(float_to_bits(120.0), float_to_bits(121.0))
    found = counts(LOSS, top)
    assert found.sign.count == top.stop - top.first > 0
    assert float.fromhex(found.sign.example) == 120
    assert found.max_ulp == np.inf


def test_infinity_and_nan_where_they_should_not_be(plant):
    plant(lambda scores, values: np.where(scores == 1.25, np.float32(np.nan), values))
    found = counts(SIGMOID, AROUND_ONE)
    assert (found.nonfinite.count, float.fromhex(found.nonfinite.example)) == (1, 1.25)
    assert found.max_ulp == np.inf
    assert found.grades[grade_number(1.25)] == Grade.NAN
    plant(lambda scores, values: np.where(scores == -1.25, np.float32(np.inf), values))
    found = counts(SIGMOID, AROUND_ONE)
    assert found.grades[~grade_number(1.25)] == Grade.INFINITE


@pytest.mark.parametrize("sign", [1, -1])
def test_step_back(plant, sign):
    edge = np.float32(sign * 1.25)
    plant(lambda scores, values: np.where(scores == edge, values - np.float32(2.0**-22), values))
    after = np.nextafter(edge, np.float32(sign * 2))
    # Going away from zero the sigmoid rises, or falls: the step back is to the edge, or from it.
    found = counts(SIGMOID, AROUND_ONE).monotonicity
    assert (found.count, float.fromhex(found.example)) == (1, edge if sign > 0 else after)
    # The loss falls with the margin, so there it is the other one.
    found = counts(LOSS, AROUND_ONE).monotonicity
    assert (found.count, float.fromhex(found.example)) == (1, after if sign > 0 else edge)


@pytest.mark.parametrize("place", [PIECE, CHUNK], ids=["piece", "chunk"])
def test_step_back_across_a_seam_of_the_work(plant, place):
    plan = Exhaustive(float_to_bits(0.5), float_to_bits(0.5) + CHUNK + PIECE)
    (first,) = bits_to_floats(plan.first + place, plan.first + place + 1)
    plant(lambda scores, values: np.where(scores == first, np.float32(0.1), values))
    found = counts(SIGMOID, plan)
    assert (found.monotonicity.count, float.fromhex(found.monotonicity.example)) == (1, first)


def test_asymmetry(plant):
    plant(lambda scores, values: np.where(scores < 0, values * np.float32(1.000001), values))
    assert counts(SIGMOID, AROUND_ONE).symmetry.count > 0
    first = np.float32(1.25)
    plant(lambda scores, values: np.where(scores == first, np.nextafter(values, 0), values))
    assert counts(LOSS, AROUND_ONE).symmetry.count == 0  # wrong, but as wrong on both sides


#: exp(r) = 1 + r + r^2 Q(r) on +-ln2/2, to single precision; and with one last digit changed.
COEFFICIENTS = (0.49999988, 0.16666464, 0.04166765, 0.0083691515, 0.0013795)
ONE_DIGIT_OFF = (0.49999988, 0.16666464, 0.04166764, 0.0083691515, 0.0013795)


def polynomial_sigmoid(coefficients):
    """A float32 kernel that rounds only once, so that its coefficients are all there is to see."""

    def fault(scores, values):
        with np.errstate(under="ignore", invalid="ignore"):
            s = -np.abs(scores.astype(np.float64))
            n = np.rint(s / np.log(2.0))
            r = s - n * np.log(2.0)
            q = np.polynomial.polynomial.polyval(r, np.float32(coefficients).astype(np.float64))
            e = np.ldexp(1 + r + r * r * q, n.astype(np.int64))
            return (np.where(scores >= 0, 1, e) / (1 + e)).astype(np.float32)

    return fault


def test_last_digit_of_a_coefficient(plant):
    plant(polynomial_sigmoid(COEFFICIENTS))
    right = counts(SIGMOID, AROUND_ONE)
    plant(polynomial_sigmoid(ONE_DIGIT_OFF))
    wrong = counts(SIGMOID, AROUND_ONE)
    assert right.normal.max_ulp < wrong.normal.max_ulp
    assert right.normal.correctly_rounded > wrong.normal.correctly_rounded


def grade_number(value):
    """The sixteenth of an octave that a magnitude is in, by search."""
    low, high = 0, 34000
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if band_starts(middle) <= value else (low, middle)
    return low


def test_grades_are_of_sixteenths_of_an_octave():
    starts = np.array([band_starts(where) for where in range(1, 33586)])
    assert band_starts(0) == 0
    assert starts[0] < 5e-324
    assert np.isinf(starts[-1])
    normal = starts[(starts > 2.0**-1070) & np.isfinite(starts)]
    assert (np.diff(normal) > 0).all()
    assert set(np.ldexp(1.0, range(-1069, 1024))) <= set(normal.tolist())
    assert ((normal[1:] / normal[:-1]) <= 1.0625).all()


def test_hard_cases_are_decided_by_mpmath(plant):
    """g(2^-23) is above the middle between two floats by less than a double can tell."""
    score = np.float32(2.0**-23)
    middle = Exhaustive(float_to_bits(score), float_to_bits(score) + 1)
    plant(lambda scores, values: np.where(scores > 0, np.float32(0.5), values))
    down = counts(SIGMOID, middle)
    plant(lambda scores, values: np.where(scores > 0, np.float32(0.5 + 2.0**-24), values))
    up = counts(SIGMOID, middle)
    assert down.decided == up.decided == 1
    # g(s) = 1/2 + s/4 - s^3/48: below the middle, so that down is right.
    assert down.normal.correctly_rounded == up.normal.correctly_rounded + 1 == 2
