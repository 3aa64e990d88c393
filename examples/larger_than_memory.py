"""The mean loss of more samples than memory holds: two .npy files, read chunk by chunk.

``python examples/larger_than_memory.py scores.npy labels.npy`` prints it; the labels are -1 and +1.
"""

# ruff: noqa: T201 - an example shows its results

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import Any

import dask.array as da
import numpy as np
from dask.diagnostics import ProgressBar
from numpy import ndarray

from xent_numba import logistic_loss

CHUNK = 2**22


class NpyFile:
    """A .npy file of one dimension, mapped anew for each chunk and let go with it.

    Of a map that is kept, all that was read stays resident until the system needs the memory.
    """

    ndim = 1

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        mapped = self._map("cannot be opened")
        self.shape, self.dtype = mapped.shape, mapped.dtype

    def __getitem__(self, place: tuple[slice]) -> ndarray:
        (part,) = place
        return self._map(f"cannot be read at samples {part.start} to {part.stop}")[part]

    def _map(self, problem: str) -> Any:
        try:
            return np.load(self.path, mmap_mode="r")
        except (OSError, ValueError, EOFError) as error:
            raise OSError(
                f"{self.path} {problem} ({error}); accepted is a whole .npy file"
            ) from None


def lazily(path: str | Path, chunk: int = CHUNK) -> da.Array:
    """The samples of a file as a dask array."""
    return da.from_array(NpyFile(path), chunks=chunk, inline_array=True)


def main(paths: list[str]) -> None:
    """Open, compute, print."""
    if len(paths) != 2:
        raise SystemExit("usage: larger_than_memory.py scores.npy labels.npy")
    start = time.perf_counter()
    try:
        scores, labels = map(lazily, paths)
        with ProgressBar():
            loss = logistic_loss(scores, labels).compute()
    except (OSError, TypeError, ValueError) as error:
        raise SystemExit(str(error)) from None
    print(f"{scores.size} samples, mean loss {loss!r}, {time.perf_counter() - start:.2f} s")


if __name__ == "__main__":
    main(sys.argv[1:])
