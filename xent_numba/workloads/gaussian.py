"""Scores of N(0, 4²) with random labels: the ordinary case, where hardly anything saturates."""

from __future__ import annotations

import numpy as np

from xent_numba.workloads.draw import Draw

NATIVE_SIZE = None


def draw(n: int, rng: np.random.Generator) -> Draw:
    """Draw `n` samples."""
    return Draw(rng.normal(0.0, 4.0, n), rng.random(n) < 0.5)
