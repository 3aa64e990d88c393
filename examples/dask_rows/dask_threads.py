"""dask on threads: numba_parallel chunk by chunk, a chunk a task, the graph built in each call.

A row for ``xent-numba compare --implementation examples/dask_rows/dask_threads.py``.
"""

from __future__ import annotations

from typing import Any

from xent_numba import api
from xent_numba.operations import OPERATIONS, Call
from xent_numba.peer import missing, threads
from xent_numba.registry import implements


def unavailable() -> str | None:
    """See `registry`."""
    return missing("dask", "'xent-numba[dask]'")


def in_chunks(call: Call, samples: int, **schedule: Any) -> Any:
    """Compute by the public function on dask arrays with about as many `samples` in a chunk."""
    import dask
    import dask.array as da

    operation, first, *rest, reduction, out, grad_out = call
    rows = max(1, samples * len(first) // max(first.size, 1)) if first.ndim else 1
    chunks = (rows, *first.shape[1:]) if first.ndim else ()
    first, *rest = (a if a is None else da.from_array(a, chunks=chunks) for a in (first, *rest))
    options = {"sample_weight": rest.pop(), "reduction": reduction} if operation.labels else {}
    function = getattr(api, operation.name)
    lazy = function(first, *rest[: operation.labels is not None], **options)
    found = dask.compute(lazy, **schedule)[0]
    losses, gradient = found if operation.gradient else (found, None)
    if gradient is not None:
        grad_out[...] = gradient
    if reduction != "none":
        return losses
    out[...] = losses
    return out


@implements(
    *OPERATIONS,
    formulation="stable",
    max_ulp={"float32": 1, "float64": 1},
    max_ulp_gradient={"float32": 1.5, "float64": 1.5},
    summary="numba_parallel on the chunks of a dask array, by the scheduler of threads.",
)
def compute(call: Call) -> Any:
    """Compute on chunks of 2^18 samples, which two threads take in turn."""
    return in_chunks(call, 2**18, scheduler="threads", num_workers=threads())
