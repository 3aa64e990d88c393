"""When a parallel kernel may be launched, and how.

* Under the layer "workqueue" two threads that launch at once abort the process
  (numba#8563): launches are made one at a time.
* Under "omp" a forked child that launches is killed, because the parent's threads did not come
  along: a forked child computes on one thread. It gets the same bits.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from typing import Any

import numba

PARALLEL_FROM = 16_384
"""Samples from which all threads are faster than one; tools/measure_crossover.py measures it."""


class _Launcher:
    """The state of this process: whether it was forked, and who is launching."""

    def __init__(self) -> None:
        self.forked = False
        self.lock = threading.Lock()
        self.concurrent = False
        if hasattr(os, "register_at_fork"):
            os.register_at_fork(after_in_child=self._mark_forked)

    def _mark_forked(self) -> None:
        self.forked = True

    def launch(self, kernel: Callable[..., Any], *args: Any) -> Any:
        if self.concurrent:
            return kernel(*args)
        with self.lock:
            result = kernel(*args)
            # The layer is chosen by the first launch.
            self.concurrent = numba.threading_layer() != "workqueue"
            return result


_launcher = _Launcher()


def run(serial: Callable[..., Any], parallel: Callable[..., Any], size: int, *args: Any) -> Any:
    """Call one of two kernels that give the same bits, whichever suits size and process."""
    if size < PARALLEL_FROM or _launcher.forked:
        return serial(*args)
    return _launcher.launch(parallel, *args)
