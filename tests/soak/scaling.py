"""A mean loss by a cluster of one process and of two, and what a chunk costs beside its samples.

Strong: the same samples. Weak: the same samples for each. The overhead is the slope of the time
over the number of chunks that the same samples are cut into.
"""

from __future__ import annotations

import os
import pickle
import runpy
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import dask
import numpy as np
from out_of_core import BLOCK, high_water, written
from trial import report, told

import xent_numba
from xent_numba import piecewise

ROOT = Path(__file__).parents[2]
ROUNDS = 5
CUTS = (8, 32, 128)


def median_seconds(compute: Callable[[], Any]) -> float:
    compute()
    times = []
    for _ in range(ROUNDS):
        start = time.perf_counter()
        compute()
        times.append(time.perf_counter() - start)
    return statistics.median(times)


def slope(loss: Callable[[int], Any], size: int, **schedule: Any) -> float:
    """Seconds of one chunk more."""
    times = [
        median_seconds(lambda c=cut: dask.compute(loss(-(-size // c)), **schedule)) for cut in CUTS
    ]
    return float(np.polyfit(CUTS, times, 1)[0])


def bytes_of_partials(chunk: int) -> int:
    """What the task of a chunk, in the middle of 10^12 samples, gives to the next one."""
    size = 10**12
    sums = piecewise.Sums("logistic_loss", "numba_parallel", (size,), "<f4", True, False)
    start = size // 2 + 777
    scores, labels = np.zeros(chunk, np.float32), np.ones(chunk, np.int8)
    place = (slice(start, start + chunk),)
    return len(pickle.dumps(piecewise.losses_of_chunk(sums, place, scores, labels)))


def clusters(loss: Callable[..., Any], size: int, chunk: int) -> dict[str, Any]:
    from distributed import Client, LocalCluster

    figures: dict[str, Any] = {}
    for workers in (1, 2):
        with (
            tempfile.TemporaryDirectory() as folder,
            LocalCluster(
                n_workers=workers, threads_per_worker=1, host="127.0.0.1",
                dashboard_address=None, local_directory=folder,
            ) as cluster,
            Client(cluster) as client,
        ):  # fmt: skip
            samples = {"strong": size, "weak": size * workers // 2}
            for name, count in samples.items():
                lazy = loss(chunk, count)
                figures[f"{name}_seconds_{workers}"] = median_seconds(lambda x=lazy: x.compute())
            resident = client.run(high_water)
            figures[f"resident_bytes_{workers}"] = max(resident.values())
            if workers == 2:
                figures["seconds_a_chunk_cluster"] = slope(loss, size)
    return figures


def main() -> None:
    size, chunk = told()
    lazily = runpy.run_path(str(ROOT / "examples" / "larger_than_memory.py"))["lazily"]
    rng = np.random.default_rng(size)
    with tempfile.TemporaryDirectory() as folder:
        blocks = {
            "scores": rng.normal(0, 4, BLOCK).astype(np.float32),
            "labels": rng.choice([-1, 1], BLOCK).astype(np.int8),
        }
        paths = [written(Path(folder), name, size, block) for name, block in blocks.items()]

        def loss(chunk: int, count: int = size) -> Any:
            arrays = [lazily(path, chunk)[:count] for path in paths]
            return xent_numba.logistic_loss(*arrays)

        figures = clusters(loss, size, chunk)
        figures["seconds_a_chunk_threads"] = slope(loss, size, scheduler="threads")
    report(
        samples=size,
        chunk=chunk,
        cpus=len(os.sched_getaffinity(0)),
        samples_a_second_of_one_worker=size / figures["strong_seconds_1"],
        bytes_of_partials=bytes_of_partials(chunk),
        **figures,
    )


if __name__ == "__main__":
    main()
