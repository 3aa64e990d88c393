"""The comparison: all implementations on all cases, judged first and then timed in rounds."""

from __future__ import annotations

import dataclasses
import datetime
import functools
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from xent_numba.measurement import machine, paired
from xent_numba.measurement.case import Case
from xent_numba.measurement.crew import Crew
from xent_numba.measurement.paired import LostError, Series
from xent_numba.measurement.statistics import Interval, median_interval, ratio_interval
from xent_numba.measurement.worker import MEMORY_LIMIT, Preparation, WarmUp

Report = Callable[[str, float], None]

FORMAT = 1
SEED = 1
_MEMORY_SHARE = 0.25
"""Of the memory that is free, what the prepared inputs and outputs of all workers may take."""


@dataclass(frozen=True, slots=True)
class Row:
    """One implementation on one case.

    Attributes
    ----------
    case : Case
        What it was measured on.
    implementation : str
        Its name; `MEMORY_LIMIT` for the limit.
    preparation : Preparation
        Whether it agreed, and if not, why not. All that follows is None or empty if it did not.
    seconds : Interval or None
        Median time of a call.
    speedup : Interval or None
        The baseline's time divided by its own, round by round.
    limit_share : Interval or None
        The memory limit's time divided by its own, round by round.
    rounds : dict of int to float
        Seconds per call, by round.
    warm_up : WarmUp or None
        How a turn was taken.
    restless_turns : int
        Turns after which its threads stayed busy: the next turn may have been disturbed.
    """

    case: Case
    implementation: str
    preparation: Preparation
    seconds: Interval | None = None
    speedup: Interval | None = None
    limit_share: Interval | None = None
    rounds: dict[int, float] = dataclasses.field(default_factory=dict)
    warm_up: WarmUp | None = None
    restless_turns: int = 0

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
    """A run: what was measured, where, when and how.

    Attributes
    ----------
    command : str
        What was typed.
    started : str
        When, in UTC.
    baseline : str
        The implementation that a speed-up divides by.
    settings : dict
        Threads, budget and seed.
    machine : dict
        See `machine.fingerprint`; and what Numba compiled for.
    activity : dict
        Load before, the time the host took for others while it ran, and what other processes used
        of the CPUs while all workers rested, at most.
    commit : dict
        See `machine.commit`.
    rows : tuple of Row
        In the order of the cases.
    """

    command: str
    started: str
    baseline: str
    settings: dict[str, Any]
    machine: dict[str, Any]
    activity: dict[str, float]
    commit: dict[str, Any]
    rows: tuple[Row, ...]

    def cases(self) -> Iterator[tuple[Case, list[Row]]]:
        """Yield each case with its rows."""
        for case in dict.fromkeys(row.case for row in self.rows):
            yield case, [row for row in self.rows if row.case == case]

    def to_json(self) -> str:
        """Everything that was measured, as strict JSON."""
        content = {"format": FORMAT, **dataclasses.asdict(self)}
        return json.dumps(content, indent=1, allow_nan=False) + "\n"

    @classmethod
    def from_json(cls, text: str) -> Comparison:
        """Read what `to_json` wrote.

        Raises
        ------
        ValueError
            If the text is something else.
        """
        try:
            content = json.loads(text)
            if content.pop("format") != FORMAT:
                raise ValueError("written by another version")
            rows = tuple(_read_row(**row) for row in content.pop("rows"))
            return cls(**content, rows=rows)
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise ValueError(f"not what a comparison of this version wrote ({error})") from None


def _read_row(
    *,
    case: dict[str, Any],
    preparation: dict[str, Any],
    seconds: list[float] | None,
    speedup: list[float] | None,
    limit_share: list[float] | None,
    rounds: dict[str, float],
    warm_up: list[Any] | None,
    **rest: Any,
) -> Row:
    return Row(
        case=Case(**case),
        preparation=Preparation(**preparation),
        seconds=Interval(*seconds) if seconds else None,
        speedup=Interval(*speedup) if speedup else None,
        limit_share=Interval(*limit_share) if limit_share else None,
        rounds={int(number): value for number, value in rounds.items()},
        warm_up=WarmUp(*warm_up) if warm_up else None,
        **rest,
    )


