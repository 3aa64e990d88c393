"""The workers of a run: started as they are needed, preparing side by side, timed one by one."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from multiprocessing.connection import wait
from types import TracebackType
from typing import Any, Self

from xent_numba.measurement import idle, inputs
from xent_numba.measurement.case import Case
from xent_numba.measurement.participant import MEMORY_LIMIT, Contestant
from xent_numba.measurement.turns import LostError
from xent_numba.measurement.worker import PREPARE_TIMEOUT, Preparation, Worker


class Crew:
    """Workers by the label of what they compute with; leaving the context ends them all.

    Parameters
    ----------
    members : sequence of Contestant
        Those that get a worker.
    abreast : int
        Number of workers that prepare at once.
    """

    def __init__(self, members: Sequence[Contestant], abreast: int) -> None:
        self._members = {member.label: member for member in members}
        self._abreast = abreast
        self._workers: dict[str, Worker] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        for worker in self._workers.values():
            worker.close()

    def __getitem__(self, label: str) -> Worker:
        if label not in self._workers:
            self._workers[label] = Worker(self._members[label])
        return self._workers[label]

    def awake(self, label: str) -> list[str]:
        """Wait until all workers but one rest; the labels of those that do not."""
        return idle.awake({k: w.cpu_time for k, w in self._workers.items() if k != label})

    def prepare(
        self,
        entries: Mapping[Case, Sequence[str]],
        report: Callable[[float], None] = lambda fraction: None,
    ) -> dict[Case, dict[str, Preparation]]:
        """Judge members on cases.

        Parameters
        ----------
        entries : mapping of Case to sequence of str
            For each case, the labels of those that are judged on it.
        report : callable
            Called with the fraction that is done.

        Returns
        -------
        dict of Case to dict of str to Preparation
            For each case, by label. A member whose process is lost goes on with the next case in
            a process of its own.
        """
        found: dict[Case, dict[str, Preparation]] = {case: {} for case in entries}
        total = sum(map(len, entries.values()))
        with ExitStack() as memory:
            places = {
                case: memory.enter_context(inputs.shared(case.arguments())) for case in entries
            }
            todo = {
                label: deque(case for case in entries if label in entries[case])
                for label in self._members
            }
            waiting = deque(label for label, cases in todo.items() if cases)
            busy: list[str] = []
            while busy or waiting:
                while waiting and len(busy) < self._abreast:
                    busy.append(waiting.popleft())
                    self._begin(busy[-1], todo[busy[-1]][0], places)
                ready = wait([self[label].connection for label in busy], PREPARE_TIMEOUT)
                answered = [label for label in busy if self[label].connection in ready]
                # When none answers in time, the one that has worked longest is ended.
                for label in answered or busy[:1]:
                    case = todo[label].popleft()
                    found[case][label] = self._receive(label, answered=bool(answered))
                    if found[case][label].status == "crashed":
                        # What the process had prepared is gone with it.
                        todo[label] += [c for c in entries if _agreed(found[c].get(label))]
                    if todo[label]:
                        self._begin(label, todo[label][0], places)
                    else:
                        busy.remove(label)
                report(sum(map(len, found.values())) / total)
        return {case: {label: found[case][label] for label in entries[case]} for case in entries}

    def forget(self) -> None:
        """Have all let go of what they prepared."""
        for label in list(self._workers):
            try:
                self._workers[label].forget()
            except LostError:
                self._dismiss(label)

    def describe_numba(self) -> dict[str, Any]:
        """Describe what Numba uses, in the process that measures the memory limit."""
        return self[MEMORY_LIMIT].describe()

    def _begin(self, label: str, case: Case, places: Mapping[Case, Sequence[inputs.Place]]) -> None:
        try:
            self[label].start_preparing(case, places[case])
        except LostError:
            self._dismiss(label)
            self[label].start_preparing(case, places[case])

    def _receive(self, label: str, *, answered: bool) -> Preparation:
        try:
            if not answered:
                raise LostError(f"gave no answer within {PREPARE_TIMEOUT:g} s")
            preparation: Preparation = self[label].receive(timeout=0.0)
        except LostError as reason:
            self._dismiss(label)
            return Preparation("crashed", str(reason))
        return preparation

    def _dismiss(self, label: str) -> None:
        self._workers.pop(label).close()


def _agreed(preparation: Preparation | None) -> bool:
    return preparation is not None and preparation.timed
