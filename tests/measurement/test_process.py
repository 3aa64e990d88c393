"""How many calls make a turn, on a clock that only the tests turn."""

from __future__ import annotations

from xent_numba.measurement.process import calibrate

GOAL = 0.005


class Calls:
    """Takes `seconds` for each call, but some take 20 ms, as when threads have to wake."""

    def __init__(self, seconds, disturbed=()):
        self.seconds, self.disturbed, self.made = seconds, disturbed, 0

    def sample(self, number):
        first, self.made = self.made + 1, self.made + number
        late = sum(first <= call <= self.made for call in self.disturbed)
        return number * self.seconds + 0.02 * late


def test_a_disturbed_first_call_does_not_make_the_batch_too_small():
    found = calibrate(Calls(1e-5, (1, 2, 30)).sample, goal=GOAL, tries=5, settle=0.5)
    assert found["batch"] * 1e-5 >= GOAL
    assert found["batch"] * 1e-5 < 2 * GOAL
    assert not found["fresh"]
    assert found["settled"]


def test_long_calls_are_neither_repeated_nor_preceded():
    calls = Calls(0.3)
    found = calibrate(calls.sample, goal=GOAL, tries=5, settle=0.5)
    assert found == {"batch": 1, "settled": True, "fresh": True}
    assert calls.made == 3


def test_a_number_that_is_given_is_taken():
    calls = Calls(1e-5)
    assert calibrate(calls.sample, goal=GOAL, number=7)["batch"] == 7
    assert calls.made == 7


def test_it_does_not_wait_for_what_never_settles():
    seconds = iter([1.0] + [0.1 * 2**i for i in range(1000)])
    found = calibrate(lambda number: next(seconds), goal=GOAL, settle=1e-9)
    assert not found["settled"]
