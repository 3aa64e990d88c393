"""Rounds: in each, every contestant takes a turn, in an order shuffled anew.

What slows the machine for a while slows all of them, so quotients taken round by round are
steadier than the times are. A contestant stops when its median is known well enough, or when it
has had its share of the budget; the references that quotients are taken of play to the end.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field

from xent_numba.measurement.statistics import median_interval, ratio_interval

MIN_ROUNDS = 6
FIRST_CHECK = 8
CHECK_GROWTH = 1.25
RELATIVE_WIDTH = 0.02

Turn = Callable[[], float]


class LostError(Exception):
    """A contestant cannot go on; the message says why."""


@dataclass(slots=True)
class Series:
    """What one contestant did.

    Attributes
    ----------
    seconds : dict of int to float
        Seconds per call, by round.
    lost : str
        Why it could not go on; empty if it could.
    """

    seconds: dict[int, float] = field(default_factory=dict)
    lost: str = ""


def measure(
    turns: Mapping[str, Turn],
    *,
    references: Collection[str] = (),
    budget: float,
    seed: int,
    clock: Callable[[], float] = time.monotonic,
    report: Callable[[float], None] = lambda fraction: None,
) -> dict[str, Series]:
    """Let the contestants take turns until all are measured well enough or the budget is spent.

    Parameters
    ----------
    turns : mapping of str to callable
        By the contestant's name, what makes a batch of calls and returns the seconds per call. It
        raises `LostError` when the contestant cannot go on.
    references : collection of str
        Contestants that others are compared with; the first decides when a quotient is known well
        enough.
    budget : float
        Seconds. Every contestant gets at least `MIN_ROUNDS` turns whatever the budget, and what
        that takes beyond its share comes on top.
    seed : int
        Seed of the order of turns.
    clock : callable
        Returns seconds.
    report : callable
        Called with the fraction of the budget that is spent.

    Returns
    -------
    dict of str to Series
        By the contestant's name.
    """
    shuffled = random.Random(seed)  # noqa: S311 - an order, not a secret
    series = {name: Series() for name in turns}
    spent = dict.fromkeys(turns, 0.0)
    share = budget / max(1, len(turns))
    overdrawn = 0.0
    next_check: float = FIRST_CHECK
    playing = set(turns)
    started = clock()
    number = 0
    while playing:
        order = sorted(playing)
        shuffled.shuffle(order)
        for name in order:
            before = clock()
            try:
                series[name].seconds[number] = turns[name]()
            except LostError as reason:
                series[name].lost = str(reason)
                playing.discard(name)
            spent[name] += clock() - before
        number += 1
        if number <= MIN_ROUNDS:
            # The fewest rounds of a slow contestant must not cost the others theirs.
            overdrawn = sum(max(0.0, taken - share) for taken in spent.values())
        elapsed = clock() - started - overdrawn
        report(min(max(elapsed / budget, 0.0), 1.0))
        if number < MIN_ROUNDS:
            continue
        rivals = playing.difference(references)
        rivals -= {name for name in rivals if spent[name] >= share}
        if number >= next_check:
            # Ever more seldom, since an interval costs as much as it has samples.
            next_check = number * CHECK_GROWTH
            rivals -= {name for name in rivals if _is_known(series, name, references)}
        alone = playing.issubset(references)
        playing &= rivals | set(references)
        if elapsed >= budget or not (rivals or alone):
            break
        if alone and all(_is_known(series, name, ()) for name in playing):
            break
    report(1.0)
    return series


def _is_known(series: Mapping[str, Series], name: str, references: Collection[str]) -> bool:
    """Whether the intervals of the time and of the quotients are narrow enough."""
    seconds = series[name].seconds
    intervals = [median_interval(list(seconds.values()))]
    for reference in references:
        ratio = ratio_interval(series[reference].seconds, seconds)
        if ratio is not None:
            intervals.append(ratio)
    return all(interval.relative_width < RELATIVE_WIDTH for interval in intervals)
