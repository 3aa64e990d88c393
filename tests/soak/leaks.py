"""Calls of every kind, and calls that fail: memory does not grow."""

import gc
import os
from pathlib import Path

import numpy as np
from trial import DTYPES, inputs, report, told

import xent_numba
from xent_numba.operations import OPERATIONS

PAGE = os.sysconf("SC_PAGESIZE")


def resident() -> int:
    gc.collect()
    return int(Path("/proc/self/statm").read_text().split()[1]) * PAGE


def main() -> None:
    (wanted,) = told()
    rng = np.random.default_rng(0)
    kinds = [
        (getattr(xent_numba, operation.name), inputs(operation, size, dtype, rng)[:2])
        for operation in OPERATIONS.values()
        for dtype in DTYPES
        for size in (1, 1500)
    ]
    kinds.append((xent_numba.sigmoid, (np.zeros(20_000),)))
    calls = failed = 0

    def round_() -> None:
        nonlocal calls, failed
        for function, arguments in kinds:
            function(*arguments)
        try:
            xent_numba.logistic_loss(np.zeros(3), np.array([1, 1, 2], np.int8))
        except ValueError:
            failed += 1
        calls += len(kinds) + 1

    for _ in range(200):
        round_()
    before = resident()
    while calls < wanted:
        round_()
    report(calls=calls, failed=failed, grown_bytes=resident() - before)


main()
