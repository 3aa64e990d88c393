"""Pairs of fresh processes, one of each side, that take turns on every benchmark.

Both are alive at once, and only one computes. On a benchmark, turns go ABBA, so that a drift of
the machine's speed cancels. The samples of all turns of a side are reduced to their lower quartile,
and the quotient of the two is all that the pair is counted for. Benchmarks come in an order
shuffled anew for each pair, and so does who begins. A variable of random length in the environment
of each process moves its stack, on which speed may depend [1]_.

References
----------
.. [1] T. Mytkowicz, A. Diwan, M. Hauswirth, P. F. Sweeney, "Producing wrong data without doing
   anything obviously wrong!", ASPLOS 2009.
"""

from __future__ import annotations

import contextlib
import json
import math
import os
import random
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
import psutil

from xent_numba.gate import GateError
from xent_numba.gate.decision import MIN_PAIRS, settled
from xent_numba.gate.environments import Side
from xent_numba.measurement import idle
from xent_numba.measurement.turns import LostError

QUARTETS = 4
SAMPLES = 5
"""In a turn."""

LONG_TURN_SECONDS = 0.1
"""Where a turn takes longer there is one quartet, of single samples."""

FEW_SECONDS = 60.0
"""The fewest pairs may take so long whatever the budget."""

_AGENT = Path(__file__).with_name("agent.py")
_PADDING = 4096


class NotApplicableError(Exception):
    """A benchmark does not apply in an environment; the message says why."""


class FailedError(Exception):
    """A benchmark raised an error; its process can go on."""


@dataclass(frozen=True, slots=True)
class Benchmark:
    """One set of parameters of a benchmark.

    Attributes
    ----------
    name : str
        With the parameters, as asv writes it.
    kind : str
        time, track, or empty for anything else.
    unit : str
        Of its values.
    better : str
        Whether lower or higher values are better.
    """

    name: str
    kind: str
    unit: str
    better: str


@dataclass(slots=True)
class Evidence:
    """What pairs have shown.

    Attributes
    ----------
    log_ratios : dict of str to list of float
        By benchmark, log of contender's time over baseline's, one for each pair.
    seconds : dict of str to dict of str to list of float
        By benchmark and side, the median time of each pair.
    dropped : dict of str to str
        Benchmarks that could not be compared, and why.
    broken : list of str
        Those of them that failed on the contender alone.
    others : list of float
        Share of the CPUs that other programs used, for each pair.
    clock_seconds : float
        What all pairs that count took.
    """

    log_ratios: dict[str, list[float]] = field(default_factory=dict)
    seconds: dict[str, dict[str, list[float]]] = field(default_factory=dict)
    dropped: dict[str, str] = field(default_factory=dict)
    broken: list[str] = field(default_factory=list)
    others: list[float] = field(default_factory=list)
    clock_seconds: float = 0.0


