"""One process for each implementation, so that their thread pools do not disturb one another.

The process lives for the whole run and does what it is told: judge and warm up a case, take a
turn, forget it. `Worker` is its handle; what is below `_serve` happens in the process.
"""

from __future__ import annotations

import contextlib
import gc
import importlib
import multiprocessing
import os
import signal
import threading
import time
import timeit
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from multiprocessing import resource_tracker
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, Literal, NamedTuple, cast

import numpy as np
from numpy import ndarray

from xent_numba.measurement import binding, idle
from xent_numba.measurement.case import Case
from xent_numba.measurement.inputs import Attached, Place
from xent_numba.measurement.participant import MEMORY_LIMIT, Contestant
from xent_numba.measurement.turns import LostError

BATCH_SECONDS = 0.005
LONG_CALL_SECONDS = 0.05
TRIES = 5
SAME_WITHIN = 0.05
WARM_UP_SECONDS = 0.5
PREPARE_TIMEOUT = 300.0
TURN_TIMEOUT = 120.0

Status = Literal["ok", "partly", "wrong", "unavailable", "n/a", "crashed"]

THREAD_VARIABLES = (
    "NUMBA_NUM_THREADS",
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "NUMEXPR_NUM_THREADS",
    "NPROC",
)
"""All that the libraries read when they start; each is told the same number."""


@dataclass(frozen=True, slots=True)
class Preparation:
    """What is known of an implementation before it is timed on a case.

    Attributes
    ----------
    status : {"ok", "partly", "wrong", "unavailable", "n/a", "crashed"}
        Whether it can be timed. Partly ok is a reduced loss that is right although single samples
        are not, where the implementation declares that they are not.
    reason : str
        Why not, or why only partly.
    max_ulp, max_ulp_gradient : float or None
        Its largest errors per sample; None where they are not finite or were not measured.
    first_call_seconds : float or None
        The first call in the process: binding, compiling or loading from a cache, and running.
    """

    status: Status
    reason: str = ""
    max_ulp: float | None = None
    max_ulp_gradient: float | None = None
    first_call_seconds: float | None = None

    @property
    def timed(self) -> bool:
        """Whether there is a right result to be timed."""
        return self.status in ("ok", "partly")


class WarmUp(NamedTuple):
    """How a turn is taken.

    Attributes
    ----------
    batch : int
        Calls in a turn.
    settled : bool
        Whether two batches agreed before the warm-up ran out of time.
    fresh : bool
        Whether the batch starts without a call that is not timed, since calls take long.
    """

    batch: int
    settled: bool
    fresh: bool


class Worker:
    """Handle of the process that computes with one implementation.

    Every method that waits for an answer raises `LostError` if there is none.

    Parameters
    ----------
    contestant : Contestant
        The implementation, and the number of its threads.

    Attributes
    ----------
    cpu_time : callable
        Returns the CPU seconds that the process has used.
    """

    def __init__(self, contestant: Contestant) -> None:
        context = multiprocessing.get_context("spawn")
        self.connection, far_end = context.Pipe()
        self._process = context.Process(
            target=_serve, args=(far_end, contestant.implementation), daemon=True
        )
        threads = dict.fromkeys(THREAD_VARIABLES, str(contestant.threads))
        with _environment(threads), _interrupts_held():
            self._process.start()
        far_end.close()
        assert self._process.pid is not None
        self.cpu_time = idle.cpu_time(self._process.pid)

    def start_preparing(self, case: Case, places: Sequence[Place]) -> None:
        """Have the process judge a case, whose inputs lie in shared memory; see `receive`."""
        self._send("prepare", case, places)

    def warm_up(self, case: Case) -> WarmUp:
        """Find out how many calls make a turn, and make calls until they take as long as before."""
        self._send("warm_up", case)
        answer: WarmUp = self.receive(TURN_TIMEOUT)
        return answer

    def turn(self, case: Case) -> float:
        """Make one batch of calls; seconds per call."""
        self._send("turn", case)
        answer: float = self.receive(TURN_TIMEOUT)
        return answer

    def describe(self) -> dict[str, Any]:
        """Describe what Numba uses in this process."""
        self._send("describe")
        answer: dict[str, Any] = self.receive(PREPARE_TIMEOUT)
        return answer

    def forget(self) -> None:
        """Have the process let go of all cases."""
        self._send("forget")
        self.receive(TURN_TIMEOUT)

    def receive(self, timeout: float) -> Any:
        """Wait for an answer; a process that gives none in time is ended."""
        if not self.connection.poll(timeout):
            self.close()
            raise LostError(f"gave no answer within {timeout:g} s")
        try:
            kind, answer = self.connection.recv()
        except (EOFError, ConnectionResetError):
            raise LostError(self._death()) from None
        if kind == "error":
            raise LostError(answer)
        return answer

    def close(self) -> None:
        """End the process."""
        self._process.kill()
        self._process.join()
        self.connection.close()

    def _send(self, command: str, *arguments: Any) -> None:
        try:
            self.connection.send((command, *arguments))
        except OSError:
            raise LostError(self._death()) from None

    def _death(self) -> str:
        self._process.join(1.0)
        code = self._process.exitcode
        if code is None or code >= 0:
            return f"its process ended with exit code {code}"
        return f"its process was ended by {signal.Signals(-code).name}"


@contextlib.contextmanager
def _environment(variables: dict[str, str]) -> Iterator[None]:
    before = {name: os.environ.get(name) for name in variables}
    os.environ.update(variables)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


