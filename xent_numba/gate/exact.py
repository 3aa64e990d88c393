"""What can be counted: compared exactly, without a clock.

Every ``track_`` benchmark is run once on each side: largest errors, vector widths, instructions,
calls, bytes, compilations. Lower is better, as asv has it, unless the benchmark says
``better = "higher"``. What is given in seconds is a clock's, and is left to the clock.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum

from xent_numba.gate.pairs import Duel, FailedError, NotApplicableError
from xent_numba.measurement.turns import LostError

TIMES = frozenset({"s", "ms", "us", "µs", "ns", "seconds", "second"})


class Change(StrEnum):
    """What is said of a value."""

    WORSE = "WORSE"
    BETTER = "BETTER"
    EQUAL = "EQUAL"


@dataclass(frozen=True, slots=True)
class Value:
    """One value on both sides.

    Attributes
    ----------
    benchmark, unit : str
        What was counted.
    baseline, contender : float or None
        The values; None where the benchmark has none.
    change : Change
        The conclusion.
    reason : str
        Why there is none.
    """

    benchmark: str
    unit: str
    baseline: float | None
    contender: float | None
    change: Change
    reason: str = ""


def judge(baseline: float | None, contender: float | None, better: str) -> Change:
    """Compare two values; one that the contender has lost is worse than any.

    Parameters
    ----------
    baseline, contender : float or None
        The values.
    better : {"lower", "higher"}
        The direction.

    Returns
    -------
    Change
        WORSE for any worsening at all.
    """
    if baseline == contender or baseline is None:
        return Change.EQUAL
    if contender is None:
        return Change.WORSE
    return Change.WORSE if (contender > baseline) == (better == "lower") else Change.BETTER


def compare(
    duel: Duel, names: Sequence[str], report: Callable[[str, float], None]
) -> tuple[list[Value], dict[str, str]]:
    """Count on both sides.

    Parameters
    ----------
    duel : Duel
        The sides.
    names : sequence of str
        Of the benchmarks.
    report : callable
        Called with what goes on, and the fraction that is done.

    Returns
    -------
    list of Value
        Those that at least the baseline has.
    dict of str to str
        Those that neither side has, or the baseline cannot run, and why.
    """
    found: dict[str, dict[str, float | None]] = {name: {} for name in names}
    reasons: dict[str, dict[str, str]] = {name: {} for name in names}
    with contextlib.ExitStack() as stack:
        agents = {side: stack.enter_context(duel.agent(side)) for side in duel.sides}
        for done, name in enumerate(names):
            report(name, done / len(names))
            # Each side waits for the other, but both compute.
            for side, agent in agents.items():
                agent.start("count", duel.places[side][name])
            for side, agent in agents.items():
                try:
                    found[name][side] = agent.receive()
                except NotApplicableError as error:
                    reasons[name][side] = f"does not apply: {error}"
                except (FailedError, LostError) as error:
                    reasons[name][side] = f"failed: {error}"
                    if isinstance(error, LostError):
                        agents[side] = stack.enter_context(duel.agent(side))
    values, left_out = [], {}
    for name in names:
        why = "; ".join(f"{side} {reason}" for side, reason in reasons[name].items())
        if "baseline" in reasons[name]:
            left_out[name] = why
            continue
        known = duel.known["contender"][name]
        before, after = found[name].get("baseline"), found[name].get("contender")
        change = judge(before, after, known.better)
        values.append(Value(name, known.unit, before, after, change, why))
    return values, left_out
