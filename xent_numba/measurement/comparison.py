"""What a comparison found: rows with their statistics, where, when and how."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Self

from xent_numba.measurement.case import Case
from xent_numba.measurement.participant import AGAIN, Preparation
from xent_numba.measurement.statistics import (
    Interval,
    interval,
    median_interval,
    ratio_interval,
)
from xent_numba.measurement.worker import WarmUp
from xent_numba.operations import OPERATIONS
from xent_numba.results.store import Kind


@dataclass(frozen=True, slots=True)
class Row:
    """One implementation on one case.

    Attributes
    ----------
    case : Case
        What it was measured on.
    implementation : str
        Label of the participant: its name, as a rule; one of `LIMITS` for a limit.
    preparation : Preparation
        Whether it agreed, and if not, why not. All that follows is None or empty if it did not.
    seconds : Interval or None
        Median time of a call.
    speedup : Interval or None
        The baseline's time divided by its own, round by round.
    limit_share : Interval or None
        The time of the memory limit of its device divided by its own, round by round.
    ratio : Interval or None
        Its own time divided by the A/A control's, round by round.
    rounds : dict of int to float
        Seconds per call, by round; see `statistics.ROUNDS`.
    warm_up : WarmUp or None
        How a turn was taken.
    disturbed_by : dict of str to int
        The workers that did not come to rest before a turn of this one, and before how many.
    """

    case: Case
    implementation: str
    preparation: Preparation
    seconds: Interval | None = None
    speedup: Interval | None = None
    limit_share: Interval | None = None
    ratio: Interval | None = None
    rounds: dict[int, float] = dataclasses.field(default_factory=dict)
    warm_up: WarmUp | None = None
    disturbed_by: dict[str, int] = dataclasses.field(default_factory=dict)

    def timed(
        self, rounds: Mapping[str, Mapping[int, float]], baseline: str, control: str, limit: str
    ) -> Self:
        """Fill in the statistics.

        Parameters
        ----------
        rounds : mapping of str to mapping of int to float
            By the label of each participant in the case, seconds per call by round.
        baseline, control, limit : str
            Labels of those that it is compared with.
        """
        own = rounds[self.implementation]
        return dataclasses.replace(
            self,
            seconds=interval(own),
            speedup=ratio_interval(rounds.get(baseline, {}), own),
            limit_share=ratio_interval(rounds.get(limit, {}), own),
            ratio=ratio_interval(own, rounds.get(control, {})),
            rounds=dict(own),
        )

    @property
    def ns_per_element(self) -> float | None:
        """Nanoseconds per sample."""
        return None if self.seconds is None else self.seconds.value / self.case.size * 1e9

    @property
    def gigabytes_per_second(self) -> float | None:
        """Bytes that cannot be avoided, per time."""
        return None if self.seconds is None else self.case.bytes_moved / self.seconds.value / 1e9


@dataclass(frozen=True, slots=True)
class Comparison:
    """A run: what was measured, and how.

    Attributes
    ----------
    baseline : str
        The implementation that a speed-up divides by.
    control : str
        The A/A control: entered twice, the second time with `AGAIN` after its label; empty if none.
    settings : dict of str to int or float
        Threads, budget in seconds, seed, processes that each participant was started in, and the
        seconds that all cases would have taken.
    numba : dict
        What Numba compiled for; see `codegen.cpu_target.describe`.
    activity : dict of str to float
        Load before and after, the time the host took for others while it ran, and what other
        processes used of the CPUs while all workers rested, at most.
    calls : dict of str to dict of str to str
        By implementation and operation, what it calls, as its file says: the library and its
        version, the function, and where a fault of it is known.
    rows : list of Row
        In the order of the cases.
    overall : Interval or None
        See `overall_resolution`.
    unreached : list of Case
        Cases that the time of the run was not enough for, or not in all processes.
    """

    baseline: str
    control: str
    settings: dict[str, int | float]
    numba: dict[str, int | str | None]
    activity: dict[str, float]
    calls: dict[str, dict[str, str]]
    rows: list[Row]
    overall: Interval | None
    unreached: list[Case] = dataclasses.field(default_factory=list)

    def __post_init__(self) -> None:
        """Refuse what could not be drawn."""
        for row in self.rows:
            if row.case.operation not in OPERATIONS or row.case.size < 1:
                raise ValueError(f"no case is {row.case}")
        if missing := {"threads", "budget", "seed"} - set(self.settings):
            raise ValueError(f"its settings have no {', '.join(sorted(missing))}")
        if missing := {"load", "load_after", "steal_seconds", "others_percent"} - {*self.activity}:
            raise ValueError(f"its activity has no {', '.join(sorted(missing))}")
        if not self.rows or not {"simd_bits", "threading_layer"} <= set(self.numba):
            raise ValueError("it has no rows, or does not say what Numba compiled for")

    def cases(self) -> Iterator[tuple[Case, list[Row]]]:
        """Yield each case with its rows."""
        for case in dict.fromkeys(row.case for row in self.rows):
            yield case, [row for row in self.rows if row.case == case]

    def ratio(self, case: Case, slower: str, faster: str) -> Interval | None:
        """How many times as long one takes as another, round by round; None if either has no time.

        Parameters
        ----------
        case : Case
            What both were measured on.
        slower, faster : str
            Labels of dividend and divisor, one of them the A/A control; the quotient may well be
            below 1.
        """
        other = faster if slower == self.control else slower
        found = [r.ratio for r in self.rows if (r.case, r.implementation) == (case, other)]
        if not found or found[0] is None or faster == self.control:
            return found[0] if found else None
        ratio = found[0]
        return Interval(1 / ratio.value, 1 / ratio.high, 1 / ratio.low)

    def resolution(self, case: Case) -> Interval | None:
        """The A/A ratio: what comes out where nothing differs, and so what a ratio cannot tell."""
        return self.ratio(case, self.control + AGAIN, self.control) if self.control else None


COMPARISON = Kind("comparison", 3, Comparison)


def overall_resolution(rows: Iterable[Row], control: str) -> Interval | None:
    """The A/A ratio of a whole run: of one case, or the median of those of several.

    Which of the two processes has which name is dealt anew for each case, so that the cases are
    independent of one another, as the rounds of one are not.
    """
    again = [row.ratio for row in rows if row.implementation == control + AGAIN and row.ratio]
    if len(again) < 2:
        return again[0] if again else None
    return median_interval([interval.value for interval in again])
