"""What checking costs is measured with sums that look at labels, and with the same that do not."""

from __future__ import annotations

import numpy as np
import pytest

from tools import measure_validation
from xent_numba.kernels.cpu import partials
from xent_numba.kernels.cpu.teams import ALONE


def test_one_of_the_two_looks_at_labels():
    first = np.full(measure_validation.SAMPLES, 0.5)
    labels = np.full(first.size, 7, np.int8)
    arguments = first, labels, None, first[:0], None, ((1.0, 1.0, 0.0), False), np.empty(0), ALONE
    loops = [measure_validation.compiled("binary_cross_entropy", c) for c in (True, False)]
    assert [loop(*arguments)[0] for loop in loops] == [partials.BAD_VALUE, partials.OK]
    times = measure_validation.measure("binary_cross_entropy", "float64", "int8", rounds=1)
    assert min(times) > 0


def test_sums_that_differ_are_not_compared(monkeypatch):
    loops = iter((lambda *arguments: (0, 1.0), lambda *arguments: (0, 2.0)))
    monkeypatch.setattr(measure_validation, "compiled", lambda *arguments: next(loops))
    with pytest.raises(RuntimeError, match="differs without its checks"):
        measure_validation.measure("binary_cross_entropy", "float32", "int8")
