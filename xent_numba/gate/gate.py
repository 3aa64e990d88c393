"""One run of the gate: make both sides ready, choose the benchmarks, measure, conclude."""

from __future__ import annotations

import re
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import psutil

from xent_numba.gate import GateError, exact
from xent_numba.gate.decision import decide
from xent_numba.gate.environments import Project, Side
from xent_numba.gate.outcome import Outcome, Timing
from xent_numba.gate.pairs import Duel
from xent_numba.results import machine

LOADED = 0.25
"""Share of all CPUs in use by others from which on a machine is no place to time anything."""

_LOOK_SECONDS = 1.0

Report = Callable[[str, float], None]


@dataclass(frozen=True, slots=True)
class Request:
    """What is asked of the gate.

    Attributes
    ----------
    baseline : str
        A revision.
    contender : str or None
        A revision; None is the working tree.
    exact : bool
        Whether to count and not to time.
    chosen : sequence of str
        Regular expressions, as asv reads them, one of which a benchmark's name must match.
    threshold : float
        The change that matters; 0.05 is 5 %.
    budget : float
        Seconds of the clock.
    python : str or None
        The interpreter for both sides; None lets asv build environments.
    cpus : tuple of int
        The CPUs that both sides run on, and as many threads; empty for all.
    patience : float
        Seconds to wait for a machine under load.
    seed : int
        Of all that is shuffled.
    """

    baseline: str
    contender: str | None = None
    exact: bool = False
    chosen: Sequence[str] = ()
    threshold: float = 0.05
    budget: float = 300.0
    python: str | None = None
    cpus: tuple[int, ...] = ()
    patience: float = 60.0
    seed: int = 1


def run(
    project: Project, request: Request, command: str, report: Report = lambda what, done: None
) -> Outcome:
    """Answer a request.

    Parameters
    ----------
    project : Project
        What is compared.
    request : Request
        What is asked.
    command : str
        For the report.
    report : callable
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
    sides = _sides(project, request, report)
    duel = Duel(*sides, project.benchmarks(sides[1]), project.timeout)
    report("listing benchmarks", 0.0)
    duel.discover()
    names, left_out = _choose(duel, request)
    if request.python is not None:
        _check_sources(duel, names)
    built = time.monotonic() - started
    timings: list[Timing] = []
    values: list[exact.Value] = []
    broken: list[str] = []
    others: list[float] = []
    if request.exact:
        values, dropped = exact.compare(duel, names, report)
    else:
        wait_for_rest(request.patience, report)
        evidence = duel.measure(
            names,
            budget=request.budget,
            threshold=request.threshold,
            seed=request.seed,
            report=report,
        )
        dropped, broken, others = evidence.dropped, evidence.broken, evidence.others
        # Those that a timing was lost of on the way are left out whole.
        findings = decide(evidence.log_ratios, request.threshold) if evidence.log_ratios else {}
        timings = [
            Timing(
                name,
                finding,
                *(
                    statistics.median(evidence.seconds[name][side])
                    for side in ("baseline", "contender")
                ),
            )
            for name, finding in findings.items()
        ]
    return Outcome(
        command=command,
        exact=request.exact,
        sides={s.name: {"revision": s.revision, "commit": s.commit} for s in sides},
        threshold=request.threshold,
        timings=sorted(timings, key=lambda timing: names.index(timing.benchmark)),
        values=values,
        left_out=left_out | dropped,
        broken=broken,
        packages=_differing(duel),
        others=others,
        seconds={"building": built, "measuring": time.monotonic() - started - built},
        machine=machine.fingerprint(),
    )


def wait_for_rest(patience: float, report: Report = lambda what, done: None) -> None:
    """Wait until the machine rests.

    Parameters
    ----------
    patience : float
        Seconds.
    report : callable
        Called with what goes on.

    Raises
    ------
    GateError
        If it does not come to rest.
    """
    until = time.monotonic() + patience
    while (busy := psutil.cpu_percent(_LOOK_SECONDS) / 100) > LOADED:
        if time.monotonic() > until:
            raise GateError(
                f"other programs use {busy:.0%} of the CPUs, after {patience:g} s of waiting; "
                f"accepted is less than {LOADED:.0%}, or --patience SECONDS to wait longer"
            )
        report(f"waiting, other programs use {busy:.0%} of the CPUs", 0.0)


def _sides(project: Project, request: Request, report: Report) -> tuple[Side, Side]:
    # Both are looked up before the first is built, which may take minutes.
    commits = [project.resolve(one) for one in (request.baseline, request.contender)]
    if request.contender is None and commits[0] == commits[1]:
        raise GateError(
            f"the working tree holds nothing but {request.baseline!r}; accepted is another "
            "baseline, or a revision as CONTENDER"
        )
    report("making the baseline ready", 0.0)
    baseline = project.side("baseline", request.baseline, request.python, request.cpus)
    report("making the contender ready", 0.0)
    return baseline, project.side("contender", request.contender, request.python, request.cpus)


def _choose(duel: Duel, request: Request) -> tuple[list[str], dict[str, str]]:
    """Names of what both sides have, and why others are left out."""
    kind = "track" if request.exact else "time"
    asked: dict[str, dict[str, None]] = {}
    left_out = {}
    for side, known in duel.known.items():
        asked[side] = {}
        for name, one in known.items():
            if request.chosen and not any(re.search(x, name) for x in request.chosen):
                continue
            if one.kind == kind and not (request.exact and one.unit in exact.TIMES):
                asked[side][name] = None
    for side, other in (("contender", "baseline"), ("baseline", "contender")):
        for name in asked[side]:
            if name not in asked[other]:
                left_out[name] = f"the {other} has no such benchmark"
    names = [name for name in asked["contender"] if name in asked["baseline"]]
    if not names:
        what = f" that match {' or '.join(request.chosen)}" if request.chosen else ""
        raise GateError(
            f"the two revisions share no {kind} benchmarks{what}; accepted are "
            "those that asv run --bench would select"
        )
    return names, left_out


def _check_sources(duel: Duel, names: Sequence[str]) -> None:
    """Make sure that each side's sources are what is run, not a package installed elsewhere."""
    for side in duel.sides:
        with duel.agent(side) as agent:
            # One that can be set up imports what it measures.
            for name in names:
                try:
                    agent.do("open", duel.places[side][name])
                    break
                except Exception:  # noqa: BLE001, S112 - which of them cannot is reported later
                    continue
            if not agent.do("loaded_from", str(duel.sides[side].sources)):
                raise GateError(
                    f"--python: the benchmarks import nothing from the sources of the {side}; "
                    "accepted is a project that needs no building"
                )


def _differing(duel: Duel) -> dict[str, dict[str, str]]:
    """Packages with another version on one side, the project itself apart."""
    baseline, contender = duel.packages["baseline"], duel.packages["contender"]
    return {
        name: {"baseline": baseline.get(name, "none"), "contender": contender.get(name, "none")}
        for name in sorted(baseline.keys() | contender.keys())
        if baseline.get(name) != contender.get(name)
    }
