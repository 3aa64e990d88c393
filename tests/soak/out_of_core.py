"""More samples than the memory that a process may take: the time and memory of their mean loss.

Scores and labels lie in two .npy files, which are made here, and deleted. In each round the same
chunks are read and summed by NumPy, and read and their loss computed, one after the other; once as
the files lie in the system's cache, and once after they were dropped from it.
"""

from __future__ import annotations

import os
import runpy
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import dask
import numpy as np
from trial import report, told

import xent_numba

ROOT = Path(__file__).parents[2]
BLOCK = 2**22
BYTES = 5
"""Of a sample: a float32 score, an int8 label."""
ROUNDS = 5
WHOLE = """
import sys, numpy as np, xent_numba
scores, labels = (np.load(path, mmap_mode="r") for path in sys.argv[1:])
print(xent_numba.logistic_loss(scores, labels).tobytes().hex())
"""


def written(folder: Path, name: str, size: int, block: np.ndarray) -> Path:
    """A file of `size` samples that repeats a block, each time turned a little further."""
    path = folder / f"{name}.npy"
    header = {"shape": (size,), "fortran_order": False, "descr": block.dtype.str}
    with path.open("wb") as file:
        np.lib.format.write_array_header_1_0(file, header)
        for start in range(0, size, BLOCK):
            np.roll(block, start // BLOCK)[: size - start].tofile(file)
        file.flush()
        os.fsync(file.fileno())
    return path


def drop(paths: list[Path]) -> None:
    """Let the system's cache forget the files."""
    for path in paths:
        with path.open("rb") as file:
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def sums(scores: np.ndarray, labels: np.ndarray) -> np.ndarray:
    return np.array([scores.sum() + labels.sum()])


def high_water() -> int:
    """Most bytes that have been resident in this process."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM"))


def seconds(lazy: object) -> tuple[float, object]:
    start = time.perf_counter()
    (value,) = dask.compute(lazy, scheduler="threads")
    return time.perf_counter() - start, value


def measure(size: int, paths: list[Path]) -> dict[str, object]:
    lazily = runpy.run_path(str(ROOT / "examples" / "larger_than_memory.py"))["lazily"]
    scores, labels = map(lazily, paths)
    read = scores.map_blocks(sums, labels, chunks=((1,) * scores.npartitions,), dtype=float)
    loss = xent_numba.logistic_loss(scores, labels)
    dask.compute(read.blocks[0], xent_numba.logistic_loss(scores[:9999], labels[:9999]))
    figures: dict[str, object] = {}
    for state in ("cached", "dropped"):
        rounds = []
        for _ in range(ROUNDS if state == "cached" else 2):
            times = []
            for lazy in (read, loss):
                if state == "dropped":
                    drop(paths)
                taken, value = seconds(lazy)
                times.append(taken)
            rounds.append(times)
        figures[f"read_seconds_{state}"] = min(r for r, _ in rounds)
        figures[f"loss_seconds_{state}"] = min(t for _, t in rounds)
        ratio = statistics.median(r / t for r, t in rounds)
        figures[f"share_of_reading_speed_{state}"] = ratio
    figures["mean_loss"] = float(value)
    figures["bits"] = value.tobytes().hex()
    return figures


def main() -> None:
    (size,) = told()
    room = shutil.disk_usage(tempfile.gettempdir()).free
    if room < 2 * BYTES * size + 2**30:
        report(samples=size, lacks=f"{room} bytes are free")
        return
    rng = np.random.default_rng(size)
    block = rng.normal(0, 4, BLOCK).astype(np.float32)
    with tempfile.TemporaryDirectory() as folder:
        paths = [
            written(Path(folder), "scores", size, block),
            written(Path(folder), "labels", size, rng.choice([-1, 1], BLOCK).astype(np.int8)),
        ]
        before = high_water()
        figures = measure(size, paths)
        figures |= {"resident_bytes": high_water(), "resident_bytes_before": before}
        whole = [sys.executable, "-c", WHOLE, *map(str, paths)]
        found = subprocess.run(whole, capture_output=True, text=True, check=True).stdout.strip()
    report(samples=size, same_bits_as_numpy=found == figures.pop("bits"), **figures)


if __name__ == "__main__":
    main()
