"""From how many samples on threads pay.

``python tools/measure_crossover.py`` writes ``reports/crossover.md``.

Serial and parallel kernels take turns on the same arrays. Below the crossover a parallel launch
costs more than it saves; ``kernels/cpu/threads.py`` has the figure that is used.
"""

from __future__ import annotations

import statistics
import timeit
from pathlib import Path

import numpy as np

from xent_numba.implementations import numba_parallel
from xent_numba.kernels.cpu import threads
from xent_numba.results import machine

SIZES = tuple(2**k for k in range(11, 19))
ROUNDS = 41


def medians(dtype: str, size: int) -> tuple[float, float]:
    """Microseconds of a serial and of a parallel logistic loss, summed."""
    rng = np.random.default_rng(1)
    scores = rng.normal(0, 4, size).astype(dtype)
    labels = rng.choice(np.array([-1, 1], dtype), size)
    _, _, *kernels = numba_parallel._KERNELS["logistic_loss"]
    nothing = np.empty(0, dtype)
    arguments = (scores, labels, None, nothing, None, (1.0, 1.0, 0.0), False)
    taken: list[list[float]] = [[], []]
    for turn in range(ROUNDS + 3):
        for kernel, times in zip(kernels, taken, strict=True):
            seconds = min(timeit.repeat(lambda k=kernel: k(*arguments), number=3, repeat=2)) / 3
            if turn >= 3:
                times.append(seconds)
    serial, parallel = (statistics.median(times) * 1e6 for times in taken)
    return serial, parallel


def main() -> None:
    """Measure and write the page."""
    described, commit = machine.fingerprint(), machine.commit()
    lines = [
        "# Where threads begin to pay",
        "",
        f"Microseconds of one call of the logistic loss, summed, on one thread and on "
        f"{described['usable_cpus']}: medians of {ROUNDS} rounds in turn, by",
        f"`python tools/measure_crossover.py` at {commit.get('commit', 'no commit')[:10]} on "
        f"{described['cpu']}. `kernels/cpu/threads.py` uses {threads.PARALLEL_FROM:,}: at half "
        "of that two",
        "threads gain microseconds, and a launch of more, which costs more, is not measured.",
        "",
        "| samples | float32, serial | parallel | float64, serial | parallel |",
        "| ---: | ---: | ---: | ---: | ---: |",
    ]
    for size in SIZES:
        times = [t for dtype in ("float32", "float64") for t in medians(dtype, size)]
        lines.append(f"| {size:,} | " + " | ".join(f"{t:.1f}" for t in times) + " |")
    page = Path(__file__).parents[1] / "reports" / "crossover.md"
    page.write_text("\n".join([*lines, ""]))
    print(f"wrote {page.name}")  # noqa: T201


if __name__ == "__main__":
    main()
