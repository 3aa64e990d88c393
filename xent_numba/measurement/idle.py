"""Whether the machine rests: our own processes, by the clocks of their CPU time, and all others.

`clock_getcpuclockid` (POSIX.1-2001) names the clock of another process; it counts nanoseconds,
where /proc counts hundredths of a second and would not see a pool that spins for a millisecond.
"""

from __future__ import annotations

import ctypes
import functools
import sys
import time
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import psutil

PATIENCE = 0.5
"""Seconds to wait for rest: longer than the 200 ms for which OpenMP runtimes spin."""

LOADED = 0.25
"""Share of all CPUs in use by others from which on a machine is no place to time anything."""

_WINDOW = 0.001
_ASLEEP_BELOW = 0.0001
_LISTEN_SECONDS = 0.2
_LOOK_SECONDS = 1.0

Clock = Callable[[], float]


class BusyError(Exception):
    """Other programs use the machine; the message says how much of it."""


def cpu_time(pid: int) -> Clock:
    """Return a clock of the CPU seconds that all threads of a process have used."""
    if sys.platform == "linux":
        clock = ctypes.c_int()
        error = ctypes.CDLL(None).clock_getcpuclockid(pid, ctypes.byref(clock))
        if error == 0:
            return functools.partial(time.clock_gettime, clock.value)
    process = psutil.Process(pid)
    return lambda: sum(process.cpu_times()[:2])


def children_time(pid: int) -> Clock:
    """Return a clock of the CPU seconds of the processes that one has started and that ended."""
    process = psutil.Process(pid)
    return lambda: sum(process.cpu_times()[2:4])


def awake(clocks: Mapping[str, Clock], patience: float = PATIENCE) -> list[str]:
    """Wait until all rest; name those that have not come to it.

    Parameters
    ----------
    clocks : mapping of str to callable
        By the name of a process, its `cpu_time`.
    patience : float
        Seconds to wait at most.

    Returns
    -------
    list of str
        Names of the processes that still compute; empty once all rest.
    """
    until = time.monotonic() + patience
    while True:
        before = {name: _read(clock) for name, clock in clocks.items()}
        time.sleep(_WINDOW)
        busy = [n for n, clock in clocks.items() if _read(clock) - before[n] > _ASLEEP_BELOW]
        if not busy or time.monotonic() > until:
            return busy


def others_percent() -> float:
    """Share of all CPUs that is in use for the next moment; ask while all workers rest."""
    return float(psutil.cpu_percent(_LISTEN_SECONDS))


def wait_for_rest(
    patience: float,
    progress: Callable[[str, float], None],
    percent: Callable[[float], float] = psutil.cpu_percent,
) -> None:
    """Wait until other programs let the machine rest.

    Parameters
    ----------
    patience : float
        Seconds.
    progress : callable
        Called with what goes on, and the fraction that is done.
    percent : callable
        Of all CPUs, what is in use for the next seconds.

    Raises
    ------
    BusyError
        If it does not come to rest.
    """
    until = time.monotonic() + patience
    while (busy := percent(_LOOK_SECONDS) / 100) > LOADED:
        if time.monotonic() > until:
            raise BusyError(
                f"other programs use {busy:.0%} of the CPUs, after {patience:g} s of waiting; "
                f"accepted is less than {LOADED:.0%}, or --patience SECONDS to wait longer"
            )
        progress(f"waiting, other programs use {busy:.0%} of the CPUs", 0.0)


class Others:
    """What other programs use of the CPUs while this process and its workers compute.

    Parameters
    ----------
    clocks : iterable of callable
        Of the workers, their `cpu_time` and `children_time`.
    cpu_times : callable
        What all CPUs have done, as `psutil.cpu_times` has it.
    wall : callable
        A clock of seconds.
    """

    def __init__(
        self,
        clocks: Iterable[Clock],
        cpu_times: Callable[[], Any] = psutil.cpu_times,
        wall: Clock = time.monotonic,
    ) -> None:
        self._cpu_times, self._wall = cpu_times, wall
        self._clocks = [*clocks, lambda: sum(psutil.Process().cpu_times()[:2])]
        self._before = self._used()

    def share(self) -> float:
        """Share of all CPUs that others have used since this was made."""
        busy, ours, wall = (
            now - before for now, before in zip(self._used(), self._before, strict=True)
        )
        return max(0.0, busy - ours) / (wall * (psutil.cpu_count() or 1))

    def _used(self) -> tuple[float, float, float]:
        times = self._cpu_times()
        # Linux counts what guests use as user time too.
        rest = (times.idle, getattr(times, "iowait", 0.0), getattr(times, "guest", 0.0))
        return sum(times) - sum(rest), sum(map(_read, self._clocks)), self._wall()


def _read(clock: Clock) -> float:
    try:
        return clock()
    except (OSError, psutil.Error):  # a process that has ended rests
        return 0.0
