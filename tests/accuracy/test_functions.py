"""The functions of vectormath held to the truth, and what holds them to it."""

from __future__ import annotations

import numpy as np
import pytest
from in_process import Here

from xent_numba import vectormath
from xent_numba.accuracy import functions
from xent_numba.accuracy.plans import Exhaustive, Seams
from xent_numba.cli import main
from xent_numba.results import store

NAMES = list(functions.FUNCTIONS)
wider = pytest.mark.skipif(
    np.finfo(np.longdouble).nmant < 60, reason="long double is no wider than double here"
)


def test_every_function_has_a_true_value():
    assert {*NAMES, "prefer_full_vectors"} == set(vectormath.__all__)


def float32_samples():
    """Every 8191st bit pattern, of all magnitudes and both signs, infinities and NaNs."""
    return np.arange(0, 1 << 32, 8191, dtype=np.uint32).view(np.float32)


@pytest.mark.parametrize("name", NAMES)
def test_float32_is_within_an_ulp(name):
    found = functions.inspect(name, float32_samples())
    assert found.inputs > 100_000
    assert found.wrong == (0, "")
    assert 0 < found.normal[0] < 1
    assert found.subnormal[0] < 1


@wider
@pytest.mark.parametrize("name", NAMES)
def test_float64_is_within_an_ulp(name):
    plan = Seams("scores", "float64", 3)
    near = np.concatenate([x for chunk in range(plan.chunks) for x in plan.pieces(chunk)])
    drawn = np.random.default_rng(1).normal(0, 1, 100_000) * np.geomspace(1e-9, 700, 100_000)
    found = functions.inspect(name, np.concatenate([near, -near, drawn]))
    assert found.inputs > 50_000
    assert found.wrong == (0, "")
    assert 0 < found.normal[0] < 1
    assert found.subnormal[0] < 1


@wider
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", NAMES)
def test_errors_are_those_that_mpmath_finds(name, dtype):
    inputs = np.random.default_rng(2).uniform(0.1, 8, 300).astype(dtype)
    found = functions.inspect(name, inputs)
    got = np.empty_like(inputs)
    functions.loop(name)(inputs, got)
    exact = [functions.exact_error(name, x, y) for x, y in zip(inputs, got, strict=True)]
    assert found.normal[0] == pytest.approx(max(exact), abs=2.0**-7)
    assert float.fromhex(found.normal[1]) == inputs[np.argmax(exact)]


class Planted:
    """A loop whose results are changed on their way."""

    def __init__(self, name, change):
        self._loop, self._change = functions.loop(name), change

    def __call__(self, inputs, results):
        self._loop(inputs, results)
        self._change(inputs, results)


def nudged(inputs, results):
    results[inputs == 1] = np.nextafter(np.nextafter(results[inputs == 1], 9), 9)


def negative_zero(inputs, results):
    results[results == 0] = -0.0


def not_a_number(inputs, results):
    results[inputs == 1] = np.nan


def finite(inputs, results):
    results[np.isinf(results)] = np.finfo(results.dtype).max


def flushed(inputs, results):
    results[np.abs(results) < np.finfo(results.dtype).smallest_normal] = 0


def wrong_way(inputs, results):
    results[np.isnan(inputs)] = 0


@pytest.mark.parametrize(
    "change",
    [nudged, negative_zero, not_a_number, finite, flushed, wrong_way],
    ids=lambda f: f.__name__,
)
def test_a_wrong_function_is_seen(change, monkeypatch):
    inputs = np.append(float32_samples(), np.array([1, -200, 200, -88, np.nan], np.float32))
    right = functions.inspect("exp", inputs)
    planted = Planted("exp", change)
    monkeypatch.setattr(functions, "loop", lambda name: planted)
    wrong = functions.inspect("exp", inputs)
    assert wrong.wrong[0] or max(wrong.normal[0], wrong.subnormal[0]) > 1, right


def test_work_in_parts_is_the_same_as_work_in_one():
    first = int(np.float32(0.5).view(np.uint32))
    plan = Exhaustive(first, first + (1 << 17))
    ((_, found),) = Here().results(functions.count_chunk, [("expm1", plan, "some", 0)])
    magnitudes = np.arange(first, first + (1 << 17), dtype=np.uint32).view(np.float32)
    whole = functions.inspect("expm1", np.concatenate([magnitudes, -magnitudes]), "some")
    assert (found.inputs, found.correctly_rounded, found.wrong) == (
        whole.inputs,
        whole.correctly_rounded,
        whole.wrong,
    )
    assert found.normal[0] == pytest.approx(whole.normal[0], abs=2.0**-20)
    assert found.normal[1] == whole.normal[1]


def test_the_command_writes_a_table(tmp_path, monkeypatch):
    monkeypatch.setattr(functions, "REACH", 1)
    monkeypatch.setattr(functions, "FUNCTIONS", {"exp": functions.FUNCTIONS["exp"]})

    def rows(dtype):
        """Of the folder, once a dtype was measured."""
        arguments = ["--study", "functions", "--dtype", dtype, "--samples", "1"]
        assert main(["accuracy", *arguments, "--processes", "1", "--output", str(tmp_path)]) == 0
        found = store.read(tmp_path / "functions.json", functions.VECTOR_MATH).content
        return [(row.name, row.dtype, row.wrong, found.runs[row.run].command) for row in found.rows]

    (first,) = rows("float32")
    assert first[:3] == ("exp", "float32", (0, ""))
    assert "| `exp` | float32 | ≥ 0." in (tmp_path / "functions.md").read_text()
    if np.finfo(np.longdouble).nmant >= 60:
        # Another dtype is added, and what is there stays, with the run that it is of.
        kept, other = rows("float64")
        assert kept == first
        assert other[1] == "float64"
        assert "float64" in other[3]
        assert "1. float32 exp: " in (tmp_path / "functions.md").read_text()
