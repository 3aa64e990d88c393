"""Whether other processes rest, by the clocks of their CPU time.

`clock_getcpuclockid` (POSIX.1-2001) names the clock of another process; it counts nanoseconds,
where /proc counts hundredths of a second and would not see a pool that spins for a millisecond.
"""

from __future__ import annotations

import ctypes
import functools
import sys
import time
from collections.abc import Callable, Mapping

import psutil

PATIENCE = 0.5
"""Seconds to wait for rest: longer than the 200 ms for which OpenMP runtimes spin."""

_WINDOW = 0.001
_ASLEEP_BELOW = 0.0001


def cpu_time(pid: int) -> Callable[[], float]:
    """Return a clock of the CPU seconds that all threads of a process have used."""
    if sys.platform == "linux":
        clock = ctypes.c_int()
        error = ctypes.CDLL(None).clock_getcpuclockid(pid, ctypes.byref(clock))
        if error == 0:
            return functools.partial(time.clock_gettime, clock.value)
    process = psutil.Process(pid)
    return lambda: sum(process.cpu_times()[:2])


def awake(clocks: Mapping[str, Callable[[], float]], patience: float = PATIENCE) -> list[str]:
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


def _read(clock: Callable[[], float]) -> float:
    try:
        return clock()
    except (OSError, psutil.Error):  # a process that has ended rests
        return 0.0
