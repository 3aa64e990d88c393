"""The climb finds what no sample hit."""

from __future__ import annotations

import numpy as np
import pytest
from planted import plant

from xent_numba.accuracy.search import climb
from xent_numba.accuracy.sweep import Quantity

__all__ = ["plant"]

SIGMOID = Quantity("planted", "sigmoid", "float32")


@pytest.mark.parametrize("sign", [1, -1])
def test_climb_finds_a_peak_that_no_sample_hit(plant, sign):
    def fault(scores, values):
        # A bump of 40 ULP: random samples miss its top, its slope leads there.
        with np.errstate(all="ignore"):
            height = 40 * np.exp(-np.abs(sign * scores - 1.2345) * 20)
        return (values + height * 2.0**-24).astype(np.float32)

    plant(fault)
    start = np.linspace(0.5, 2, 8, dtype=np.float32)
    found, end = climb(SIGMOID, sign * start, 30)
    assert found.max_ulp > 39
    assert np.abs(sign * end - 1.2345).min() < 1e-3
