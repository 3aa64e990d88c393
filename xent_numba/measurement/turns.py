"""Who computes when: only one at a time, and in turns, so that quotients are taken of like times.

In a *round* every participant takes a turn, in an order shuffled anew. What slows the machine for
a while slows all of them, so quotients taken round by round are steadier than the times are. A
participant stops when its median is known well enough, or when it has had its share of the
budget; the references that quotients are taken of play to the end.

In a *quartet* two take turns in the order ABBA, so that a drift of the machine's speed cancels.
"""

from __future__ import annotations

import math
import random
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field

from xent_numba.measurement.statistics import median_interval, ratio_interval
from xent_numba.measurement.worker import WorkerError

MIN_ROUNDS = 6
FIRST_CHECK = 8
CHECK_GROWTH = 1.25
RELATIVE_WIDTH = 0.02

QUARTETS = 4
LONG_TURN_SECONDS = 0.1
"""Where a turn takes longer there is one quartet."""

Clock = Callable[[], float]
Turn = Callable[[], float]


class OutOfTimeError(Exception):
    """The time of a run is spent before the fewest turns are taken."""


@dataclass(slots=True)
class Series:
    """What one participant did.

    Attributes
    ----------
    seconds : dict of int to float
        Seconds per call, by round.
    lost : str
        Why it could not go on; empty if it could.
    spent : float
        Seconds that its turns took.
    """

    seconds: dict[int, float] = field(default_factory=dict)
    lost: str = ""
    spent: float = 0.0


def rounds(
    turns: Mapping[str, Turn],
    *,
    references: Collection[str] = (),
    budget: float,
    until: float = math.inf,
    seed: int | str,
    clock: Clock = time.monotonic,
    progress: Callable[[float], None] = lambda fraction: None,
) -> dict[str, Series]:
    """Let the participants take turns until all are measured well enough or the budget is spent.

    Parameters
    ----------
    turns : mapping of str to callable
        By the participant's name, what makes a batch of calls and returns the seconds per call. It
        raises `WorkerError` when the participant cannot go on.
    references : collection of str
        Participants that others are compared with; the first decides when a quotient is known well
        enough.
    budget : float
        Seconds. Every participant gets at least `MIN_ROUNDS` turns whatever the budget, and what
        that takes beyond its share comes on top.
    until : float
        What the clock says when the time of the whole run is spent.
    seed : int or str
        Seed of the order of turns.
    clock : callable
        Returns seconds.
    progress : callable
        Called with the fraction of the budget that is spent.

    Returns
    -------
    dict of str to Series
        By the participant's name.

    Raises
    ------
    OutOfTimeError
        If the time of the run is spent before the fewest rounds.
    """
    shuffled = random.Random(seed)  # noqa: S311 - an order, not a secret
    series = {name: Series() for name in turns}
    share = budget / max(1, len(turns))
    overdrawn = 0.0
    next_check: float = FIRST_CHECK
    playing = set(turns)
    started = clock()
    number = 0
    while playing:
        order = sorted(playing)
        shuffled.shuffle(order)
        _play(order, turns, series, number, clock)
        playing -= {name for name in playing if series[name].lost}
        number += 1
        if number <= MIN_ROUNDS:
            # The fewest rounds of a slow participant must not cost the others theirs.
            overdrawn = sum(max(0.0, one.spent - share) for one in series.values())
        elapsed = clock() - started - overdrawn
        progress(min(max(elapsed / budget, 0.0), 1.0))
        late = clock() >= until
        if number < MIN_ROUNDS:
            if late:
                raise OutOfTimeError
            continue
        check = number >= next_check
        if check:
            # Ever more seldom, since an interval costs as much as it has samples.
            next_check = number * CHECK_GROWTH
        playing = _still_playing(playing, series, references, share, check)
        if late or elapsed >= budget:
            break
    progress(1.0)
    return series


def quartets(
    turn: Callable[[str], list[float]], first: str, second: str, clock: Clock = time.monotonic
) -> dict[str, list[float]]:
    """Let two take turns, ABBA.

    Parameters
    ----------
    turn : callable
        Takes the turn of the one it is given, and returns the seconds per call of each sample.
    first, second : str
        The two.
    clock : callable
        Returns seconds.

    Returns
    -------
    dict of str to list of float
        All samples of each.
    """
    samples: dict[str, list[float]] = {first: [], second: []}
    for _ in range(QUARTETS):
        started = clock()
        for name in (first, second, second, first):
            samples[name] += turn(name)
        if clock() - started > 4 * LONG_TURN_SECONDS:
            break
    return samples


def _play(
    order: Sequence[str],
    turns: Mapping[str, Turn],
    series: Mapping[str, Series],
    number: int,
    clock: Clock,
) -> None:
    for name in order:
        before = clock()
        try:
            series[name].seconds[number] = turns[name]()
        except WorkerError as reason:
            series[name].lost = str(reason)
        series[name].spent += clock() - before


def _still_playing(
    playing: set[str],
    series: Mapping[str, Series],
    references: Collection[str],
    share: float,
    check: bool,
) -> set[str]:
    """Who plays on: those not known yet, and the references with them, or for themselves alone."""
    rivals = playing.difference(references)
    rivals -= {name for name in rivals if series[name].spent >= share}
    if check:
        rivals -= {name for name in rivals if _is_known(series, name, references)}
    if rivals:
        return rivals | playing.intersection(references)
    known = check and all(_is_known(series, name, ()) for name in playing)
    return playing if playing.issubset(references) and not known else set()


def _is_known(series: Mapping[str, Series], name: str, references: Collection[str]) -> bool:
    """Whether the intervals of the time and of the quotients are narrow enough."""
    seconds = series[name].seconds
    intervals = [median_interval(list(seconds.values()))]
    for reference in references:
        ratio = ratio_interval(series[reference].seconds, seconds)
        if ratio is not None:
            intervals.append(ratio)
    return all(interval.relative_width < RELATIVE_WIDTH for interval in intervals)
