"""The laboratory finds what is planted: one fault each, and it is found by name."""

from __future__ import annotations

import json
from concurrent.futures import Executor, Future

import numpy as np
import pytest

import xent_numba
from xent_numba.accuracy import sweep
from xent_numba.accuracy.counting import band_starts
from xent_numba.accuracy.error_counts import Errors, Grade
from xent_numba.accuracy.search import Seams, climb, seams
from xent_numba.accuracy.sweep import (
    CHUNK,
    PIECE,
    Exhaustive,
    Strata,
    Subject,
    Target,
    bits_to_floats,
    float_to_bits,
)
from xent_numba.operations import OPERATIONS

SIGMOID = Target("planted", "sigmoid", "float32")
LOSS = Target("planted", "logistic_loss", "float32", 1.0)
AROUND_ONE = Exhaustive(float_to_bits(0.97), float_to_bits(1.3))
TAIL = Exhaustive(float_to_bits(80.0), float_to_bits(100.0))


def true_sigmoid(scores):
    e = np.exp(-np.abs(scores.astype(np.float64)))
    return (np.where(scores >= 0, 1, e) / (1 + e)).astype(scores.dtype)


def true_loss(scores, labels):
    return np.logaddexp(0, -labels * scores.astype(np.float64)).astype(scores.dtype)


@pytest.fixture
def plant(monkeypatch):
    """Put kernels, right but for a fault, in the place of the public functions."""

    def put(fault):
        monkeypatch.setattr(
            xent_numba,
            "sigmoid",
            lambda scores, *, implementation: fault(scores, true_sigmoid(scores)),
        )
        monkeypatch.setattr(
            xent_numba,
            "logistic_loss",
            lambda scores, labels, *, reduction, implementation: fault(
                labels * scores, true_loss(scores, labels)
            ),
        )

    return put


def findings(target, plan, chunks=None):
    subject = Subject(target.implementation, target.dtype, (target.operation,))
    chosen = range(plan.chunks) if chunks is None else chunks
    return sweep.total(sweep.inspect(subject, plan, chunk)[target] for chunk in chosen)


def test_a_right_kernel_has_no_findings(plant):
    plant(lambda scores, values: values)
    found = findings(SIGMOID, AROUND_ONE)
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
    found = findings(SIGMOID, AROUND_ONE)
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
    found = findings(SIGMOID, whole, [chunk])
    worst = max((found.normal, found.subnormal), key=lambda errors: errors.max_ulp)
    assert worst.max_ulp > 1
    assert float.fromhex(worst.worst) == victim, f"planted at {victim.hex()}"
    plant(lambda scores, values: values)
    right = findings(SIGMOID, whole, [chunk])
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
    found = findings(SIGMOID, TAIL)
    assert found.normal.max_ulp < 0.50001
    assert found.subnormal.max_ulp > 8e6
    assert found.grades[~grade_number(90.0)] == Grade.LOST
    assert found.grades[~grade_number(82.0)] == Grade.ONE


def test_negative_zero(plant):
    plant(lambda scores, values: np.where(values == 0, -values, values))
    top = Exhaustive(float_to_bits(120.0), float_to_bits(121.0))
    found = findings(LOSS, top)
    assert found.sign.count == top.stop - top.first > 0
    assert float.fromhex(found.sign.example) == 120
    assert found.max_ulp == np.inf


def test_infinity_and_nan_where_they_should_not_be(plant):
    plant(lambda scores, values: np.where(scores == 1.25, np.float32(np.nan), values))
    found = findings(SIGMOID, AROUND_ONE)
    assert (found.nonfinite.count, float.fromhex(found.nonfinite.example)) == (1, 1.25)
    assert found.max_ulp == np.inf
    assert found.grades[grade_number(1.25)] == Grade.NAN
    plant(lambda scores, values: np.where(scores == -1.25, np.float32(np.inf), values))
    found = findings(SIGMOID, AROUND_ONE)
    assert found.grades[~grade_number(1.25)] == Grade.INFINITE


