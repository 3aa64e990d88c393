"""The workers of a run by label: started as they are needed, and only one of them computes."""

from __future__ import annotations

import collections
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

from xent_numba.measurement import idle
from xent_numba.measurement.worker import Program, WarmUp, Worker

SLACK = 0.01
"""Seconds of a turn that are not its calls'."""

DISTRUST = 3.0
"""How many times as much of its CPUs as its calls a turn may take; half as many calls again are not
timed."""


@dataclass(slots=True)
class Spent:
    """What turns took: seconds of the wall, and of all CPUs; and what was said of them."""

    turns: int = 0
    wall: float = 0.0
    cpu: float = 0.0
    said: float = 0.0

    def doubt(self, threads: int) -> str:
        """Why what was said cannot be; empty if it can."""
        slack = SLACK * self.turns
        # Not by the wall: a process that has to wait for a CPU between its calls is honest.
        if self.cpu > DISTRUST * threads * self.said + slack:
            return f"says that calls took {self.said:.3g} s, in turns of {self.cpu:.3g} s of a CPU"
        if self.cpu > (threads + 0.5) * self.wall + slack:
            return f"used {self.cpu / self.wall:.1f} CPUs where it was given {threads}"
        return ""


class Pool:
    """Workers by the label of what they compute with; leaving the context ends them all.

    Parameters
    ----------
    programs : mapping of str to Program
        What each worker runs.
    padding : mapping of str to int, optional
        By label, the length of a variable in the worker's environment.

    Attributes
    ----------
    disturbed : dict of str to Counter
        By label, which workers did not come to rest before a turn of that one, and before how many.
    spent : dict of str to Spent
        By label, what its turns took by clocks that are not its own.
    """

    def __init__(
        self, programs: Mapping[str, Program], padding: Mapping[str, int] | None = None
    ) -> None:
        self._programs = programs
        self._padding = padding or {}
        self._closed = False
        self._lock = threading.Lock()
        self.workers: dict[str, Worker] = {}
        self.disturbed: dict[str, collections.Counter[str]] = collections.defaultdict(
            collections.Counter
        )
        self.spent: dict[str, Spent] = collections.defaultdict(Spent)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def __getitem__(self, label: str) -> Worker:
        with self._lock:
            if self._closed:
                raise RuntimeError("the pool is closed; accepted is a use inside its context")
            if label not in self.workers:
                self.workers[label] = Worker(self._programs[label], self._padding.get(label, 0))
            return self.workers[label]

    def turn(self, label: str, key: Any, plan: WarmUp, **options: Any) -> list[float]:
        """Wait until all other workers rest, and let one take a turn; see `Worker.turn`."""
        clocks = {k: worker.cpu_time for k, worker in self.workers.items() if k != label}
        self.disturbed[label].update(idle.awake(clocks))
        worker, spent = self[label], self.spent[label]
        before, started = worker.cpu_time(), time.perf_counter()
        samples = worker.turn(key, plan, **options)
        spent.wall += time.perf_counter() - started
        spent.cpu += worker.cpu_time() - before
        spent.said += plan.batch * sum(samples)
        spent.turns += 1
        return samples

    def dismiss(self, label: str) -> None:
        """End a worker; another is started when it is needed."""
        if (worker := self.workers.pop(label, None)) is not None:
            worker.close()

    def close(self) -> None:
        """End all workers, and start none."""
        with self._lock:
            self._closed = True
        for label in list(self.workers):
            self.dismiss(label)
