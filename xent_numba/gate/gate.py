"""One run of the gate: make both sides ready, choose the benchmarks, measure, conclude."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from xent_numba.gate import GateError, exact, pairs, touched
from xent_numba.gate.decision import Verdict, decide
from xent_numba.gate.outcome import Outcome, Timing
from xent_numba.gate.pairs import Limits
from xent_numba.gate.project import Project, Side
from xent_numba.gate.rules import Rules
from xent_numba.gate.sides import SIDES, Chosen, Sides
from xent_numba.measurement import idle

Progress = Callable[[str, float], None]


@dataclass(frozen=True, slots=True)
class Request:
    """What is asked of the gate.

    Attributes
    ----------
    baseline : str
        A revision.
    candidate : str or None
        A revision; None is the working tree.
    exact : bool
        Whether to count and not to time.
    chosen : sequence of str
        Regular expressions, as asv reads them, one of which a benchmark's name must match.
    limits : Limits
        What change matters, and how long may be measured.
    python : str or None
        The interpreter for both sides; None lets asv build environments.
    cpus : tuple of int
        The CPUs that both sides run on, and as many threads; empty for all.
    patience : float or None
        Seconds to wait for a machine under load; None takes it as it is.
    touched : bool
        Whether benchmarks are left out that load and open no file in which the sides differ.
    """

    baseline: str
    candidate: str | None = None
    exact: bool = False
    chosen: Sequence[str] = ()
    limits: Limits = field(default_factory=Limits)
    python: str | None = None
    cpus: tuple[int, ...] = ()
    patience: float | None = 60.0
    touched: bool = False


def run(
    project: Project,
    request: Request,
    progress: Progress = lambda what, done: None,
) -> Outcome:
    """Answer a request.

    Parameters
    ----------
    project : Project
        What is compared.
    request : Request
        What is asked.
    progress : callable
        Called with what goes on, and the fraction that is done.

    Returns
    -------
    Outcome
        What was found.

    Raises
    ------
    GateError
        If nothing can be.
    """
    started = time.monotonic()
    ready = _make_ready(project, request, progress)
    progress("listing benchmarks", 0.0)
    sides = Sides(*ready, project.benchmarks(ready[1]), project.timeout, project.rules.better)
    chosen = sides.choose(request.exact, request.chosen)
    selection = touched.Choice(chosen.names)
    if request.touched:
        commits = (one.revision.commit for one in ready)
        changed = project.repository.changed(*commits)
        selection = touched.choose(sides, chosen.names, changed, progress)
        chosen.names = selection.names
    built = time.monotonic() - started
    rules = project.rules
    thresholds: dict[str, float] = {}
    timings: list[Timing] = []
    values: list[exact.Value] = []
    others: list[float] = []
    if request.exact:
        values = exact.count(sides, chosen, progress)
    else:
        thresholds = {x: rules.threshold(x, request.limits.threshold) for x in chosen.names}
        timings, others = _time(sides, chosen, request, thresholds, progress)
    return Outcome(
        exact=request.exact,
        sides={one.name: one.revision for one in ready},
        threshold=request.limits.threshold,
        thresholds={x: y for x, y in thresholds.items() if y != request.limits.threshold},
        accepted=_accepted(rules, timings, values),
        timings=timings,
        values=values,
        left_out=chosen.left_out,
        broken=chosen.broken,
        unknown=chosen.unknown,
        packages=sides.differing_packages(),
        others=others,
        untouched=selection.untouched,
        doubts=selection.doubts,
        seconds={"building": built, "measuring": time.monotonic() - started - built},
    )


def _time(
    sides: Sides,
    chosen: Chosen,
    request: Request,
    thresholds: Mapping[str, float],
    progress: Progress,
) -> tuple[list[Timing], list[float]]:
    """Time what is chosen; and the share of the CPUs that others used, for each pair."""
    if request.patience is not None and chosen.names:
        try:
            idle.wait_for_rest(request.patience, progress)
        except idle.BusyError as error:
            raise GateError(str(error)) from None
    evidence = pairs.measure(sides, chosen, request.limits, thresholds, progress)
    findings = decide(evidence.log_ratios, thresholds) if chosen.names else {}
    medians = {
        name: {side: statistics.median(evidence.seconds[name][side]) for side in SIDES}
        for name in findings
    }
    timings = [
        Timing(name, found, **medians[name], unit=sides.unit(name))
        for name, found in findings.items()
    ]
    return timings, evidence.others


def _accepted(
    rules: Rules, timings: Sequence[Timing], values: Sequence[exact.Value]
) -> dict[str, str]:
    """Changes for the worse that the project accepts, and why."""
    changes = {t.benchmark: t.finding.ratio.low - 1 for t in timings if t.is_worse}
    changes |= {v.benchmark: v.change for v in values if v.verdict is Verdict.WORSE}
    reasons = {name: rules.accepts(name, change) for name, change in changes.items()}
    return {name: reason for name, reason in reasons.items() if reason}


def _make_ready(project: Project, request: Request, progress: Progress) -> tuple[Side, Side]:
    # Both are looked up once, and before the first is built, which may take minutes.
    found = [project.resolve(one) for one in (request.baseline, request.candidate)]
    if request.candidate is None and found[0].commit == found[1].commit:
        raise GateError(
            f"the working tree holds nothing but {request.baseline!r}; accepted is another "
            "baseline, or a revision as CANDIDATE"
        )
    ready = []
    for name, revision in zip(SIDES, found, strict=True):
        progress(f"making the {name} ready", 0.0)
        ready.append(project.side(name, revision, request.python, request.cpus))
    return ready[0], ready[1]
