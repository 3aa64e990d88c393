"""Calls of numba_cuda and their arguments, for the tests that need a GPU."""

from __future__ import annotations

import numpy as np

import xent_numba
from xent_numba.operations import OPERATIONS

LOSSES = [operation for operation in OPERATIONS.values() if operation.labels]


def call(operation, *arguments, **options):
    return getattr(xent_numba, operation.name)(*arguments, implementation="numba_cuda", **options)


def sample(operation, size, dtype, seed=5):
    rng = np.random.default_rng(seed)
    first = rng.beta(2, 2, size) if operation.first == "probabilities" else rng.normal(0, 8, size)
    if operation.labels is None:
        return (first.astype(dtype),)
    return first.astype(dtype), rng.choice(operation.labels.hard, size).astype(np.int8)
