"""The handle of a process that computes, and what becomes of it: answers, errors, its end."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import tempfile
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple, Self

import psutil

from xent_numba.measurement import idle

_PROCESS = Path(__file__).with_name("process.py")


class WorkerError(Exception):
    """A worker has no answer; the message says why."""


class LostError(WorkerError):
    """The process has ended, or was ended since it gave no answer in time."""


class FailedError(WorkerError):
    """A command raised an error; the process can go on."""


class NotApplicableError(WorkerError):
    """A command does not apply in this environment; the process can go on."""


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


@dataclass(frozen=True, slots=True)
class Program:
    """What a worker runs.

    Attributes
    ----------
    commands : Path
        The file whose `Commands` it obeys; see `measurement.process`.
    arguments : tuple of str
        What they are made from.
    python : str
        The interpreter.
    variables : mapping of str to str
        Environment variables, beyond those of this process. ``PYTHONPATH`` is never taken over.
    cpus : tuple of int
        The CPUs it is kept to by `Worker.pin`; empty for all.
    timeout : float
        Seconds that an answer may take.
    aside : bool
        Whether it runs in an empty folder of its own, not in the current one.
    """

    commands: Path
    arguments: tuple[str, ...]
    python: str
    variables: Mapping[str, str] = field(default_factory=dict)
    cpus: tuple[int, ...] = ()
    timeout: float = 120.0
    aside: bool = False


class Worker:
    """Handle of a process; leaving the context ends it.

    Whatever waits for an answer raises `LostError` if there is none, `FailedError` if the command
    raised an error, and `NotApplicableError` if that was a `NotImplementedError`.

    Parameters
    ----------
    program : Program
        What it runs.
    padding : int
        Length of a variable in its environment, which moves its stack.

    Attributes
    ----------
    cpu_time, children_time : callable
        Return the CPU seconds that the process has used, and those that it has started.
    timeout : float
        Seconds that an answer may take.
    """

    def __init__(self, program: Program, padding: int = 0) -> None:
        self._program = program
        self.timeout = program.timeout
        kept = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
        self._folder = tempfile.TemporaryDirectory(ignore_cleanup_errors=True)
        self._errors = tempfile.TemporaryFile("w+", errors="replace")  # noqa: SIM115 - see `close`
        # In a session of its own it is spared Ctrl-C, and ended by us.
        self._process = subprocess.Popen(  # noqa: S603 - our own program
            [program.python, str(_PROCESS), str(program.commands), *program.arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            text=True,
            cwd=self._folder.name if program.aside else None,
            env={**kept, **program.variables, "PADDING": "." * padding},
            start_new_session=True,
        )
        self.cpu_time = idle.cpu_time(self._process.pid)
        self.children_time = idle.children_time(self._process.pid)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def start(self, command: str, *arguments: Any) -> None:
        """Send a command; see `receive`."""
        assert self._process.stdin is not None
        # Its end is noticed when it gives no answer.
        with contextlib.suppress(OSError, ValueError):
            self._process.stdin.write(json.dumps([command, arguments]) + "\n")
            self._process.stdin.flush()

    def receive(self) -> Any:
        """Wait for an answer; a process that gives none in time is ended."""
        assert self._process.stdout is not None
        late = threading.Event()

        def end() -> None:
            late.set()
            self._process.kill()

        alarm = threading.Timer(self.timeout, end)
        # Python waits for other threads at its end: an interruption may come at any point here.
        alarm.daemon = True
        try:
            alarm.start()
            line = self._process.stdout.readline()
        except ValueError:  # closed by another thread
            line = ""
        finally:
            alarm.cancel()
        if not line.endswith("\n"):
            late_by = f"gave no answer within {self.timeout:g} s"
            raise LostError(late_by if late.is_set() else self._end())
        answer = json.loads(line)
        if "error" in answer:
            raise (NotApplicableError if answer.get("skipped") else FailedError)(answer["error"])
        return answer["answer"]

    def do(self, command: str, *arguments: Any) -> Any:
        """Send a command and wait for the answer."""
        self.start(command, *arguments)
        return self.receive()

    def warm_up(self, key: Any) -> WarmUp:
        """Find out how many calls make a turn, and make calls until they take as long as before."""
        return WarmUp(**self.do("warm_up", key))

    def turn(self, key: Any, plan: WarmUp, *, samples: int = 1, before: float = 0.5) -> list[float]:
        """Take a turn.

        Parameters
        ----------
        key : object
            What is timed.
        plan : WarmUp
            How many calls are a sample.
        samples : int
            How many samples are taken.
        before : float
            Calls that are made first and not timed, as a share of a sample's; at least one, unless
            the plan says none.

        Returns
        -------
        list of float
            Seconds per call, for each sample.
        """
        self.begin_turn(key, plan, samples, before)
        answer: list[float] = self.receive()
        return answer

    def begin_turn(self, key: Any, plan: WarmUp, samples: int, before: float) -> None:
        """Have it take a turn; see `turn`, and `receive` for its answer."""
        first = 0 if plan.fresh else max(1, int(before * plan.batch))
        self.start("turn", key, plan.batch, samples, first)

    def pin(self, *cpus: int) -> None:
        """Keep all threads there are, and those they start, to CPUs; else to the program's.

        Not before the modules are imported, which two processes do on two CPUs at once.
        """
        if chosen := cpus or self._program.cpus:
            for thread in psutil.Process(self._process.pid).threads():
                os.sched_setaffinity(thread.id, chosen)

    def close(self) -> None:
        """End the process."""
        self._process.kill()
        self._process.communicate()
        self._errors.close()
        self._folder.cleanup()

    def _end(self) -> str:
        code = self._process.wait()
        if code < 0:
            how = f"was ended by {signal.Signals(-code).name}"
        else:
            how = f"ended with exit code {code}"
        words = ""
        with contextlib.suppress(ValueError):  # closed by another thread
            self._errors.seek(0)
            words = next((x.strip() for x in reversed(self._errors.readlines()) if x.strip()), "")
        return f"its process {how}" + (f": {words}" if words else "")
