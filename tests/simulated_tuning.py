"""What is timed on a GPU, in the simulator: its results; `test_cuda` runs this."""

from __future__ import annotations

import math
from dataclasses import asdict
from types import SimpleNamespace

import numpy as np
import pytest
import simulated_arrays
from numba import config, cuda
from simulated_cuda import Elsewhere

from tools import cuda_tuning
from xent_numba import registry
from xent_numba.implementations import numba_cuda
from xent_numba.kernels.cuda import device, events, launch
from xent_numba.kernels.cuda.passes import ERROR, LAYOUT, SUM, Layout
from xent_numba.measurement import binding
from xent_numba.measurement.case import Case
from xent_numba.measurement.implementation import Commands
from xent_numba.measurement.inputs import shared
from xent_numba.measurement.participant import DEVICE_LIMIT
from xent_numba.operations import REDUCTIONS

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


@pytest.fixture
def device_time(monkeypatch):
    """A device whose events are half a second apart, and what is queued for it."""
    log = []

    class Event:
        def __init__(self):
            log.append("event")
            self.at = log.count("event") / 2

        def seconds_since(self, start):
            log.append("wait")
            return self.at - start.at

    machine = simulated_arrays.Machine(
        Event=Event,
        cache_bytes=lambda: 50,
        clear=lambda address, size: log.append(("clear", size)),
        copy=lambda target, source, size: log.append(("copy", size)),
    )
    monkeypatch.setattr(launch, "machine", machine)
    events.scrubbed.cache_clear()
    yield log
    events.scrubbed.cache_clear()


def test_the_clock_of_the_gpu_adds_up_what_is_between_its_events(device_time):
    clock = numba_cuda.clock()
    assert [clock(), clock(), clock()] == [0.0, 0.5, 1.0]


def test_only_the_second_of_two_calls_is_timed(device_time):
    assert device.kernel_milliseconds(lambda: device_time.append("call")) == 500.0
    assert device_time == ["call", "event", "call", "event", "wait"]


def test_a_call_is_timed_from_a_cold_cache_and_waited_for_after_many(device_time, monkeypatch):
    """Twice the cache is overwritten before each call, off the clock."""
    monkeypatch.setattr(events, "QUEUED", 2)
    seconds = numba_cuda.timer(lambda: device_time.append("call"))
    assert seconds(3) == 1.5
    once = [("clear", 100), "event", "call", "event"]
    assert device_time == [*once, *once, "wait", "wait", *once, "wait"]


def test_the_limit_of_a_gpu_moves_the_bytes_of_the_case(device_time):
    """By a copy, which reads as many as it writes: of 9 bytes a sample, 4.5 each."""
    case = Case("logistic_loss", "gaussian", 1000, "float32", "int8", "none")
    with shared(case.arguments()) as (places, _):
        commands = Commands(DEVICE_LIMIT)
        assert commands.prepare(asdict(case), places)["status"] == "ok"
        device_time.clear()
        sample, _ = commands.sampler(asdict(case))
        assert sample(1) == 0.5
        commands.forget()
    assert device_time == [("clear", 100), "event", ("copy", 4500), "event", "wait"]


@pytest.mark.parametrize("reduction", REDUCTIONS)
def test_what_is_bound_leaves_its_result_on_the_device_and_is_judged(elsewhere, reduction):
    """Nothing waits before the result is fetched."""
    found = registry.get("numba_cuda")
    case = Case("logistic_loss_and_grad", "gaussian", 40, "float32", "int8", reduction)
    call = binding.bind(found, case, case.arguments())
    call()
    assert elsewhere == []
    verdict = binding.judge_call(found, case, case.arguments(), call)
    assert verdict.ok, verdict.reason
    losses, gradients = found.on_host(call())
    assert losses.shape == ((40,) if reduction == "none" else ())
    assert type(gradients) is np.ndarray


def test_the_simulator_is_never_to_be_timed():
    assert numba_cuda.unavailable() is None
    assert "simulator" in numba_cuda.unavailable_for_timing()
