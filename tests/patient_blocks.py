"""Numba's simulator, waiting for its threads instead of asking them without a pause.

The simulator's own loop over the threads of a block takes half of the interpreter from them, and
holds it for milliseconds at every barrier. `test_cuda` loads this as a plugin of pytest's.
"""

from __future__ import annotations

import time

import numpy as np
from numba import config
from numba.cuda.simulator import kernel

assert config.ENABLE_CUDASIM
PAUSE = 2e-4


class PatientBlocks(kernel.BlockManager):
    """Runs the threads of a block from barrier to barrier."""

    def run(self, grid_point, *arguments):
        def target():
            self._f(*arguments)

        points = np.ndindex(*self._block_dim)
        threads = [kernel.BlockThread(target, self, grid_point, p, self._debug) for p in points]
        for thread in threads:
            thread.start()
        living = threads
        while living:
            time.sleep(PAUSE)
            living = [thread for thread in living if thread.is_alive()]
            for thread in threads:
                if thread.exception:
                    self._abort(threads)
                    raise thread.exception[0].with_traceback(thread.exception[1])
            if all(thread.syncthreads_blocked for thread in living):
                self._release(living)

    def _abort(self, threads):
        for thread in threads:
            thread.abort = True
        self._release(threads)

    def _release(self, threads):
        for thread in threads:
            thread.syncthreads_blocked = False
            thread.syncthreads_event.set()


kernel.BlockManager = PatientBlocks
