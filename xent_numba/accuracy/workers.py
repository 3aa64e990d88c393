"""Processes that share work; one that dies is replaced."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import threading
import warnings
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from typing import Any, TypeVar

from xent_numba.errors import UsageError
from xent_numba.results.machine import thread_variables

T = TypeVar("T")

#: Workers compute on one thread, as the processes are the threads; and the C library keeps what is
#: freed, as memory fresh from the system costs more than what is computed in it.
_ENVIRONMENT = {
    **thread_variables(1),
    **dict.fromkeys(("MALLOC_TRIM_THRESHOLD_", "MALLOC_MMAP_THRESHOLD_"), str(1 << 28)),
}
#: Deaths in a row after which the fault is taken to be the work's.
_DEATHS = 3


class WorkersLostError(UsageError):
    """Workers die whenever they are given some work."""


class Workers:
    """Processes that share out work, on one thread each, until they are closed.

    Parameters
    ----------
    number : int
        Number of processes.
    """

    def __init__(self, number: int) -> None:
        self._number = number
        self._pool = self._fresh()

    def _fresh(self) -> ProcessPoolExecutor:
        context = multiprocessing.get_context("spawn")
        return ProcessPoolExecutor(self._number, mp_context=context, initializer=_end_with_parent)

    def results(
        self, function: Callable[..., T], tasks: Sequence[tuple[Any, ...]]
    ) -> Iterator[tuple[int, T]]:
        """Call a function with the arguments of every task.

        Parameters
        ----------
        function : callable
            One that can be pickled.
        tasks : sequence of tuple
            Arguments.

        Yields
        ------
        tuple of int and object
            The place of a task, and its result, in the order in which they are ready. What a
            process that died was at is computed again.

        Raises
        ------
        WorkersLostError
            If that goes on and nothing gets done.
        """
        remaining, deaths = set(range(len(tasks))), 0
        while remaining:
            # Processes start while work is submitted. This one keeps its environment: Numba reads
            # that whenever it compiles, and refuses another number of threads than it has.
            with _environment():
                futures = {self._pool.submit(function, *tasks[i]): i for i in sorted(remaining)}
            died = False
            for future in as_completed(futures):
                try:
                    result = future.result()
                except BrokenProcessPool:
                    died = True
                    continue
                remaining.discard(futures[future])
                deaths = 0
                yield futures[future], result
            if died:
                deaths += 1
                self._replace(deaths, len(remaining))

    def _replace(self, deaths: int, remaining: int) -> None:
        self._pool.shutdown(wait=False, cancel_futures=True)
        if deaths == _DEATHS:
            raise WorkersLostError(
                f"worker processes died {deaths} times in a row with {remaining} parts of the work "
                "left, killed by the system or by what they compute; more memory, or fewer "
                "--processes, may help, and --resume goes on from what is done"
            )
        warnings.warn(
            "a worker process died; it is replaced, and what it was at is computed again",
            RuntimeWarning,
            stacklevel=3,
        )
        self._pool = self._fresh()

    def close(self) -> None:
        """End at once, as when the work is interrupted."""
        self._pool.shutdown(wait=False, cancel_futures=True)


@contextlib.contextmanager
def _environment() -> Iterator[None]:
    """The environment of the workers, for as long as it takes to start them."""
    before = {name: os.environ[name] for name in _ENVIRONMENT if name in os.environ}
    os.environ.update(_ENVIRONMENT)
    try:
        yield
    finally:
        for name in _ENVIRONMENT:
            del os.environ[name]
        os.environ.update(before)


def _end_with_parent() -> None:
    """Do not wait for work from a parent that was killed."""
    parent = multiprocessing.parent_process()
    assert parent is not None

    def watch() -> None:
        parent.join()
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
