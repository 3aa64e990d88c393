"""What a worker of a comparison obeys: judge one implementation on a case, and time it."""

from __future__ import annotations

import dataclasses
import gc
import importlib
import itertools
import math
import sys
import time
import traceback
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import psutil
from numpy import ndarray

from xent_numba import registry
from xent_numba.measurement import binding
from xent_numba.measurement.case import Case
from xent_numba.measurement.inputs import Attached, Place
from xent_numba.measurement.participant import DEVICE_LIMIT, LIMITS, Preparation
from xent_numba.measurement.recheck import parts
from xent_numba.registry import Implementation

CALIBRATION = {"goal": 0.005, "tries": 5, "settle": 0.5}
"""Seconds that a batch takes; batches of which the fastest counts; seconds for them to agree."""

MEMORY_SHARE = 0.5
"""Of the memory that is free when a worker starts, what it may allocate."""

_SWITCH, _NO_SWITCH = sys.getswitchinterval(), 60.0
"""Seconds that other threads of Python wait for their turn, and while results are kept."""

_clock = time.perf_counter


class _Timed:
    """A call that is timed, and what the last one returned when it is asked for.

    Parameters
    ----------
    case : Case
        What it computes.
    call : callable
        What `binding.bind` returned.
    implementation : Implementation, optional
        Whose call it is: it may have a clock, and arrays, of a device.
    seconds : callable, optional
        Makes a number of calls and returns their seconds, by another clock than the host's.
    """

    def __init__(
        self,
        case: Case,
        call: Callable[[], Any],
        implementation: Implementation | None = None,
        seconds: Callable[[int], float] | None = None,
    ) -> None:
        self._case, self._implementation = case, implementation
        self._seconds = seconds
        self.bind(call)
        self._indices: Sequence[int] | None = None
        self._outputs: list[ndarray] = []
        self.kept: dict[str, Any] = {}

    def bind(self, call: Callable[[], Any]) -> None:
        """Take another call in the place of the one before."""
        self.call = call
        if self._implementation and hasattr(self._implementation.module, "timer"):
            self._seconds = self._implementation.module.timer(call)

    def sample(self, number: int) -> float:
        """Seconds of a number of calls."""
        if self._seconds:
            seconds = self._seconds(number)
            if self._indices is not None:
                self._empty(self._indices)
                self._keep(self.call(), self._indices)
                sys.setswitchinterval(_SWITCH)
            return seconds
        call, collects = self.call, gc.isenabled()
        gc.disable()
        try:
            # Of two results that live at once, one would lie in memory that is new.
            others = itertools.repeat(None, number - 1)
            started = _clock()
            for _ in others:
                call()
            if self._indices is not None:
                self._empty(self._indices)
            result = call()
            seconds = _clock() - started
            if self._indices is not None:
                self._keep(result, self._indices)
        finally:
            sys.setswitchinterval(_SWITCH)
            if collects:
                gc.enable()
        return seconds

    def keep(self, indices: Sequence[int]) -> None:
        """Keep some of what the next last call returns, of outputs that hold nothing right."""
        self._outputs = [
            array
            for array in parts(self._case, self.call()).values()
            if isinstance(array, ndarray) and array.shape and array.flags.writeable
        ]
        self._indices = indices

    def _empty(self, indices: Sequence[int]) -> None:
        # No thread that an earlier call has started shall fill them until they are kept. Those that
        # wait already have their turn in the pause, and when a large array is filled.
        sys.setswitchinterval(_NO_SWITCH)
        time.sleep(2 * _SWITCH)
        while not all(np.isnan(array.ravel()[list(indices)]).all() for array in self._outputs):
            for array in self._outputs:
                array.fill(np.nan)

    def _keep(self, result: Any, indices: Sequence[int]) -> None:
        # At once: what is written later is late.
        fetched = self._implementation.on_host(result) if self._implementation else result
        for kind, array in parts(self._case, fetched).items():
            if kind != "reduced":
                self.kept[kind] = np.asarray(array).ravel()[list(indices)].tolist()
            else:
                self.kept[kind] = None if array is None else float(array)


class Commands:
    """The implementation in its process, with the calls that have been prepared.

    Parameters
    ----------
    name : str
        Of the implementation, the path of a file that is one, or one of `LIMITS`.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._calls: dict[Case, _Timed] = {}
        self._attached: dict[Case, Attached] = {}
        _limit_memory()

    def prepare(self, case: Mapping[str, Any], places: Sequence[Sequence[Any]]) -> dict[str, Any]:
        """Judge a case, whose inputs lie in shared memory, and keep the call; a `Preparation`."""
        this = Case(**case)
        self._attached[this] = Attached([Place(*place) for place in places])
        prepare = self._limit if self._name in LIMITS else self._judged
        return dataclasses.asdict(prepare(this, self._attached[this].arrays))

    def sampler(self, case: Mapping[str, Any]) -> tuple[Callable[[int], float], dict[str, Any]]:
        """Return what times a prepared case."""
        return self._calls[Case(**case)].sample, CALIBRATION

    def keep(self, case: Mapping[str, Any], indices: Sequence[int]) -> None:
        """Keep results of the next turn, at some indices; its inputs are others than before."""
        this = Case(**case)
        timed = self._calls[this]
        found = registry.get(self._name_of_file() or self._name)
        if not self._name.endswith(".py") or hasattr(found.module, "on_host"):
            # Those of the package, and those with a device, may hold a copy of their inputs.
            timed.bind(binding.bind(found, this, self._attached[this].arrays))
        timed.keep(indices)

    def kept(self, case: Mapping[str, Any]) -> dict[str, Any]:
        """Return what was kept of the last call of the last turn."""
        return self._calls[Case(**case)].kept

    def forget(self) -> None:
        """Let go of all cases."""
        self._calls.clear()
        gc.collect()
        while self._attached:
            self._attached.popitem()[1].close()

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
            where = _place(error, self._name)
            return Preparation("wrong", f"raised {type(error).__name__}: {error}{where}")
        first_call = time.perf_counter() - started
        verdict = binding.judge_call(implementation, case, inputs, call)
        if verdict.ok:
            self._calls[case] = _Timed(case, call, implementation)
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
        self._calls[case] = bind(case, inputs)
        self._calls[case].sample(1)
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


def _limit_memory() -> None:
    """Have an allocation fail that would leave nothing for anyone else, where the system can."""
    if sys.platform == "linux":
        import resource

        # What CUDA reserves and never touches is not counted as data.
        most = int(MEMORY_SHARE * psutil.virtual_memory().available)
        resource.setrlimit(resource.RLIMIT_DATA, (most, most))


def _place(error: BaseException, name: str) -> str:
    """Where in a user's file an error was raised; empty if it was elsewhere."""
    file, frames = Path(name).resolve(), traceback.extract_tb(error.__traceback__)
    lines = [frame.lineno for frame in frames if Path(frame.filename) == file]
    return f" ({file.name}, line {lines[-1]})" if lines else ""


def _of_memory(case: Case, inputs: tuple[ndarray, ...]) -> _Timed:
    from xent_numba.kernels.cpu import memory_limit

    per_sample = case.reduction == "none"
    return _Timed(case, memory_limit.bind(inputs, per_sample, case.table_entry.gradient))


def _of_device(case: Case, inputs: tuple[ndarray, ...]) -> _Timed:
    """Time a copy that reads and writes, together, the bytes of the case; never zeros."""
    from xent_numba.kernels.cuda import events

    half = max(1, case.bytes_moved // 2)
    copy = events.copying(np.resize(inputs[0].view(np.uint8), half))
    return _Timed(case, copy, None, events.timer(copy))
