"""Changes of a series: found where they are, with the interval promised, and not where none is."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import energy_distance

from xent_numba.gate import changes as room
from xent_numba.gate.changes import SHORTEST, changes


def series(rng, *parts, noise=0.02):
    return np.concatenate([level * np.exp(rng.normal(0, noise, count)) for level, count in parts])


def test_the_statistic_is_the_energy_distance():
    values = np.random.default_rng(3).normal(size=30)
    cut, largest = room.largest_statistic(np.abs(values[:, None] - values))
    by_scipy = {
        m: m * (30 - m) / 30 * energy_distance(values[:m], values[m:]) ** 2
        for m in range(SHORTEST, 30 - SHORTEST + 1)
    }
    # SciPy's is the square root of half of it, in one dimension times two.
    assert max(by_scipy, key=by_scipy.__getitem__) == cut
    assert largest == pytest.approx(by_scipy[cut])


def test_steps_are_found_where_they_are():
    found = changes(series(np.random.default_rng(4), (1.0, 30), (1.2, 20), (0.9, 25)))
    assert [change.at for change in found] == [30, 50]
    for change, ratio in zip(found, (1.2, 0.75), strict=True):
        assert change.ratio.low < ratio < change.ratio.high
        assert change.first <= change.at <= change.last


def test_the_place_is_in_its_interval_as_often_as_is_said():
    rng = np.random.default_rng(5)
    runs = [changes(series(rng, (1.0, 20), (1.05, 20), noise=0.03)) for _ in range(40)]
    found = [run[0] for run in runs if run]
    assert len(found) > 30
    inside = sum(change.first <= 20 <= change.last for change in found)
    assert inside / len(found) > 0.85


def test_an_outlier_is_no_change_and_neither_is_noise():
    rng = np.random.default_rng(6)
    wrong = 0
    for _ in range(150):
        values = series(rng, (1.0, 24), noise=0.05)
        values[rng.integers(24)] *= 3
        wrong += bool(changes(values, permutations=99))
    # One in a hundred.
    assert wrong <= 6


@pytest.mark.parametrize("values", [[], [1.0], [1.0, 2.0] * 3, [1.0] * 40])
def test_too_few_values_or_all_the_same_are_no_change(values):
    assert changes(np.array(values)) == []
