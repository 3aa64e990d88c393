"""What a worker of a comparison obeys: judge one implementation on a case, and time it."""

from __future__ import annotations

import dataclasses
import gc
import importlib
import math
import time
import timeit
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy import ndarray

from xent_numba import registry
from xent_numba.measurement import binding
from xent_numba.measurement.case import Case
from xent_numba.measurement.inputs import Attached, Place
from xent_numba.measurement.participant import DEVICE_LIMIT, LIMITS, Preparation

CALIBRATION = {"goal": 0.005, "tries": 5, "settle": 0.5}
"""Seconds that a batch takes; batches of which the fastest counts; seconds for them to agree."""


class Commands:
    """The implementation in its process, with the calls that have been prepared.

    Parameters
    ----------
    name : str
        Of the implementation, the path of a file that is one, or one of `LIMITS`.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._timers: dict[Case, Callable[[int], float]] = {}
        self._attached: list[Attached] = []

    def prepare(self, case: Mapping[str, Any], places: Sequence[Sequence[Any]]) -> dict[str, Any]:
        """Judge a case, whose inputs lie in shared memory, and keep the call; a `Preparation`."""
        self._attached.append(Attached([Place(*place) for place in places]))
        prepare = self._limit if self._name in LIMITS else self._judged
        return dataclasses.asdict(prepare(Case(**case), self._attached[-1].arrays))

    def sampler(self, case: Mapping[str, Any]) -> tuple[Callable[[int], float], dict[str, Any]]:
        """Return what times a prepared case."""
        return self._timers[Case(**case)], CALIBRATION

    def forget(self) -> None:
        """Let go of all cases."""
        self._timers.clear()
        gc.collect()
        while self._attached:
            self._attached.pop().close()

    def describe(self) -> dict[str, Any]:
        """Describe what Numba uses in this process."""
        from xent_numba.codegen import cpu_target

        return cpu_target.describe()

    def _judged(self, case: Case, inputs: tuple[ndarray, ...]) -> Preparation:
        implementation = registry.get(self._name_of_file() or self._name)
        if reason := binding.unavailable(implementation):
            return Preparation("unavailable", reason)
        if case.operation not in implementation.operations:
            return Preparation("n/a", f"does not compute {case.operation}")
        started = time.perf_counter()
        try:
            call = binding.bind(implementation, case, inputs)
            call()
        except Exception as error:  # noqa: BLE001 - an implementation may raise anything
            return Preparation("wrong", f"raised {type(error).__name__}: {error}")
        first_call = time.perf_counter() - started
        verdict = binding.judge_call(implementation, case, inputs, call)
        if verdict.ok:
            self._timers[case] = implementation.timer(call)
        return Preparation(
            "wrong" if not verdict.ok else "partly" if verdict.reason else "ok",
            verdict.reason,
            verdict.max_ulp if math.isfinite(verdict.max_ulp) else None,
            verdict.max_ulp_gradient if math.isfinite(verdict.max_ulp_gradient) else None,
            first_call,
        )

    def _limit(self, case: Case, inputs: tuple[ndarray, ...]) -> Preparation:
        started = time.perf_counter()
        bind = _of_device if self._name == DEVICE_LIMIT else _of_memory
        seconds = self._timers[case] = bind(case, inputs)
        seconds(1)
        return Preparation("ok", first_call_seconds=time.perf_counter() - started)

    def _name_of_file(self) -> str:
        """Make a user's file an implementation of this process; its name, empty if it is none."""
        if not self._name.endswith(".py"):
            return ""
        path = Path(self._name).resolve()
        folders = importlib.import_module("xent_numba.implementations").__path__
        if str(path.parent) not in folders:
            folders.append(str(path.parent))
            importlib.invalidate_caches()
        return path.stem


def _of_memory(case: Case, inputs: tuple[ndarray, ...]) -> Callable[[int], float]:
    from xent_numba.kernels.cpu import memory_limit

    per_sample = case.reduction == "none"
    return timeit.Timer(memory_limit.bind(inputs, per_sample, case.table_entry.gradient)).timeit


def _of_device(case: Case, inputs: tuple[ndarray, ...]) -> Callable[[int], float]:
    """Time a copy that reads and writes, together, the bytes of the case; never zeros."""
    from xent_numba.kernels.cuda import events

    half = max(1, case.bytes_moved // 2)
    return events.timer(events.copying(np.resize(inputs[0].view(np.uint8), half)))
