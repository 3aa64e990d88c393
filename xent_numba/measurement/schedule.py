"""Which cases are prepared together, how long each has, and which process has which name."""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator, Mapping, Sequence

from xent_numba.measurement.case import Case
from xent_numba.measurement.participant import AGAIN, Participant

SEED = 1

TIMED_SHARE = 0.5
"""Of a budget, what rounds have even where judging takes longer than the rest."""


def seed_of(what: str, case: Case, block: int) -> str:
    """Return the seed of what is left to chance in a case: another for each case and process.

    With one for all, who takes a turn after whom would be alike everywhere, and no chance: one of
    two that are the same followed the memory limit, which empties caches, more often.
    """
    return f"{SEED} {what} {block} {case}"


def with_control(several: Sequence[Participant], control: str) -> list[Participant]:
    """Enter the one with the label `control` once more."""
    return [*several, *(one.again() for one in several if one.label == control)]


def dealt(case: Case, labels: Iterable[str], control: str, block: int = 0) -> dict[str, str]:
    """Whose process a label gets on a case; the two of the A/A control are dealt anew for each.

    A process is a few per cent faster or slower than another of the same for as long as it lives:
    by where things came to lie in memory, and by the seed of its hashes. Dealt by chance, that is a
    part of the resolution and not of a name.
    """
    processes = {label: label for label in labels}
    again = control + AGAIN
    if again in processes and random.Random(seed_of("deal", case, block)).random() < 0.5:  # noqa: S311
        processes |= {control: again, again: control}
    return processes


def groups(entries: Mapping[Case, Sequence[Participant]], room: float) -> Iterator[list[Case]]:
    """Yield cases that fit into memory together, in the order given; at least one at a time.

    Parameters
    ----------
    entries : mapping of Case to sequence of Participant
        Who takes part in which case.
    room : float
        Bytes for inputs and outputs. About as much again is left for temporaries.
    """
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


def room(budget: float, spent: float, cases: int, done: int) -> float:
    """Seconds for the rounds of the next case.

    Parameters
    ----------
    budget, spent : float
        Seconds, of the whole run.
    cases, done : int
        How many there are, each once for each process, and how many have been timed.
    """
    return max((budget - spent) / (cases - done), TIMED_SHARE * budget / cases)


def is_time_left(seconds: float, lasted: Sequence[float]) -> bool:
    """Whether a case that begins now can end in time.

    Parameters
    ----------
    seconds : float
        That are left.
    lasted : sequence of float
        Seconds that the cases before it took; it may be as fast as the fastest.
    """
    return seconds > min(lasted, default=0.0)
