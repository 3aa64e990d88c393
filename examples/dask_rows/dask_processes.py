"""dask on processes: numba_parallel chunk by chunk, whose samples are sent to a process.

A row for ``xent-numba compare --implementation examples/dask_rows/dask_processes.py``. The
processes are started by the first call, and end with the one that started them.
"""

from __future__ import annotations

import functools
import multiprocessing
import multiprocessing.pool
import os
from typing import Any

from xent_numba.implementations.dask_threads import in_chunks

from xent_numba.operations import OPERATIONS, Call
from xent_numba.peer import missing, threads
from xent_numba.registry import implements


def unavailable() -> str | None:
    """See `registry`."""
    return missing("dask", "'xent-numba[dask]'")


@functools.cache
def _pool(_process: int) -> multiprocessing.pool.Pool:
    # Unlike those of an executor its workers notice that their parent was killed.
    return multiprocessing.get_context("spawn").Pool(threads())


@implements(
    *OPERATIONS,
    formulation="stable",
    max_ulp={"float32": 1, "float64": 1},
    max_ulp_gradient={"float32": 1.5, "float64": 1.5},
    summary="numba_parallel on the chunks of a dask array, by the scheduler of processes.",
)
def compute(call: Call) -> Any:
    """Compute on chunks of 2^18 samples, each pickled for one of the processes."""
    return in_chunks(call, 2**18, scheduler="processes", pool=_pool(os.getpid()))
