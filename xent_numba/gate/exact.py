"""What can be counted: compared exactly, without a clock.

Every ``track_`` benchmark is run once on each side: largest errors, vector widths, instructions,
calls, bytes, compilations. Lower is better, as asv has it, unless the benchmark says
``better = "higher"``, or its unit is one that says so. What is given in seconds, or per second, is
a clock's, and is left to the clock.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

from xent_numba.gate.decision import Verdict
from xent_numba.gate.sides import BASELINE, CANDIDATE, SIDES, Chosen, Sides, why
from xent_numba.measurement.worker import LostError, WorkerError


@dataclass(frozen=True, slots=True)
class Value:
    """One value on both sides.

    Attributes
    ----------
    benchmark, unit : str
        What was counted.
    baseline, candidate : float or None
        The values; None where the benchmark has none.
    verdict : Verdict
        The conclusion.
    reason : str
        Why there is none.
    """

    benchmark: str
    unit: str
    baseline: float | None
    candidate: float | None
    verdict: Verdict
    reason: str = ""

    @property
    def change(self) -> float:
        """What is lost or added, as a share of what was; infinite where that is nothing."""
        if not self.baseline or self.candidate is None:
            return math.inf
        return abs(self.candidate / self.baseline - 1)


def judge(baseline: float | None, candidate: float | None, better: str) -> Verdict:
    """Compare two values; one that the candidate has lost is worse than any.

    Parameters
    ----------
    baseline, candidate : float or None
        The values.
    better : {"lower", "higher"}
        The direction.

    Returns
    -------
    Verdict
        WORSE for any worsening at all.
    """
    if baseline == candidate or baseline is None:
        return Verdict.EQUAL
    if candidate is None:
        return Verdict.WORSE
    return Verdict.WORSE if (candidate > baseline) == (better == "lower") else Verdict.BETTER


def count(sides: Sides, chosen: Chosen, progress: Callable[[str, float], None]) -> list[Value]:
    """Count on both sides.

    Parameters
    ----------
    sides : Sides
        What runs.
    chosen : Chosen
        Which benchmarks; those that the baseline cannot run are left out.
    progress : callable
        Called with what goes on, and the fraction that is done.

    Returns
    -------
    list of Value
        Those that at least the baseline has.
    """
    values = []
    with sides.pool() as pool:
        for done, name in enumerate(chosen.names):
            progress(name, done / len(chosen.names))
            # Each side waits for the other, but both compute.
            sides.start(pool, "count", name)
            found: dict[str, float | None] = dict.fromkeys(SIDES)
            reasons = {}
            for side in SIDES:
                try:
                    found[side] = pool[side].receive()
                except WorkerError as error:
                    reasons[side] = why("run", error)
                    if isinstance(error, LostError):
                        pool.dismiss(side)
            sides.note_sources(pool, name, [side for side in SIDES if side not in reasons])
            if BASELINE in reasons:
                chosen.leave_out(name, reasons)
                continue
            known = sides.known[CANDIDATE][name]
            better = sides.better(name)
            verdict = judge(found[BASELINE], found[CANDIDATE], better)
            reason = "".join(f"{side} {text}" for side, text in reasons.items())
            values.append(
                Value(name, known.unit, found[BASELINE], found[CANDIDATE], verdict, reason)
            )
    sides.check_sources()
    return values
