"""The graphs of dask arrays: how many tasks a chunk has, and how long it takes to build them."""

from asv_runner.benchmarks.mark import SkipNotImplemented

from xent_numba import peer
from xent_numba.operations import OPERATIONS

CHUNKS = 1_000


class _Graph:
    params = (tuple(OPERATIONS), ("sum", "none"))
    param_names = ("operation", "reduction")

    def setup(self, operation, reduction):
        if reason := peer.missing("dask", "'xent-numba[dask]'"):
            raise SkipNotImplemented(reason)
        if OPERATIONS[operation].labels is None and reduction == "sum":
            raise SkipNotImplemented(f"{operation} has nothing to be reduced")
        import dask.array as da

        import xent_numba

        self.function = getattr(xent_numba, operation)
        self.arguments = [da.full(CHUNKS, 0.5, chunks=1)]
        self.options = {}
        if OPERATIONS[operation].labels:
            self.arguments.append(da.ones(CHUNKS, dtype="i1", chunks=1))
            self.options["reduction"] = reduction
        self.build()

    def build(self):
        return self.function(*self.arguments, **self.options)


class Graph(_Graph):
    def track_tasks(self, operation, reduction):
        """Tasks that a scheduler is given, for each chunk."""
        import dask

        found = self.build()
        lazy = dask.optimize(*(found if isinstance(found, tuple) else (found,)))
        return len({key for one in lazy for key in dict(one.__dask_graph__())}) / CHUNKS

    track_tasks.unit = "tasks per chunk"


class GraphTime(_Graph):
    # Of a thousand chunks: milliseconds are microseconds for each.
    def time_graph(self, operation, reduction):
        self.build()