@contextlib.contextmanager
def _interrupts_held() -> Iterator[None]:
    """Hold Ctrl-C back; a process started meanwhile never gets it, and is ended by its parent."""
    if not hasattr(signal, "pthread_sigmask"):  # not on Windows
        yield
        return
    # Started by the first process, the tracker would lift the block while we rely on it.
    resource_tracker.ensure_running()
    # What is blocked here, and so in the process, another thread may be given, and Python has the
    # main one handle it: half a process would be started.
    in_main = threading.current_thread() is threading.main_thread()
    came: list[int] = []
    handler = signal.getsignal(signal.SIGINT)
    if in_main:
        signal.signal(signal.SIGINT, lambda number, _: came.append(number))
    blocked = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, blocked)
        if in_main:
            signal.signal(signal.SIGINT, handler)
        if came:
            signal.raise_signal(signal.SIGINT)


def _serve(connection: Connection, implementation: str) -> None:
    subject = _Subject(implementation)
    while True:
        try:
            command, *arguments = connection.recv()
        except EOFError:
            return
        try:
            answer = ("answer", getattr(subject, command)(*arguments))
        except Exception as error:  # noqa: BLE001 - whatever it is, it is what the row says
            answer = ("error", f"{type(error).__name__}: {error}")
        connection.send(answer)


class _Subject:
    """The implementation in its process, with the calls that have been prepared."""

    def __init__(self, implementation: str) -> None:
        self.name = implementation
        self.calls: dict[Case, Callable[[], Any]] = {}
        self.plans: dict[Case, WarmUp] = {}
        self.attached: list[Attached] = []

    def prepare(self, case: Case, places: Sequence[Place]) -> Preparation:
        self.attached.append(Attached(places))
        inputs = self.attached[-1].arrays
        if self.name == MEMORY_LIMIT:
            return self._prepare_limit(case, inputs)
        from xent_numba import registry

        name = _adopt_file(Path(self.name)) if self.name.endswith(".py") else self.name
        implementation = registry.get(name)
        if reason := binding.unavailable(implementation):
            return Preparation("unavailable", reason)
        if case.operation not in implementation.operations:
            return Preparation("n/a", f"does not compute {case.operation}")
        started = time.perf_counter()
        try:
            call = binding.bind(implementation, case, inputs)
            call()
        except Exception as error:  # noqa: BLE001 - an implementation may raise anything
            return Preparation("wrong", f"raised {type(error).__name__}: {error}")
        first_call = time.perf_counter() - started
        verdict = binding.judge_call(implementation, case, inputs, call)
        if verdict.ok:
            self.calls[case] = call
        return Preparation(
            "wrong" if not verdict.ok else "partly" if verdict.reason else "ok",
            verdict.reason,
            _finite(verdict.max_ulp),
            _finite(verdict.max_ulp_gradient),
            first_call,
        )

    def _prepare_limit(self, case: Case, inputs: tuple[ndarray, ...]) -> Preparation:
        from xent_numba.kernels.cpu import memory_limit

        started = time.perf_counter()
        call = memory_limit.bind(inputs, case.reduction == "none", case.table_entry.gradient)
        call()
        self.calls[case] = call
        return Preparation("ok", first_call_seconds=time.perf_counter() - started)

    def warm_up(self, case: Case) -> WarmUp:
        self.plans[case] = _warm_up(self.calls[case])
        return self.plans[case]

    def turn(self, case: Case) -> float:
        call, plan = self.calls[case], self.plans[case]
        if not plan.fresh:
            # Others have had the caches since the last turn, and threads and clocks were asleep.
            timeit.Timer(call).timeit(max(1, plan.batch // 2))
        return timeit.Timer(call).timeit(plan.batch) / plan.batch

    def forget(self) -> None:
        self.calls.clear()
        gc.collect()
        while self.attached:
            self.attached.pop().close()

    def describe(self) -> dict[str, Any]:
        from xent_numba.codegen import cpu_target

        return cpu_target.describe()


def check_file(path: Path) -> None:
    """Raise `ValueError` unless a user's file can be an implementation.

    The file is not imported.
    """
    if not path.is_file():
        raise ValueError(f"{str(path)!r}; accepted is a name, or a file that exists")
    if (Path(_search_path()[0]) / path.name).exists():
        raise ValueError(f"{str(path)!r}; accepted is a name that the package has not taken")


def _adopt_file(path: Path) -> str:
    """Make a user's file an implementation of this process, under the name of the file."""
    check_file(path)
    folder = str(path.resolve().parent)
    if folder not in _search_path():
        _search_path().append(folder)
        importlib.invalidate_caches()
    return path.stem


def _search_path() -> list[str]:
    return cast("list[str]", importlib.import_module("xent_numba.implementations").__path__)


def _finite(value: float) -> float | None:
    return value if np.isfinite(value) else None


def _warm_up(call: Callable[[], Any]) -> WarmUp:
    timer = timeit.Timer(call)
    started = time.perf_counter()
    fresh = timer.timeit(1) >= LONG_CALL_SECONDS
    tries = 1 if fresh else TRIES
    batch = 1
    # The fastest of some tries: one that was disturbed would make the batch too small.
    while (seconds := min(timer.repeat(tries, batch))) < BATCH_SECONDS:
        batch = max(2 * batch, min(10 * batch, int(batch * BATCH_SECONDS / max(seconds, 1e-9))))
    while True:
        before, seconds = seconds, timer.timeit(batch)
        if abs(seconds - before) <= SAME_WITHIN * before:
            return WarmUp(batch, settled=True, fresh=fresh)
        if time.perf_counter() - started > WARM_UP_SECONDS:
            return WarmUp(batch, settled=False, fresh=fresh)
