"""Rounds and intervals, on a clock that only the tests turn."""

from __future__ import annotations

import math
import random

import pytest

from xent_numba.measurement import turns
from xent_numba.measurement.statistics import Interval, median_interval, ratio_interval
from xent_numba.measurement.turns import FIRST_CHECK, MIN_ROUNDS, OutOfTimeError, quartets
from xent_numba.measurement.worker import LostError


class Machine:
    """Time that passes only while a fake kernel runs, faster or slower as the machine drifts."""

    def __init__(self, drift=0.0, noise=0.0):
        self.now = 0.0
        self.drift = drift
        self.random = random.Random(5)
        self.noise = noise
        self.order = []

    def clock(self):
        return self.now

    def kernel(self, name, seconds, lost_after=math.inf):
        turns = 0

        def turn():
            nonlocal turns
            turns += 1
            if turns > lost_after:
                raise LostError("its process ended with exit code 3")
            self.order.append(name)
            slowness = 1 + self.drift * math.sin(100 * self.now) + self.noise * self.random.random()
            self.now += seconds * slowness
            return seconds * slowness

        return turn

    def measure(self, players, budget=10.0, references=("base",), **options):
        return turns.rounds(
            players, references=references, budget=budget, seed=1, clock=self.clock, **options
        )


def test_a_median_lies_in_its_interval_and_the_interval_is_reproducible():
    values = [1.0, 1.1, 0.9, 1.05, 5.0, 0.95]
    interval = median_interval(values)
    assert interval.low <= interval.value <= interval.high
    assert interval.value == pytest.approx(1.025)
    assert interval == median_interval(values)
    assert interval.contains(1.0)
    assert not interval.contains(10.0)


def test_relative_width():
    assert Interval(2.0, 1.9, 2.1).relative_width == pytest.approx(0.1)


def test_quotients_are_taken_within_a_round():
    ratio = ratio_interval({0: 2.0, 1: 40.0, 2: 6.0}, {0: 1.0, 1: 20.0, 3: 1.0})
    assert ratio == (2.0, 2.0, 2.0)
    assert ratio_interval({0: 1.0, 1: 1.0}, {0: 1.0, 2: 1.0}) is None


def test_twice_the_time_is_half_the_speed_although_the_machine_drifts():
    machine = Machine(drift=0.5, noise=0.02)
    series = machine.measure(
        {"base": machine.kernel("base", 0.001), "slow": machine.kernel("slow", 0.002)}
    )
    ratio = ratio_interval(series["base"].seconds, series["slow"].seconds)
    assert ratio.contains(0.5) or abs(ratio.value - 0.5) < 0.01
    assert ratio.relative_width < 0.05
    assert median_interval(list(series["slow"].seconds.values())).relative_width > 0.05


def test_it_stops_once_everything_is_known():
    machine = Machine(noise=0.001)
    players = {name: machine.kernel(name, 0.001) for name in ("base", "other")}
    seen = []
    series = machine.measure(players, budget=1000.0, progress=seen.append)
    assert len(series["other"].seconds) == FIRST_CHECK
    assert machine.now < 1.0
    assert seen[-1] == 1.0


def test_it_stops_when_the_budget_is_spent():
    machine = Machine(noise=1.0)
    players = {name: machine.kernel(name, 0.01) for name in ("base", "other")}
    seen = []
    machine.measure(players, budget=1.0, progress=seen.append)
    assert 0.9 < machine.now < 1.3
    assert seen == sorted(seen)
    assert seen[-1] <= 1.0


def test_when_the_time_of_the_run_is_over_no_round_begins():
    machine = Machine(noise=1.0)
    players = {name: machine.kernel(name, 1.0) for name in ("base", "other")}
    series = machine.measure(players, budget=1e9, until=60.0)
    assert 60.0 <= machine.now < 64.0
    assert len(series["other"].seconds) >= MIN_ROUNDS
    with pytest.raises(OutOfTimeError):
        machine.measure(players, budget=1e9, until=machine.now + 3.0)


def test_a_slow_one_gets_its_share_only():
    machine = Machine(noise=1.0)
    players = {"base": machine.kernel("base", 0.001), "other": machine.kernel("other", 0.001)}
    series = machine.measure({**players, "slow": machine.kernel("slow", 1.0)}, budget=9.0)
    assert len(series["slow"].seconds) == MIN_ROUNDS
    assert len(series["other"].seconds) > 100


@pytest.mark.parametrize("budget", [1e-9, 1.0])
def test_everyone_gets_the_fewest_rounds_whatever_the_budget(budget):
    machine = Machine(noise=1.0)
    players = {name: machine.kernel(name, 10.0) for name in ("base", "other")}
    series = machine.measure(players, budget=budget)
    assert {len(one.seconds) for one in series.values()} == {MIN_ROUNDS}


def test_one_that_is_lost_does_not_stop_the_others():
    machine = Machine(noise=1.0)
    players = {"base": machine.kernel("base", 0.01), "other": machine.kernel("other", 0.01)}
    series = machine.measure({**players, "lost": machine.kernel("lost", 0.01, lost_after=3)}, 1.0)
    assert series["lost"].lost == "its process ended with exit code 3"
    assert len(series["lost"].seconds) == 3
    assert len(series["other"].seconds) > 10
    assert not series["other"].lost


def test_a_lost_baseline_does_not_stop_the_others():
    machine = Machine(noise=0.01)
    players = {"base": machine.kernel("base", 0.01, lost_after=0), "a": machine.kernel("a", 0.01)}
    series = machine.measure(players)
    assert series["base"].lost
    assert len(series["a"].seconds) >= MIN_ROUNDS


def test_a_baseline_alone_is_measured():
    machine = Machine(noise=0.001)
    series = machine.measure({"base": machine.kernel("base", 0.01)}, budget=100.0)
    assert len(series["base"].seconds) >= MIN_ROUNDS
    assert machine.now < 10


def test_nobody_to_measure():
    assert Machine().measure({}) == {}


def test_the_order_is_shuffled_and_reproducible():
    orders = []
    for _ in range(2):
        machine = Machine(noise=1.0)
        machine.measure({name: machine.kernel(name, 0.1) for name in ("base", "b", "c")}, 6.0)
        orders.append(machine.order)
    assert orders[0] == orders[1]
    rounds = {tuple(orders[0][i : i + 3]) for i in range(0, 3 * MIN_ROUNDS, 3)}
    assert len(rounds) > 1
    assert {frozenset(one) for one in rounds} == {frozenset(("base", "b", "c"))}


def test_two_take_turns_so_that_a_drift_cancels():
    order = []

    def turn(name):
        order.append(name)
        return [float(len(order))]

    samples = quartets(turn, "a", "b", clock=lambda: 0.0)
    assert "".join(order) == turns.QUARTETS * "abba"
    assert sum(samples["a"]) == sum(samples["b"])


def test_long_turns_are_taken_once():
    now = 0.0

    def turn(name):
        nonlocal now
        now += 1.0
        return [1.0]

    assert quartets(turn, "a", "b", clock=lambda: now) == {"a": [1.0, 1.0], "b": [1.0, 1.0]}