def compare(
    cases: Sequence[Case],
    implementations: Sequence[str],
    *,
    baseline: str,
    threads: int,
    budget: float,
    command: str,
    report: Report = lambda what, fraction: None,
) -> Comparison:
    """Judge and time implementations on cases.

    Parameters
    ----------
    cases : sequence of Case
        What to measure on.
    implementations : sequence of str
        Names, or paths of files that are implementations.
    baseline : str
        The one of them that a speed-up divides by.
    threads : int
        Number of threads each library is told to take.
    budget : float
        Seconds for the rounds of all cases together.
    command : str
        What was typed, for the record.
    report : callable
        Called with what is being done, and the fraction of it that is done.

    Returns
    -------
    Comparison
        A row for each case and implementation, and one for the memory limit of each case.
    """
    started = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
    before = machine.activity()
    members = {label_of(name): name for name in (MEMORY_LIMIT, *implementations)}
    rows: list[Row] = []
    others: list[float] = []
    with (
        ThreadPoolExecutor(1) as aside,
        Crew(members, threads, abreast=machine.usable_cpus()) as crew,
    ):
        fingerprint = aside.submit(machine.fingerprint)
        for group in _groups(cases, len(members)):
            share = len(group) / len(cases)
            base = len({row.case for row in rows}) / len(cases)
            prepared = crew.prepare(group, _part(report, "judging", base, share / 2))
            numba = crew.describe_numba()
            for index, case in enumerate(group):
                others.append(machine.others_percent())
                start = base + (share + index / len(cases)) / 2
                rows += _time(
                    crew,
                    case,
                    prepared[case],
                    baseline=label_of(baseline),
                    budget=budget / len(cases),
                    report=_part(report, "timing", start, 0.5 / len(cases)),
                )
            crew.forget()
        described = fingerprint.result() | {"numba": numba}
    after = machine.activity()
    return Comparison(
        command,
        started,
        label_of(baseline),
        {"threads": threads, "budget": budget, "seed": SEED},
        described,
        {
            "load": before["load"],
            "steal_seconds": after["steal_seconds"] - before["steal_seconds"],
            "others_percent": max(others),
        },
        machine.commit(),
        tuple(rows),
    )


def _part(report: Report, what: str, start: float, extent: float) -> Callable[[float], None]:
    return lambda done: report(what, start + extent * done)


def label_of(implementation: str) -> str:
    """What a row calls an implementation: its name, also where it is given by its file."""
    return Path(implementation).stem if implementation.endswith(".py") else implementation


def _groups(cases: Sequence[Case], workers: int) -> Iterator[list[Case]]:
    """Yield cases that fit into memory together, in the order given; at least one at a time."""
    import psutil

    # Inputs and outputs, and about as much again for the temporaries of the one that computes.
    room = psutil.virtual_memory().available * _MEMORY_SHARE / workers
    group: list[Case] = []
    taken = 0.0
    for case in cases:
        if group and taken + case.bytes_moved > room:
            yield group
            group, taken = [], 0.0
        group.append(case)
        taken += case.bytes_moved
    if group:
        yield group


def _time(
    crew: Crew,
    case: Case,
    prepared: Mapping[str, Preparation],
    *,
    baseline: str,
    budget: float,
    report: Callable[[float], None],
) -> list[Row]:
    """Time those that agreed, and make the rows of a case."""
    warm_ups: dict[str, WarmUp] = {}
    restless = dict.fromkeys(prepared, 0)
    lost: dict[str, str] = {}
    for label, preparation in prepared.items():
        if preparation.timed:
            try:
                warm_ups[label] = crew[label].warm_up(case)
            except LostError as reason:
                lost[label] = str(reason)

    def turn(label: str) -> float:
        result = crew[label].turn(case)
        restless[label] += not result.quiet
        return result.seconds

    series = paired.measure(
        {label: functools.partial(turn, label) for label in warm_ups},
        references=[label for label in (MEMORY_LIMIT, baseline) if label in warm_ups],
        budget=budget,
        seed=SEED,
        report=report,
    )
    lost |= {label: one.lost for label, one in series.items() if one.lost}
    rows = []
    for label, preparation in prepared.items():
        if label in lost:
            preparation = dataclasses.replace(preparation, status="crashed", reason=lost[label])
        row = Row(case, label, preparation)
        if preparation.timed:
            rounds = series[label].seconds
            row = dataclasses.replace(
                row,
                seconds=median_interval(list(rounds.values())),
                speedup=_quotient(series, baseline, label, lost),
                limit_share=_quotient(series, MEMORY_LIMIT, label, lost),
                rounds=rounds,
                warm_up=warm_ups[label],
                restless_turns=restless[label],
            )
        rows.append(row)
    return rows


def _quotient(
    series: Mapping[str, Series], reference: str, label: str, lost: Mapping[str, str]
) -> Interval | None:
    if reference not in series or reference in lost:
        return None
    return ratio_interval(series[reference].seconds, series[label].seconds)
