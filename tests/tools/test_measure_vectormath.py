"""What a result of `vectormath` costs: all ways compute the same, and are timed in turn."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
from asv_runner.benchmarks.mark import SkipNotImplemented

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "tools"))

measure_vectormath = pytest.importorskip("measure_vectormath")

from benchmarks.more import vectormath  # noqa: E402
from xent_numba.results import store  # noqa: E402


@pytest.mark.parametrize("way", vectormath.WAYS)
@pytest.mark.parametrize("function", vectormath.FUNCTIONS)
def test_all_ways_compute_the_same(function, way):
    inputs = vectormath.inputs_of(function, "float64", 1000)
    expected, results = np.empty_like(inputs), np.empty_like(inputs)
    vectormath.WAYS["numpy"](function, inputs, expected)()
    try:
        given = vectormath.WAYS[way](function, inputs, results)()
    except SkipNotImplemented as reason:
        pytest.skip(str(reason))
    got = results if given is None else np.asarray(given)
    np.testing.assert_allclose(got, expected, rtol=1e-9)


def test_the_table_has_a_row_for_each():
    found = measure_vectormath.measure(["exp"], ["vectormath", "numpy"], rounds=3, seconds=0)
    assert [(row.function, row.dtype) for row in found.rows] == [
        ("exp", "float32"),
        ("exp", "float64"),
    ]
    assert all(len(times) == 3 for row in found.rows for times in row.nanoseconds.values())


def test_the_page_is_that_of_the_run():
    report = measure_vectormath.REPORT
    found = store.read(report, measure_vectormath.COSTS)
    assert report.with_suffix(".md").read_text() == measure_vectormath.markdown(found)
