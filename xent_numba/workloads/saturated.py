"""Half of the scores beyond ±30, with random labels: where the textbook formulas break.

The deep half is log-uniform in [30, 800] on either side. That passes every cliff: 1 + e^-s
rounding to 1 (17 in float32, 37 in float64), results that are subnormal and then zero (87 to 104,
and 708 to 745), and the overflow of e^s (89, and 710). The other half is uniform in [-30, 30].
"""

from __future__ import annotations

import numpy as np

from xent_numba.workloads.draw import Draw

NATIVE_SIZE = None


def draw(n: int, rng: np.random.Generator) -> Draw:
    """Draw `n` samples, each one deep with a probability of one half."""
    scores = rng.uniform(-30.0, 30.0, n)
    deep = rng.random(n) < 0.5
    magnitudes = np.exp(rng.uniform(np.log(30.0), np.log(800.0), np.count_nonzero(deep)))
    scores[deep] = np.copysign(magnitudes, scores[deep])
    return Draw(scores, rng.random(n) < 0.5)