class Agent:
    """Handle of a process in a side's environment; leaving the context ends it.

    Commands are methods of the agent in the process. They raise `LostError` if it gives no
    answer, `FailedError` if it raised an error, and `NotApplicableError` if it skips the benchmark.

    Parameters
    ----------
    side : Side
        Whose environment.
    benchmarks : Path
        Their folder.
    timeout : float
        Seconds that an answer may take.
    padding : int
        Length of a variable in its environment.
    """

    def __init__(self, side: Side, benchmarks: Path, timeout: float, padding: int = 0) -> None:
        self._timeout = timeout
        self._places: dict[str, str] = {}
        kept = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
        self._folder = tempfile.TemporaryDirectory(ignore_cleanup_errors=True)
        self._errors = tempfile.TemporaryFile("w+")  # noqa: SIM115 - closed with the process
        # In a session of its own it is spared Ctrl-C, and ended by us.
        self._process = subprocess.Popen(  # noqa: S603 - our own program
            [side.python, str(_AGENT), str(benchmarks)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            text=True,
            cwd=self._folder.name,
            env={**kept, **side.variables, "ASV": "true", "GATE_PADDING": "." * padding},
            start_new_session=True,
        )
        self._cpus = side.cpus
        self.cpu_time = idle.cpu_time(self._process.pid)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._process.kill()
        self._process.communicate()
        self._errors.close()
        self._folder.cleanup()

    def start(self, command: str, *arguments: Any) -> None:
        """Send a command; see `receive`."""
        assert self._process.stdin is not None
        with contextlib.suppress(OSError):  # its end is noticed when it gives no answer
            self._process.stdin.write(json.dumps([command, arguments]) + "\n")
            self._process.stdin.flush()

    def receive(self) -> Any:
        """Wait for the answer; a process that gives none in time is ended."""
        assert self._process.stdout is not None
        late = threading.Event()

        def end() -> None:
            late.set()
            self._process.kill()

        alarm = threading.Timer(self._timeout, end)
        alarm.start()
        try:
            line = self._process.stdout.readline()
        finally:
            alarm.cancel()
        if not line:
            code = self._process.wait()
            if late.is_set():
                raise LostError(f"gave no answer within {self._timeout:g} s")
            raise LostError(f"its process ended with exit code {code}: {self._last_words()}")
        answer = json.loads(line)
        if "error" in answer:
            raise (NotApplicableError if answer.get("skipped") else FailedError)(answer["error"])
        return answer["answer"]

    def do(self, command: str, *arguments: Any) -> Any:
        """Send a command and wait for the answer."""
        self.start(command, *arguments)
        return self.receive()

    def pin(self) -> None:
        """Keep all threads there are, and those they start, to the CPUs that were chosen.

        Not before the modules are imported, which two processes do on two CPUs at once.
        """
        if self._cpus:
            for thread in psutil.Process(self._process.pid).threads():
                os.sched_setaffinity(thread.id, self._cpus)

    def _last_words(self) -> str:
        self._errors.seek(0)
        lines = [line.strip() for line in self._errors.read().splitlines() if line.strip()]
        return lines[-1] if lines else "it said nothing"


class Duel:
    """The two sides, and the benchmarks that both have.

    Parameters
    ----------
    baseline, contender : Side
        The sides.
    benchmarks : Path
        The folder that both run.
    timeout : float
        Seconds that an answer may take.
    """

    def __init__(self, baseline: Side, contender: Side, benchmarks: Path, timeout: float) -> None:
        self.sides = {"baseline": baseline, "contender": contender}
        self.timeout = timeout
        self._folder = benchmarks
        self.packages: dict[str, dict[str, str]] = {}
        self.places: dict[str, dict[str, str]] = {}
        self.known: dict[str, dict[str, Benchmark]] = {}

    def discover(self) -> None:
        """Ask both sides which benchmarks there are, and which versions of packages."""
        with contextlib.ExitStack() as stack:
            agents = {name: stack.enter_context(self.agent(name)) for name in self.sides}
            for agent in agents.values():
                agent.start("discover")
            for name, agent in agents.items():
                try:
                    found = agent.receive()
                    self.packages[name] = agent.do("packages")
                except (LostError, FailedError) as error:
                    raise GateError(
                        f"the benchmarks of the {name} cannot be listed: {error}"
                    ) from None
                self.places[name] = {one["name"]: one.pop("place") for one in found}
                self.known[name] = {one["name"]: Benchmark(**one) for one in found}

    def agent(self, side: str, padding: int = 0) -> Agent:
        """Start a process of one side."""
        return Agent(self.sides[side], self._folder, self.timeout, padding)

    def measure(
        self,
        names: Sequence[str],
        *,
        budget: float,
        threshold: float,
        seed: int,
        report: Callable[[str, float], None] = lambda what, done: None,
    ) -> Evidence:
        """Take pairs until spreads are known well enough or the budget is spent.

        Parameters
        ----------
        names : sequence of str
            Of the benchmarks.
        budget : float
            Seconds of the clock. The first pair does not count: it compiles, and finds out how
            many calls make a sample. `MIN_PAIRS` are taken in any case.
        threshold : float
            The change that matters.
        seed : int
            Of all that is shuffled.
        report : callable
            Called with what goes on, and the fraction of the budget that is spent.

        Returns
        -------
        Evidence
            What was measured.

        Raises
        ------
        GateError
            If the budget is not enough for the fewest pairs.
        """
        shuffled = random.Random(seed)  # noqa: S311 - an order, not a secret
        evidence = Evidence()
        todo = list(names)
        report("warming up", 0.0)
        numbers: dict[str, int] = {}
        todo = self._pair(todo, numbers, shuffled, Evidence(), evidence)
        evidence.log_ratios = {name: [] for name in todo}
        evidence.seconds = {name: {side: [] for side in self.sides} for name in todo}
        started = time.monotonic()
        pairs = 0
        while todo:
            todo = self._pair(todo, numbers, shuffled, evidence, evidence)
            pairs += 1
            evidence.clock_seconds = time.monotonic() - started
            report(f"{pairs} pairs", min(1.0, evidence.clock_seconds / budget))
            least = MIN_PAIRS * evidence.clock_seconds / pairs
            if pairs == 1 and least > max(budget, FEW_SECONDS):
                raise GateError(
                    f"{len(todo)} benchmarks need {least / 60:.1f} minutes for {MIN_PAIRS} pairs; "
                    "accepted are as large a --budget, or fewer benchmarks by --bench"
                )
            ratios = {name: evidence.log_ratios[name] for name in todo}
            # The next pair must end before the budget does.
            spent = evidence.clock_seconds * (pairs + 1) / pairs > budget
            if pairs >= MIN_PAIRS and (spent or settled(ratios, threshold)):
                break
        for name in evidence.dropped:
            evidence.log_ratios.pop(name, None)
            evidence.seconds.pop(name, None)
        return evidence

    def _pair(
        self,
        names: Sequence[str],
        numbers: dict[str, int],
        shuffled: random.Random,
        found: Evidence,
        notes: Evidence,
    ) -> list[str]:
        """Take one pair; the benchmarks that are still to be compared."""
        order = list(names)
        shuffled.shuffle(order)
        kept: list[str] = []
        with contextlib.ExitStack() as stack:
            sides = list(self.sides)
            shuffled.shuffle(sides)
            agents = {
                side: stack.enter_context(self.agent(side, shuffled.randrange(_PADDING)))
                for side in sides
            }
            before = _usage(agents)
            for name in order:
                shuffled.shuffle(sides)
                try:
                    numbers[name], ratio, seconds = self._turns(name, agents, sides, numbers)
                except _DroppedError as dropped:
                    notes.dropped[name] = str(dropped)
                    if dropped.broken:
                        notes.broken.append(name)
                    if dropped.lost:
                        # What is left has had no turn; it gets a pair of its own.
                        left = order[order.index(name) + 1 :]
                        stack.close()
                        return kept + (
                            self._pair(left, numbers, shuffled, found, notes) if left else []
                        )
                    for agent in agents.values():
                        with contextlib.suppress(FailedError):
                            agent.do("close")
                    continue
                kept.append(name)
                found.log_ratios.setdefault(name, []).append(ratio)
                for side, value in seconds.items():
                    found.seconds.setdefault(name, {}).setdefault(side, []).append(value)
            found.others.append(_others(before, _usage(agents)))
        return kept

    def _turns(
        self,
        name: str,
        agents: Mapping[str, Agent],
        order: Sequence[str],
        numbers: Mapping[str, int],
    ) -> tuple[int, float, dict[str, float]]:
        """Calls in a sample, the log ratio of the pair, and the time of each side."""
        for side, agent in agents.items():
            agent.start("open", self.places[side][name])
        self._receive(agents, "set up")
        for agent in agents.values():
            agent.pin()
        number = numbers.get(name, 0)
        first, second = order
        # The number of calls is the baseline's for both sides and for all pairs.
        for side in ("baseline", "contender"):
            agents[side].start("warm_up")
            wanted = self._receive({side: agents[side]}, "run")[side]
            number = number or wanted
        samples: dict[str, list[float]] = {side: [] for side in agents}
        quartets = 0
        each = SAMPLES
        while quartets < QUARTETS:
            started = time.monotonic()
            for side in (first, second, second, first):
                idle.awake({k: agent.cpu_time for k, agent in agents.items() if k != side})
                agents[side].start("turn", number, each)
                samples[side] += self._receive({side: agents[side]}, "run")[side]
            quartets += 1
            if time.monotonic() - started > 4 * LONG_TURN_SECONDS:
                break
        for agent in agents.values():
            agent.start("close")
        self._receive(agents, "tear down")
        # What disturbs a sample makes it longer, and never shorter.
        seconds = {side: float(np.quantile(values, 0.25)) for side, values in samples.items()}
        return number, math.log(seconds["contender"] / seconds["baseline"]), seconds

    def _receive(self, agents: Mapping[str, Agent], what: str) -> dict[str, Any]:
        answers, reasons, lost = {}, {}, False
        for side, agent in agents.items():
            try:
                answers[side] = agent.receive()
                if what == "set up" and not answers[side]:
                    reasons[side] = "does not apply"
            except NotApplicableError as error:
                reasons[side] = f"does not apply: {error}"
            except (FailedError, LostError) as error:
                reasons[side] = f"could not {what}: {error}"
                lost = lost or isinstance(error, LostError)
        if reasons:
            text = "; ".join(f"{side} {reason}" for side, reason in sorted(reasons.items()))
            raise _DroppedError(text, lost=lost, broken=_failed(reasons) == ["contender"])
        return answers


class _DroppedError(Exception):
    def __init__(self, reason: str, *, lost: bool, broken: bool) -> None:
        super().__init__(reason)
        self.lost = lost
        self.broken = broken


def _failed(reasons: Mapping[str, str]) -> list[str]:
    return [side for side, reason in reasons.items() if reason.startswith("could not")]


@dataclass(frozen=True, slots=True)
class _Usage:
    busy: float
    ours: float
    wall: float


def _usage(agents: Mapping[str, Agent]) -> _Usage:
    times = psutil.cpu_times()
    # Linux counts what guests use as user time too.
    busy = sum(times) - times.idle - getattr(times, "iowait", 0.0) - getattr(times, "guest", 0.0)
    own = sum(psutil.Process().cpu_times()[:2])
    ours = own + sum(agent.cpu_time() for agent in agents.values())
    return _Usage(busy, ours, time.monotonic())


def _others(before: _Usage, after: _Usage) -> float:
    """Share of all CPUs that neither we nor the agents used."""
    ours = after.ours - before.ours
    available = (after.wall - before.wall) * (psutil.cpu_count() or 1)
    return max(0.0, after.busy - before.busy - ours) / available
