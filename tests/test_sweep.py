"""The sweep finds what is planted: one fault each, and it is found by name."""

from __future__ import annotations

import json
from concurrent.futures import Executor, Future

import numpy as np
import pytest

import xent_numba
from xent_numba.accuracy import sweep
from xent_numba.accuracy.findings import Errors, Findings
from xent_numba.accuracy.search import Seams, climb, seams
from xent_numba.accuracy.sweep import Exhaustive, Strata, Target, float_to_ordinal
from xent_numba.operations import OPERATIONS

SIGMOID = Target("planted", "sigmoid", "float32")
LOSS = Target("planted", "logistic_loss", "float32", 1.0)
AROUND_ONE = Exhaustive(float_to_ordinal(0.97), float_to_ordinal(1.3))
TAIL = Exhaustive(float_to_ordinal(-100.0), float_to_ordinal(-80.0))


def true_sigmoid(scores):
    wide = scores.astype(np.float64)
    return (1 / (1 + np.exp(-wide))).astype(scores.dtype)


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


def findings(target, plan):
    total = Findings()
    for chunk in range(plan.chunks):
        for inputs, before in plan.pieces(chunk):
            total.merge(sweep.inspect(target, inputs, before))
    return total


def test_a_right_kernel_has_no_findings(plant):
    plant(lambda scores, values: values)
    found = findings(SIGMOID, AROUND_ONE)
    assert found.normal.count == float_to_ordinal(1.3) - float_to_ordinal(0.97)
    assert found.normal.correctly_rounded == found.normal.count
    assert found.max_ulp == found.normal.max_ulp < 0.50001
    assert not any(
        v.count for v in (found.nonfinite, found.sign, found.monotonicity, found.symmetry)
    )


def test_error_at_one_exponent(plant):
    def fault(scores, values):
        off = (scores >= 1) & np.isfinite(values)
        return np.where(off, values + np.float32(1.6 * 2**-24), values)

    plant(fault)
    found = findings(SIGMOID, AROUND_ONE)
    assert 1 < found.max_ulp < 2.6
    assert float.fromhex(found.normal.worst) >= 1


def test_one_wrong_input_among_all(plant):
    victim = np.float32(np.random.default_rng().uniform(0.97, 1.3))

    def fault(scores, values):
        return np.where(scores == victim, np.float32(0.25), values)

    plant(fault)
    found = findings(SIGMOID, AROUND_ONE)
    assert float.fromhex(found.normal.worst) == victim
    assert found.normal.correctly_rounded == found.normal.count - 1
    assert found.monotonicity.count == 1


def test_flush_of_subnormals(plant):
    plant(lambda scores, values: np.where(values < 2.0**-126, np.float32(0), values))
    found = findings(SIGMOID, TAIL)
    assert found.normal.max_ulp < 0.50001
    assert found.subnormal.max_ulp > 8e6
    assert found.subnormal.count > 0


def test_negative_zero(plant):
    plant(lambda scores, values: np.where(values == 0, -values, values))
    top = Exhaustive(float_to_ordinal(120.0), float_to_ordinal(121.0))
    found = findings(LOSS, top)
    assert found.sign.count == found.normal.count + found.subnormal.count > 0
    assert found.max_ulp == np.inf


def test_infinity_and_nan_where_they_should_not_be(plant):
    plant(lambda scores, values: np.where(scores == 1.25, np.float32(np.nan), values))
    found = findings(SIGMOID, AROUND_ONE)
    assert (found.nonfinite.count, float.fromhex(found.nonfinite.example)) == (1, 1.25)
    assert found.max_ulp == np.inf


def test_step_back(plant):
    edge = np.float32(1.25)
    plant(lambda scores, values: np.where(scores == edge, values - np.float32(2.0**-22), values))
    found = findings(SIGMOID, AROUND_ONE).monotonicity
    assert (found.count, float.fromhex(found.example)) == (1, edge)
    # The loss falls, so there it is the step back up that is wrong.
    found = findings(LOSS, AROUND_ONE).monotonicity
    assert (found.count, float.fromhex(found.example)) == (1, np.nextafter(edge, np.float32(2)))


def test_step_back_across_a_piece(plant):
    first = sweep.ordinals_to_floats(
        AROUND_ONE.first + sweep.PIECE, AROUND_ONE.first + sweep.PIECE + 1
    )
    plant(lambda scores, values: np.where(scores == first, np.float32(0.1), values))
    found = findings(SIGMOID, AROUND_ONE)
    assert (found.monotonicity.count, float.fromhex(found.monotonicity.example)) == (1, first)


def test_asymmetry(plant):
    plant(lambda scores, values: np.where(scores < 0, values * np.float32(1.000001), values))
    assert findings(SIGMOID, AROUND_ONE).symmetry.count > 0


def test_last_digit_of_a_coefficient(plant):
    def fault(scores, values):
        e = np.exp(-np.abs(scores.astype(np.float64)))
        tilted = e * (1 + 2.0**-22 * (np.abs(scores) > 0.6))
        return (np.where(scores >= 0, 1, tilted) / (1 + tilted)).astype(np.float32)

    plant(fault)
    assert findings(SIGMOID, AROUND_ONE).max_ulp > 1


