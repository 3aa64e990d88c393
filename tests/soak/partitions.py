"""Sums of arrays that are cut at random: how many have other bits than the NumPy call on the whole.

And what being cut costs: bytes of partial results, and time beside one call on one thread.
"""

from __future__ import annotations

import pickle
import statistics
import sys
import time
from functools import partial
from pathlib import Path

import numpy as np
from trial import report, told

sys.path.insert(0, str(Path(__file__).parents[1]))

from test_dask_sums import LOSSES, differing

from xent_numba import logistic_loss, piecewise
from xent_numba.kernels.cpu import threads

LABEL_DTYPES = ("int8", "bool", "float32", "float64", "int64")
CHUNK = 2**20 + 777
ROUNDS = 15


def cost(dtype: str, reduction: str) -> dict[str, float]:
    """Bytes a section of 2,048 samples, and percent of time, of four chunks off the sections."""
    size = 4 * CHUNK
    rng = np.random.default_rng(1)
    scores = rng.normal(0, 4, size).astype(dtype)
    labels = rng.choice([-1, 1], size).astype(np.int8)
    sums = piecewise.Sums(
        "logistic_loss", "numba_parallel", (size,), scores.dtype.str, reduction == "mean", False
    )

    def in_pieces() -> tuple[object, list[object]]:
        parts = [
            piecewise.losses_of_chunk(sums, (slice(i, i + CHUNK),), scores[i : i + CHUNK],
                                      labels[i : i + CHUNK])
            for i in range(0, size, CHUNK)
        ]  # fmt: skip
        return piecewise.finish_losses(sums, piecewise.join_losses(sums, parts)), parts

    def alone() -> object:
        with threads.alone():
            return logistic_loss(scores, labels, reduction=reduction)

    times = []
    for turn in range(ROUNDS + 1):
        taken = []
        for compute in (alone, in_pieces):
            start = time.perf_counter()
            compute()
            taken.append(time.perf_counter() - start)
        if turn:
            times.append(taken)
    total, parts = in_pieces()
    assert total == alone()
    sent = statistics.mean(len(pickle.dumps(part)) for part in parts)
    name = f"{dtype}_{reduction}"
    return {
        f"bytes_a_section_{name}": sent / (CHUNK / 2048),
        f"percent_of_time_{name}": 100 * (statistics.median(b / a for a, b in times) - 1),
    }


def main() -> None:
    (count,) = told()
    # A short trial compiles no more than other tests do.
    draw = partial(differing, label_dtypes=LABEL_DTYPES if count > 100 else ("int8",))
    start = time.perf_counter()
    different = sum(
        draw(np.random.default_rng((2, number)), LOSSES[number % len(LOSSES)])
        for number in range(count)
    )
    figures = {"partitions": count, "different": different}
    figures["seconds"] = time.perf_counter() - start
    for dtype in ("float32", "float64"):
        for reduction in ("sum", "mean"):
            figures |= cost(dtype, reduction)
    report(**figures)


if __name__ == "__main__":
    main()
