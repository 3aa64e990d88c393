"""Calls that a number decides, and a digest of every bit that they give."""

from __future__ import annotations

import ctypes
import hashlib
import json
import os
import sys
from importlib import metadata
from typing import Any

import numpy as np

import xent_numba
from xent_numba.operations import OPERATIONS

SIZES = (1, 63, 1000, 1025, 20_011, 100_003)
DTYPES = (np.float32, np.float64)
REDUCTIONS = ("none", "sum", "mean")


def load_layer() -> None:
    """Load the wheel's TBB, which lies where no loader looks for it; once loaded it is found."""
    if os.environ.get("NUMBA_THREADING_LAYER") != "tbb":
        return
    try:
        files = metadata.distribution("tbb").files or []
    except metadata.PackageNotFoundError:
        return
    for file in files:
        if file.name == "libtbb.so.12":
            ctypes.CDLL(str(file.locate()), ctypes.RTLD_GLOBAL)


load_layer()


def inputs(operation: Any, size: int, dtype: Any, rng: Any) -> tuple[np.ndarray, ...]:
    """First argument and labels, if the operation has some; and weights."""
    probabilities = operation.first == "probabilities"
    first = (rng.random(size) if probabilities else rng.normal(0, 6, size)).astype(dtype)
    if operation.labels is None:
        return (first,)
    labels = rng.choice(operation.labels.hard, size).astype(np.int8)
    return first, labels, rng.random(size).astype(dtype) + dtype(0.5)


def call(number: int) -> str:
    """Draw operation, size, dtype, weights and reduction, compute, and digest the results."""
    rng = np.random.default_rng(number)
    operation = list(OPERATIONS.values())[number % len(OPERATIONS)]
    first, *rest = inputs(operation, int(rng.choice(SIZES)), DTYPES[rng.integers(2)], rng)
    options = {}
    if rest:
        options["reduction"] = str(rng.choice(REDUCTIONS))
        if rng.integers(2):
            options["sample_weight"] = rest[1]
    results = getattr(xent_numba, operation.name)(first, *rest[:1], **options)
    digest = hashlib.sha256()
    for result in results if isinstance(results, tuple) else (results,):
        digest.update(np.asarray(result).tobytes())
    return digest.hexdigest()


def expected(count: int) -> list[str]:
    """What the first calls give, one after the other."""
    return [call(number) for number in range(count)]


def told() -> list[int]:
    """The numbers on the command line."""
    return [int(text) for text in sys.argv[1:]]


def report(**figures: Any) -> None:
    """Tell the test what was done."""
    sys.stdout.write(json.dumps(figures) + "\n")
