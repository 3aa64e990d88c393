"""A failure is declared for hard labels, and goes for soft ones, which are of both classes."""

from __future__ import annotations

import numpy as np
import pytest

import xent_numba as xn
from xent_numba.known_failures import CLIFFS, KnownFailure

SOFT = (1e-5, 0.1, 0.5, 0.9)


@pytest.mark.targets(lambda t: t.operation.labels and t.operation.labels.soft)
def test_soft_labels_fail_only_where_it_is_declared(target):
    """By more than rounding; how much that may be is tested where the tables are."""
    at = CLIFFS[target.dtype.name]
    if target.operation.first == "probabilities":
        values = [0.0, 1.0, 1e-30, 1e-10, 0.1, 0.5, 0.9, 1 - 1e-6]
    else:
        ends = [1.0, 20.0, at.overflow - 1, at.overflow + 1, 1e4, at.largest, np.inf]
        values = [0.0, *ends, *(-end for end in ends)]
    for value in np.array(values, target.dtype):
        for label in SOFT:
            arguments = np.array([value]), np.array([label])
            if target.declaration.known_failure(float(value), label, target.dtype.name):
                continue
            expected = getattr(xn, target.operation.name)(
                *arguments, reduction="none", implementation="numpy_stable"
            )
            found = target(*arguments, reduction="none")
            np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-6)


def test_a_soft_label_is_of_both_classes():
    failure = KnownFailure("exp overflows", 88.8, np.inf, label=0.0)
    assert failure.covers(100.0, 0.0, "float32")
    assert failure.covers(100.0, 0.9, "float32")
    assert not failure.covers(100.0, 1.0, "float32")
    assert not failure.covers(1.0, 0.9, "float32")
    assert not failure.covers(100.0, None, "float32")
