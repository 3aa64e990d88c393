"""The comparison: all implementations on all cases, judged first and then timed in rounds."""

from __future__ import annotations

import collections
import dataclasses
import datetime
import functools
import json
import random
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from xent_numba.measurement import turns
from xent_numba.measurement.case import Case
from xent_numba.measurement.participant import AGAIN, MEMORY_LIMIT, Contestant
from xent_numba.measurement.pool import Crew
from xent_numba.measurement.statistics import Interval, median_interval, ratio_interval
from xent_numba.measurement.turns import LostError, Series
from xent_numba.measurement.worker import Preparation, WarmUp
from xent_numba.results import machine

Report = Callable[[str, float], None]

FORMAT = 2
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
        Label of the contestant: its name, as a rule; `MEMORY_LIMIT` for the limit.
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
    disturbed_by : dict of str to int
        The workers that did not come to rest before a turn of this one, and before how many.
    """

    case: Case
    implementation: str
    preparation: Preparation
    seconds: Interval | None = None
    speedup: Interval | None = None
    limit_share: Interval | None = None
    rounds: dict[int, float] = dataclasses.field(default_factory=dict)
    warm_up: WarmUp | None = None
    disturbed_by: dict[str, int] = dataclasses.field(default_factory=dict)

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
    twin : str
        The one that was entered twice, the second time with `AGAIN` after its label; empty if none.
    settings : dict
        Threads, budget and seed.
    machine : dict
        See `machine.fingerprint`; and what Numba compiled for.
    activity : dict
        Load before and after, the time the host took for others while it ran, and what other
        processes used of the CPUs while all workers rested, at most.
    commit : dict
        See `machine.commit`.
    rows : tuple of Row
        In the order of the cases.
    """

    command: str
    started: str
    baseline: str
    twin: str
    settings: dict[str, Any]
    machine: dict[str, Any]
    activity: dict[str, float]
    commit: dict[str, Any]
    rows: tuple[Row, ...]

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
            Labels of dividend and divisor; the quotient may well be below 1.
        """
        rounds = {row.implementation: row.rounds for row in self.rows if row.case == case}
        return ratio_interval(rounds.get(slower, {}), rounds.get(faster, {}))

    def resolution(self, case: Case) -> Interval | None:
        """The A/A ratio: what comes out where nothing differs, and so what a ratio cannot tell."""
        return self.ratio(case, self.twin + AGAIN, self.twin) if self.twin else None

    def overall_resolution(self) -> Interval | None:
        """The A/A ratio of the whole run: of one case, or the median of those of several.

        Which of the two processes has which name is dealt anew for each case, so that the cases are
        independent of one another, as the rounds of one are not.
        """
        found = [self.resolution(case) for case, _ in self.cases()]
        known = [interval for interval in found if interval is not None]
        if len(known) < 2:
            return known[0] if known else None
        return median_interval([interval.value for interval in known])

    def to_json(self) -> str:
        """Everything that was measured, as strict JSON, one line for a row."""
        content = {"format": FORMAT, **dataclasses.asdict(self)}
        rows = content.pop("rows")
        head = json.dumps(content, indent=1, allow_nan=False).removesuffix("\n}")
        lines = ",\n".join(json.dumps(row, allow_nan=False) for row in rows)
        return f'{head},\n "rows": [\n{lines}\n]}}\n'

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
    entries: Mapping[Case, Sequence[Contestant]],
    *,
    baseline: str,
    twin: str,
    budget: float,
    command: str,
    report: Report = lambda what, fraction: None,
) -> Comparison:
    """Judge and time implementations on cases.

    Parameters
    ----------
    entries : mapping of Case to sequence of Contestant
        What to measure on, and who takes part in it.
    baseline : str
        Label of the one that a speed-up divides by.
    twin : str
        Label of the one that is entered twice; empty for none.
    budget : float
        Seconds for the rounds of all cases together.
    command : str
        What was typed, for the record.
    report : callable
        Called with what is being done, and the fraction of it that is done.

    Returns
    -------
    Comparison
        A row for each case and contestant, and one for the memory limit of each case.
    """
    started = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
    before = machine.activity()
    threads = max(one.threads for several in entries.values() for one in several)
    limit = Contestant(MEMORY_LIMIT, MEMORY_LIMIT, threads)
    full = {case: _with_twin((limit, *entries[case]), twin) for case in entries}
    members = list(dict.fromkeys(one for several in full.values() for one in several))
    rows: list[Row] = []
    others: list[float] = []
    with (
        ThreadPoolExecutor(1) as aside,
        Crew(members, abreast=machine.usable_cpus()) as crew,
    ):
        fingerprint = aside.submit(machine.fingerprint)
        for group in _groups(full):
            share = len(group) / len(full)
            base = len({row.case for row in rows}) / len(full)
            labels = {case: [one.label for one in full[case]] for case in group}
            prepared = crew.prepare(labels, _part(report, "judging", base, share / 2))
            numba = crew.describe_numba()
            for index, case in enumerate(group):
                others.append(machine.others_percent())
                start = base + (share + index / len(full)) / 2
                rows += _time(
                    crew,
                    case,
                    prepared[case],
                    processes=_dealt(case, labels[case], twin),
                    baseline=baseline,
                    budget=budget / len(full),
                    report=_part(report, "timing", start, 0.5 / len(full)),
                )
            crew.forget()
        described = fingerprint.result() | {"numba": numba}
    after = machine.activity()
    return Comparison(
        command,
        started,
        baseline,
        twin,
        {"threads": threads, "budget": budget, "seed": SEED},
        described,
        {
            "load": before["load"],
            "load_after": after["load"],
            "steal_seconds": after["steal_seconds"] - before["steal_seconds"],
            "others_percent": max(others),
        },
        machine.commit(),
        tuple(rows),
    )


def _dealt(case: Case, labels: Iterable[str], twin: str) -> dict[str, str]:
    """Whose process a label gets on a case; the two of the twin are dealt anew for each case.

    A process is a few per cent faster or slower than its twin for as long as it lives: by where
    things came to lie in memory, and by the seed of its hashes. Dealt by chance, that is a part of
    the resolution and not of a name.
    """
    processes = {label: label for label in labels}
    if twin + AGAIN in processes and random.Random(f"{SEED} {case}").random() < 0.5:  # noqa: S311
        processes |= {twin: twin + AGAIN, twin + AGAIN: twin}
    return processes


def _with_twin(several: Sequence[Contestant], twin: str) -> list[Contestant]:
    return [*several, *(one.again() for one in several if one.label == twin)]


def _part(report: Report, what: str, start: float, extent: float) -> Callable[[float], None]:
    return lambda done: report(what, start + extent * done)


def _groups(entries: Mapping[Case, Sequence[Contestant]]) -> Iterator[list[Case]]:
    """Yield cases that fit into memory together, in the order given; at least one at a time."""
    import psutil

    # Inputs and outputs, and about as much again for the temporaries of the one that computes.
    room = psutil.virtual_memory().available * _MEMORY_SHARE
    group: list[Case] = []
    taken = 0.0
    for case, several in entries.items():
        size = case.bytes_moved * len(several)
        if group and taken + size > room:
            yield group
            group, taken = [], 0.0
        group.append(case)
        taken += size
    if group:
        yield group


def _time(
    crew: Crew,
    case: Case,
    prepared: Mapping[str, Preparation],
    *,
    processes: Mapping[str, str],
    baseline: str,
    budget: float,
    report: Callable[[float], None],
) -> list[Row]:
    """Time those that agreed, and make the rows of a case."""
    warm_ups: dict[str, WarmUp] = {}
    disturbed: dict[str, collections.Counter[str]] = {
        label: collections.Counter() for label in prepared
    }
    lost: dict[str, str] = {}
    for label, preparation in prepared.items():
        if preparation.timed:
            try:
                warm_ups[label] = crew[processes[label]].warm_up(case)
            except LostError as reason:
                lost[label] = str(reason)

    def turn(label: str) -> float:
        disturbed[label].update(crew.awake(processes[label]))
        return crew[processes[label]].turn(case)

    series = turns.measure(
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
                disturbed_by=dict(disturbed[label]),
            )
        rows.append(row)
    return rows


def _quotient(
    series: Mapping[str, Series], reference: str, label: str, lost: Mapping[str, str]
) -> Interval | None:
    if reference not in series or reference in lost:
        return None
    return ratio_interval(series[reference].seconds, series[label].seconds)
