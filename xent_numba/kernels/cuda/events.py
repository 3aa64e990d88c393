"""Time by the clock of a GPU: between events before and after what is queued for it.

The work of every library that is timed is on the default stream of the context that all share.
Nothing here needs Numba.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np

from xent_numba.kernels.cuda import arrays, launch

CLEARED = 2
"""Times the size of the cache that is overwritten, so that nothing of a call before is left."""
QUEUED = 64
"""Calls that are queued before the device is waited for, which its queue holds."""


class Clock:
    """Seconds by events on the default stream, as asv's ``timer``.

    An event is recorded at each reading and waited for. Nothing of CUDA is touched before the
    first; differences are added in float64, as an event's own float32 would lose digits.
    """

    def __init__(self) -> None:
        self._before: Any = None
        self._seconds = 0.0

    def __call__(self) -> float:
        """Return the time."""
        now = launch.machine.Event()
        since = now.seconds_since(self._before or now)
        self._before = now
        self._seconds += since
        return self._seconds


def timer(call: Callable[[], Any]) -> Callable[[int], float]:
    """Return what makes so many calls, each with a cold cache, and returns their seconds.

    While the device overwrites its cache the host queues the call: what takes the host less time
    than that is not in the figure.

    Parameters
    ----------
    call : callable
        Queues work on the default stream, and waits for nothing.

    Returns
    -------
    callable
        Takes the number of calls.
    """
    room = scrubbed(launch.machine.current_device())

    def seconds(number: int) -> float:
        total = 0.0
        for start in range(0, number, QUEUED):
            spans = []
            for _ in range(min(QUEUED, number - start)):
                launch.machine.clear(room.address, _cleared())
                before = launch.machine.Event()
                call()
                spans.append((before, launch.machine.Event()))
            total += sum(after.seconds_since(before) for before, after in spans)
        return total

    return seconds


def copying(source: np.ndarray) -> Callable[[], Any]:
    """Return a call by which the driver copies on the device what it was given to begin with."""
    held = arrays.to_device(source)
    target = arrays.room_for(held.shape, held.number)

    def copy() -> None:
        launch.machine.copy(target.address, held.address, source.nbytes)

    return copy


def _cleared() -> int:
    return max(1, CLEARED * launch.machine.cache_bytes())


@cache
def scrubbed(device: int) -> Any:
    """Return memory of a device that is overwritten to clear its cache."""
    return launch.machine.Memory(_cleared())
