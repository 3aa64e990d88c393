"""Intervals over processes: they hold the truth as often as they say."""

from __future__ import annotations

import numpy as np
import pytest

from xent_numba.measurement.statistics import ROUNDS, interval, ratio_interval


def rounds(rng, processes, number=8):
    """A/A ratios by round: a process is up to some per cent off for as long as it lives."""
    off = rng.normal(0, 0.03, processes)
    return {
        block * ROUNDS + i: float(np.exp(off[block] + rng.normal(0, 0.01)))
        for block in range(processes)
        for i in range(number)
    }


@pytest.mark.parametrize("processes", [3, 4, 8])
def test_an_interval_over_processes_holds_the_truth_in_95_of_100_runs(processes):
    rng = np.random.default_rng(7)
    held = sum(interval(rounds(rng, processes)).contains(1.0) for _ in range(1000))
    # Three standard deviations of a count of 1,000.
    assert held == pytest.approx(950, abs=3 * np.sqrt(1000 * 0.95 * 0.05))


def test_one_process_says_nothing_of_others():
    rng = np.random.default_rng(7)
    held = sum(interval(rounds(rng, 1)).contains(1.0) for _ in range(60))
    assert held < 45


def test_a_ratio_is_taken_within_a_process():
    one, other = {0: 1.0, 1: 2.0, ROUNDS: 30.0}, {0: 2.0, 1: 4.0, ROUNDS: 60.0}
    found = ratio_interval(one, other)
    assert found == pytest.approx((0.5, 0.5, 0.5))
    assert ratio_interval({0: 1.0}, {ROUNDS: 1.0, 1: 1.0}) is None
