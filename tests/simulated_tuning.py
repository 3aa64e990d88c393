"""What is timed on a GPU, in the simulator: its results; `test_cuda` runs this."""

from __future__ import annotations

import math
from types import SimpleNamespace

import numpy as np
import pytest
import simulated_arrays
from numba import config, cuda
from simulated_cuda import Elsewhere

from tools import cuda_tuning
from xent_numba.implementations import numba_cuda
from xent_numba.kernels.cuda import device
from xent_numba.kernels.cuda.passes import ERROR, LAYOUT, SUM, Layout

assert config.ENABLE_CUDASIM


@pytest.mark.parametrize("case", cuda_tuning.CASES, ids=lambda case: case.name)
def test_the_calls_of_the_tuning_script_compute_what_they_should(case):
    host = case.inputs(40)
    sets = [tuple(map(device.upload, case.inputs(40, shift))) for shift in range(2)]
    for layout in (LAYOUT, Layout(128, 16, 8)):
        first, second = cuda_tuning.kernel_calls(case, sets, layout, device)
        assert cuda_tuning.disagreement(case, host, first, device) is None
        other = tuple(array[::-1].copy() for array in host)
        if case.labels is None:
            assert cuda_tuning.disagreement(case, other, second, device)
    host[0][3] += 1
    assert cuda_tuning.disagreement(case, host, first, device)
    bare, _ = cuda_tuning.kernel_calls(case, sets, LAYOUT, device, arithmetic=False)
    moved = device.download(bare())
    scores = device.download(sets[0][0])
    if case.labels is None:
        np.testing.assert_array_equal(moved, scores)
    else:
        assert moved[SUM] + moved[ERROR] == math.fsum(scores)


elsewhere = simulated_arrays.elsewhere


def test_a_captured_sigmoid_neither_allocates_nor_waits(elsewhere, monkeypatch):
    log = elsewhere

    class Stream:
        ptr = 64

        def __enter__(self):
            return self

        def __exit__(self, *error):
            pass

        def begin_capture(self):
            log.clear()
            monkeypatch.setattr(cuda, "device_array", None)

        def end_capture(self):
            log.append("captured")
            return SimpleNamespace(launch=lambda stream: log.append(stream.ptr))

    cupy = SimpleNamespace(
        float32=np.float32,
        ones=lambda size, dtype: Elsewhere(np.ones(size, dtype)),
        empty_like=lambda array: Elsewhere(np.empty_like(array.array)),
        cuda=SimpleNamespace(Stream=Stream),
    )
    cuda_tuning.replayed_sigmoid(cupy)()
    # Arrays of CuPy's name the stream that is current; these name none, and are waited for.
    assert log == [("record", 0), ("wait", 64), "captured", 64]


def test_the_clock_of_the_gpu_adds_up_what_is_between_its_events(monkeypatch):
    class Event:
        def record(self):
            now[0] += 500

        def synchronize(self):
            self.at = now[0]

    now = [0]
    monkeypatch.setattr(cuda, "event", Event)
    monkeypatch.setattr(cuda, "event_elapsed_time", lambda a, b: b.at - a.at, raising=False)
    clock = numba_cuda.clock()
    assert [clock(), clock(), clock()] == [0.0, 0.5, 1.0]


def test_only_the_second_of_two_calls_is_timed(monkeypatch):
    log = []

    class Event:
        def record(self):
            log.append("event")

        def synchronize(self):
            log.append("wait")

    monkeypatch.setattr(cuda, "event", Event)
    monkeypatch.setattr(cuda, "event_elapsed_time", lambda a, b: 2.0, raising=False)
    assert device.kernel_milliseconds(lambda: log.append("call")) == 2.0
    assert log == ["call", "event", "call", "event", "wait"]


def test_the_simulator_is_never_to_be_timed():
    assert numba_cuda.unavailable() is None
    assert "simulator" in numba_cuda.unavailable_for_timing()
