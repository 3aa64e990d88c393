"""What the adapters of other libraries share: availability, threads, and where exp breaks."""

from __future__ import annotations

import math
import os
from collections.abc import Callable
from importlib import util
from typing import Any, NamedTuple

import numpy as np
from numpy import ndarray

REDUCE: dict[str, Callable[[ndarray], Any]] = {"none": np.asarray, "sum": np.sum, "mean": np.mean}


class Cliffs(NamedTuple):
    """Where an exponential breaks, as the smallest float at which it does.

    Attributes
    ----------
    overflow : float
        exp(x) is infinite.
    subnormal : float
        exp(-x) is subnormal.
    zero : float
        exp(-x) is the smallest subnormal.
    largest : float
        Largest finite float.
    """

    overflow: float
    subnormal: float
    zero: float
    largest: float

    def vanishes(self, ulp: float) -> float:
        """Return the x from which on zero is within `ulp` steps of exp(-x)."""
        return self.zero - math.log(ulp)


CLIFFS = {
    "float32": Cliffs(88.722839, 87.336545, 149 * math.log(2), float(np.finfo(np.float32).max)),
    "float64": Cliffs(
        709.7827128933841, 708.3964185322642, 1074 * math.log(2), float(np.finfo(np.float64).max)
    ),
}


def missing(package: str, install: str) -> str | None:
    """Say what to install where `package` cannot be found; nothing is imported."""
    if util.find_spec(package) is None:
        return f"{package} is not installed: pip install {install}"
    return None


def threads() -> int:
    """Return the number of threads every library gets: the one that Numba takes."""
    try:
        available = len(os.sched_getaffinity(0))
    except AttributeError:  # not on macOS and Windows
        available = os.cpu_count() or 1
    return int(os.environ.get("NUMBA_NUM_THREADS") or available)


def bind_filled(
    fill: Callable[..., ndarray], inputs: tuple[ndarray, ...], reduction: str
) -> Callable[[], Any]:
    """Bind ``fill(first, labels, out)`` to contiguous arrays of one dtype, `out` allocated once."""
    first, *labels = (np.ascontiguousarray(array, inputs[0].dtype) for array in inputs)
    out = np.empty_like(first)
    reduce = REDUCE[reduction]
    return lambda: reduce(fill(first, *labels, out))