@pytest.mark.parametrize("sign", [1, -1])
def test_step_back(plant, sign):
    edge = np.float32(sign * 1.25)
    plant(lambda scores, values: np.where(scores == edge, values - np.float32(2.0**-22), values))
    after = np.nextafter(edge, np.float32(sign * 2))
    # Going away from zero the sigmoid rises, or falls: the step back is to the edge, or from it.
    found = findings(SIGMOID, AROUND_ONE).monotonicity
    assert (found.count, float.fromhex(found.example)) == (1, edge if sign > 0 else after)
    # The loss falls with the margin, so there it is the other one.
    found = findings(LOSS, AROUND_ONE).monotonicity
    assert (found.count, float.fromhex(found.example)) == (1, after if sign > 0 else edge)


@pytest.mark.parametrize("place", [PIECE, CHUNK], ids=["piece", "chunk"])
def test_step_back_across_a_seam_of_the_work(plant, place):
    plan = Exhaustive(float_to_bits(0.5), float_to_bits(0.5) + CHUNK + PIECE)
    (first,) = bits_to_floats(plan.first + place, plan.first + place + 1)
    plant(lambda scores, values: np.where(scores == first, np.float32(0.1), values))
    found = findings(SIGMOID, plan)
    assert (found.monotonicity.count, float.fromhex(found.monotonicity.example)) == (1, first)


def test_asymmetry(plant):
    plant(lambda scores, values: np.where(scores < 0, values * np.float32(1.000001), values))
    assert findings(SIGMOID, AROUND_ONE).symmetry.count > 0
    first = np.float32(1.25)
    plant(lambda scores, values: np.where(scores == first, np.nextafter(values, 0), values))
    assert findings(LOSS, AROUND_ONE).symmetry.count == 0  # wrong, but as wrong on both sides


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
    right = findings(SIGMOID, AROUND_ONE)
    plant(polynomial_sigmoid(ONE_DIGIT_OFF))
    wrong = findings(SIGMOID, AROUND_ONE)
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
    down = findings(SIGMOID, middle)
    plant(lambda scores, values: np.where(scores > 0, np.float32(0.5 + 2.0**-24), values))
    up = findings(SIGMOID, middle)
    assert down.decided == up.decided == 1
    # g(s) = 1/2 + s/4 - s^3/48: below the middle, so that down is right.
    assert down.normal.correctly_rounded == up.normal.correctly_rounded + 1 == 2


@pytest.mark.parametrize("first", ["scores", "probabilities"])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_strata_cover_every_exponent(first, dtype):
    plan = Strata(first, dtype, 10_000)
    pieces = [piece for chunk in range(plan.chunks) for piece in plan.pieces(chunk)]
    inputs = np.concatenate(pieces)
    again = np.concatenate([p for chunk in range(plan.chunks) for p in plan.pieces(chunk)])
    np.testing.assert_array_equal(inputs.view(np.uint8), again.view(np.uint8))
    assert all((np.diff(piece) >= 0).all() for piece in pieces)
    assert inputs.min() >= 0
    info = np.finfo(dtype)
    exponents = set(np.frexp(inputs[inputs >= info.smallest_normal])[1].tolist())
    assert set(range(info.minexp + 1, (info.maxexp if first == "scores" else 0) + 1)) <= exponents
    if first == "probabilities":
        complements = np.frexp(1 - inputs[inputs > 0.5].astype(np.float64))[1]
        assert set(range(1 - info.nmant, 0)) <= set(complements.tolist())


def test_strata_are_even_within_an_octave():
    plan = Strata("scores", "float64", 2047 * 2 * 64)
    octave = next(p for c in range(plan.chunks) for p in plan.pieces(c) if p[0] >= 1)
    counts, _ = np.histogram(octave, bins=16, range=(1, 2))
    assert (counts == 4).all()


def test_seams_reach_both_sides_of_every_seam():
    assert {0.0, 0.5, 0.75, 1.0} <= set(seams("probabilities", "float32").tolist())
    plan = Seams("probabilities", "float32", 2)
    inputs = np.concatenate([p for c in range(plan.chunks) for p in plan.pieces(c)])
    assert np.nextafter(np.float32(0.5), np.float32(1)) in inputs
    assert np.nextafter(np.float32(1), np.float32(0)) in inputs
    assert inputs.max() == 1
    scores = next(Seams("scores", "float64", 2).pieces(0))
    assert scores[0] == 0
    assert not np.signbit(scores).any()