def test_ordinals_are_in_order_and_complete():
    whole = Exhaustive.over(OPERATIONS["sigmoid"])
    assert (whole.first, whole.stop, whole.chunks) == (0, 1 << 32, 1024)
    for start in (0, (1 << 31) - 4, (1 << 31), (1 << 32) - 8):
        values = sweep.ordinals_to_floats(start, start + 8)
        assert len(np.unique(values.view(np.uint32))) == 8
        steps = np.diff(values)
        assert np.all((steps >= 0) | np.isnan(steps))
    probabilities = Exhaustive.over(OPERATIONS["binary_cross_entropy"])
    (first, *_), (*_, last) = (
        next(iter(probabilities.pieces(0)))[0],
        list(probabilities.pieces(probabilities.chunks - 1))[-1][0],
    )
    assert (first, last) == (0.0, 1.0)


@pytest.mark.parametrize("operation", ["sigmoid", "binary_cross_entropy"])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_strata_cover_every_exponent(operation, dtype):
    plan = Strata(operation, dtype, 1)
    inputs = np.concatenate([piece for piece, _ in plan.pieces(0)])
    again = np.concatenate([piece for piece, _ in plan.pieces(0)])
    np.testing.assert_array_equal(inputs.view(np.uint8), again.view(np.uint8))
    low, high = OPERATIONS[operation].domain
    assert np.all((inputs >= low) & (inputs <= high))
    exponents = np.unique(np.frexp(inputs[np.isfinite(inputs) & (inputs != 0)])[1])
    span = np.finfo(dtype).maxexp if operation == "sigmoid" else 0
    assert set(range(np.finfo(dtype).minexp + 1, span + 1)) <= set(exponents.tolist())


def test_seams_reach_both_sides_of_every_seam():
    operation = OPERATIONS["binary_cross_entropy"]
    at = seams(operation, "float32")
    assert {0.0, 0.5, 0.75, 1.0} <= set(at.tolist())
    plan = Seams("binary_cross_entropy", "float32", 2)
    inputs = np.concatenate([p for c in range(plan.chunks) for p, _ in plan.pieces(c)])
    assert np.nextafter(np.float32(0.5), np.float32(1)) in inputs
    assert np.nextafter(np.float32(1), np.float32(0)) in inputs
    assert inputs.max() == 1


def test_climb_finds_a_peak_that_no_sample_hit(plant):
    def fault(scores, values):
        # A bump of 40 ULP, a millionth wide: random samples miss it, its slope leads there.
        with np.errstate(all="ignore"):
            height = 40 * np.exp(-np.abs(scores - 1.2345) * 20)
        return (values + height * 2.0**-24).astype(np.float32)

    plant(fault)
    start = np.linspace(0.5, 2, 8, dtype=np.float32)
    found, end = climb(SIGMOID, start, rounds=30)
    assert found.max_ulp > 39
    assert np.abs(end - 1.2345).min() < 1e-3


def test_percentile_and_merge():
    small, large = Errors(), Errors()
    small.add(np.arange(999.0), np.full(999, 0.25), np.zeros(999, bool))
    large.add(np.array([7.0]), np.array([1e6]), np.zeros(1, bool))
    small.merge(large)
    assert (small.count, small.max_ulp, float.fromhex(small.worst)) == (1000, 1e6, 7.0)
    assert 0.25 <= small.percentile(0.999) <= 0.27
    assert small.percentile(1.0) == 1e6


class _Now(Executor):
    """Computes in this process, when asked."""

    def submit(self, function, /, *args, **options):
        future = Future()
        future.set_result(function(*args, **options))
        return future


NOW = _Now()


class TestJournal:
    """A sweep that is killed goes on where it was, and counts nothing twice."""

    target = Target("numpy_stable", "sigmoid", "float32")
    plan = Exhaustive(float_to_ordinal(1.0), float_to_ordinal(1.0) + 3 * 64)

    @pytest.fixture(autouse=True)
    def small_chunks(self, monkeypatch):
        monkeypatch.setattr(sweep, "CHUNK", 64)

    def test_resumes_what_a_kill_left(self, tmp_path):
        journal = tmp_path / "journal.jsonl"
        whole = sweep.sweep(self.target, self.plan, journal, pool=NOW)
        lines = journal.read_text().splitlines(keepends=True)
        assert sorted(json.loads(line)["chunk"] for line in lines[1:]) == [0, 1, 2]
        # Killed in the middle of a line, and of the one chunk that was written twice.
        journal.write_text("".join(lines[:2]) + lines[1] + lines[2][:20])
        seen = []
        again = sweep.sweep(
            self.target,
            self.plan,
            journal,
            pool=NOW,
            resume=True,
            report=lambda *done: seen.append(done),
        )
        assert again == whole
        assert whole.normal.count == 3 * 64
        assert seen == [(1, 3), (2, 3), (3, 3)]

    def test_refuses_the_journal_of_another_target(self, tmp_path):
        journal = tmp_path / "journal.jsonl"
        sweep.sweep(self.target, self.plan, journal, pool=NOW)
        other = Target("numpy_textbook", "sigmoid", "float32")
        with pytest.raises(ValueError, match="another target, plan or source code"):
            sweep.sweep(other, self.plan, journal, pool=NOW, resume=True)


def test_processes_share_the_work(tmp_path):
    target = Target("numpy_stable", "logistic_loss", "float32", -1.0)
    plan = Exhaustive(float_to_ordinal(1.0), float_to_ordinal(1.0) + 100)
    with sweep.processes(1) as pool:
        found = sweep.sweep(target, plan, tmp_path / "journal.jsonl", pool=pool)
    assert found.normal.count == 100
