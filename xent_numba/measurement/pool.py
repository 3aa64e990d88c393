"""The workers of a run by label: started as they are needed, and only one of them computes."""

from __future__ import annotations

import collections
import threading
from collections.abc import Mapping
from typing import Any, Self

from xent_numba.measurement import idle
from xent_numba.measurement.worker import Program, WarmUp, Worker


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
        return self[label].turn(key, plan, **options)

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
