"""Kernels, right but for a fault, in the place of the public functions."""

from __future__ import annotations

import numpy as np
import pytest

import xent_numba


def true_sigmoid(scores):
    e = np.exp(-np.abs(scores.astype(np.float64)))
    return (np.where(scores >= 0, 1, e) / (1 + e)).astype(scores.dtype)


def true_loss(scores, labels):
    return np.logaddexp(0, -labels * scores.astype(np.float64)).astype(scores.dtype)


@pytest.fixture
def plant(monkeypatch):
    """Put kernels, right but for a fault, in the place of the public functions."""

    def put(fault):
        monkeypatch.setattr(
            xent_numba,
            "sigmoid",
            lambda scores, *, implementation: fault(scores, true_sigmoid(scores)),
        )
        monkeypatch.setattr(
            xent_numba,
            "logistic_loss",
            lambda scores, labels, *, reduction, implementation: fault(
                labels * scores, true_loss(scores, labels)
            ),
        )

    return put