@pytest.mark.parametrize("sign", [1, -1])
def test_climb_finds_a_peak_that_no_sample_hit(plant, sign):
    def fault(scores, values):
        # A bump of 40 ULP: random samples miss its top, its slope leads there.
        with np.errstate(all="ignore"):
            height = 40 * np.exp(-np.abs(sign * scores - 1.2345) * 20)
        return (values + height * 2.0**-24).astype(np.float32)

    plant(fault)
    start = np.linspace(0.5, 2, 8, dtype=np.float32)
    found, end = climb(SIGMOID, sign * start, rounds=30)
    assert found.max_ulp > 39
    assert np.abs(sign * end - 1.2345).min() < 1e-3


def test_percentile_and_merge():
    small, large = Errors(999, 999, 0.26, "0x1p0"), Errors(1, 0, 1e6, "0x1.cp2")
    small.histogram[16] = 999
    large.histogram[256 + 20] = 1
    small.merge(large)
    assert (small.count, small.max_ulp, float.fromhex(small.worst)) == (1000, 1e6, 7.0)
    assert 0.25 <= small.percentile(0.999) <= 0.27
    assert small.percentile(1.0) == 1e6
    small.merge(Errors(5, 5, 2e6, "0x1p3"), shares=False)
    assert (small.count, small.max_ulp, float.fromhex(small.worst)) == (1000, 2e6, 8.0)


class _Now(Executor):
    """Computes in this process, when asked."""

    def submit(self, function, /, *args, **options):
        future = Future()
        future.set_result(function(*args, **options))
        return future


NOW = _Now()


class TestJournal:
    """A sweep that is killed goes on where it was, and counts nothing twice."""

    subject = Subject("numpy_stable", "float32", ("sigmoid", "logistic_loss"))
    plan = Exhaustive(float_to_bits(1.0), float_to_bits(1.0) + 3 * 64)

    @pytest.fixture(autouse=True)
    def small_chunks(self, monkeypatch):
        monkeypatch.setattr(sweep, "CHUNK", 64)
        monkeypatch.setattr(sweep, "PIECE", 16)

    def test_resumes_what_a_kill_left(self, tmp_path):
        journal = tmp_path / "journal.jsonl"
        whole = sweep.sweep(self.subject, self.plan, journal, pool=NOW)
        lines = journal.read_text().splitlines(keepends=True)
        assert sorted(json.loads(line)["chunk"] for line in lines[1:]) == [0, 1, 2]
        # Killed in the middle of a line, and of the one chunk that was written twice.
        journal.write_text("".join(lines[:2]) + lines[1] + lines[2][:20])
        seen = []
        again = sweep.sweep(
            self.subject,
            self.plan,
            journal,
            pool=NOW,
            resume=True,
            report=lambda *done: seen.append(done),
        )
        assert again == whole
        counted = [sweep.total(f[t] for f in whole).normal.count for t in whole[0]]
        assert counted == [2 * 3 * 64] * 3
        assert seen == [(1, 3), (2, 3), (3, 3)]

    @pytest.mark.parametrize(
        ("subject", "made_with"),
        [
            (Subject("numpy_textbook", "float32", subject.operations), None),
            (subject, {"versions": {"numpy": "another"}}),
        ],
        ids=["subject", "version"],
    )
    def test_refuses_the_journal_of_another(self, tmp_path, subject, made_with):
        journal = tmp_path / "journal.jsonl"
        sweep.sweep(self.subject, self.plan, journal, pool=NOW)
        with pytest.raises(ValueError, match="another subject, plan, source code or version"):
            sweep.sweep(subject, self.plan, journal, pool=NOW, made_with=made_with, resume=True)


def test_processes_share_the_work(tmp_path):
    subject = Subject("numpy_stable", "float32", ("logistic_loss",))
    plan = Exhaustive(float_to_bits(1.0), float_to_bits(1.0) + 100)
    with sweep.processes(1) as pool:
        (found,) = sweep.sweep(subject, plan, tmp_path / "journal.jsonl", pool=pool)
    assert [part.normal.count for part in found.values()] == [200, 200]
