"""Device arrays of any library in the simulator, against stand-ins; `test_cuda` runs this."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from types import SimpleNamespace

import numpy as np
import pytest
from numba import config, cuda
from simulated_cuda import LOSSES, Elsewhere, arguments, call

from xent_numba import registry
from xent_numba.implementations import numba_cuda
from xent_numba.kernels.cuda import launch, simulator
from xent_numba.operations import OPERATIONS, REDUCTIONS

assert config.ENABLE_CUDASIM


class Machine(SimpleNamespace):
    """The simulator, but for what it is given: several devices, and streams."""

    def __getattr__(self, name):
        return getattr(simulator, name)


class Recorded(Machine):
    """Several devices, whose streams note down what happens on them."""

    def __init__(self, log):
        super().__init__(log=log, entered=[0])

    def current_device(self):
        return self.entered[-1]

    def enter(self, number):
        if number == self.current_device():
            return False
        self.log.append(("enter", number))
        self.entered.append(number)
        return True

    def leave(self):
        self.entered.pop()

    @contextmanager
    def on_device(self, number):
        entered = self.enter(number)
        yield
        if entered:
            self.leave()

    def wait_for(self, stream, others):
        for other in sorted(others):
            self.log.extend([("record", other), ("wait", stream)])

    def synchronize(self, stream):
        self.log.append(("synchronize", stream))


@pytest.fixture
def elsewhere(monkeypatch):
    """Let the simulator take in such arrays, and note down what happens on streams."""
    log = []
    monkeypatch.setattr(launch, "machine", Recorded(log))
    monkeypatch.setattr(cuda, "external_stream", lambda handle: handle, raising=False)
    # An array that the simulator makes has no device interface of its own.
    fake = type(cuda.to_device(np.zeros(1)))
    monkeypatch.setattr(
        fake,
        "__cuda_array_interface__",
        property(lambda self: dict(self._ary.__array_interface__)),
        raising=False,
    )
    return log


def test_arrays_of_other_libraries_are_used_where_they_are(elsewhere):
    operation = OPERATIONS["logistic_loss_and_grad"]
    first, labels, weights = arguments(operation, 45, "float32")
    expected = call(operation, first, labels, sample_weight=weights, reduction="none")
    for shift in (
        lambda a: a,
        lambda a: np.concatenate([a[:1], a])[1:],
        lambda a: a[::-1].copy()[::-1],
    ):
        views = [Elsewhere(shift(array)) for array in (first, labels, weights)]
        got = call(operation, *views[:2], sample_weight=views[2], reduction="none")
        for result, right in zip(got, expected, strict=True):
            np.testing.assert_array_equal(result.copy_to_host(), right)


def test_elements_across_their_alignment_are_copied_first(elsewhere):
    operation = OPERATIONS["logistic_loss"]
    first, labels, _ = arguments(operation, 33, "float32")
    record = np.zeros(33, np.dtype([("label", "i1"), ("score", "f4")]))
    record["score"], record["label"] = first, labels
    got = call(operation, Elsewhere(record["score"]), Elsewhere(record["label"]), reduction="sum")
    assert got == call(operation, first, labels, reduction="sum")
    at_an_odd_address = np.frombuffer(b"x" + first.tobytes(), np.uint8)[1:].view(np.float32)
    assert not at_an_odd_address.flags.aligned
    assert got == call(operation, Elsewhere(at_an_odd_address), Elsewhere(labels), reduction="sum")
    with pytest.raises(ValueError, match="out has elements that lie across their alignment"):
        call(OPERATIONS["sigmoid"], Elsewhere(first), out=Elsewhere(record["score"]))


@pytest.mark.parametrize("encoding", ["float16", "bfloat16"])
@pytest.mark.parametrize("operation", LOSSES[:2], ids=lambda operation: operation.name)
def test_half_precision_is_widened_exactly_and_computed_in_float32(elsewhere, encoding, operation):
    first, labels, weights = arguments(operation, 45, "float32")
    if encoding == "float16":
        halves = [Elsewhere(array.astype(np.float16)) for array in (first, labels, weights)]
        wide = [half.array.astype(np.float32) for half in halves]
    else:
        bits = [
            (array.astype("f4").view("u4") >> 16).astype("u2") for array in (first, labels, weights)
        ]
        halves = [Elsewhere(array, typestr="<V2") for array in bits]
        wide = [(array.astype("u4") << 16).view("f4") for array in bits]
    for chosen, numbers in ((halves[1], wide[1]), (Elsewhere(labels), labels)):
        got = call(operation, halves[0], chosen, sample_weight=halves[2], reduction="none")
        right = call(operation, wide[0], numbers, sample_weight=wide[2], reduction="none")
        assert got.dtype == np.float32
        np.testing.assert_array_equal(got.copy_to_host(), right)
    wrong = Elsewhere(
        np.full(45, 0x4000, np.uint16), typestr=halves[0].__cuda_array_interface__["typestr"]
    )
    with pytest.raises(ValueError, match=r"labels\[0\] is 2\.0"):
        call(operation, halves[0], wrong)


def test_every_float16_is_read_as_it_is(elsewhere):
    bits = np.arange(2**16, dtype=np.uint16)[::331]
    halves = bits.view(np.float16)
    np.testing.assert_array_equal(
        call(OPERATIONS["sigmoid"], Elsewhere(halves)).copy_to_host(),
        call(OPERATIONS["sigmoid"], halves.astype(np.float32)),
    )


def test_the_stream_of_the_first_array_waits_for_those_of_the_others(elsewhere):
    operation = OPERATIONS["logistic_loss"]
    first, labels, _ = arguments(operation, 5, "float32")
    call(operation, Elsewhere(first, stream=64), Elsewhere(labels, stream=128), reduction="sum")
    assert elsewhere == [("record", 128), ("wait", 64), ("synchronize", 64)]
    elsewhere.clear()
    call(operation, Elsewhere(first, stream=64), Elsewhere(labels, stream=64), reduction="sum")
    assert elsewhere == [("synchronize", 64)]
    elsewhere.clear()

    stream = SimpleNamespace(__cuda_stream__=lambda: (0, 256))
    with numba_cuda.on_stream(stream):
        call(operation, Elsewhere(first, stream=64), Elsewhere(labels), reduction="sum")
    assert elsewhere[-1] == ("synchronize", 256)
    assert {entry for entry in elsewhere if entry[0] == "record"} == {("record", 0), ("record", 64)}
    elsewhere.clear()
    call(operation, Elsewhere(first), Elsewhere(labels), reduction="sum")
    assert elsewhere == [("synchronize", 0)]


def test_memory_is_kept_for_each_stream_but_not_for_any_number_of_them(elsewhere):
    """A thread's next pass on a stream allocates nothing."""
    operation = OPERATIONS["logistic_loss"]
    first, labels, _ = arguments(operation, 5, "float32")
    expected = call(operation, first, labels, reduction="sum")

    def kept(stream):
        given = Elsewhere(first, stream=stream), Elsewhere(labels, stream=stream)
        assert call(operation, *given, reduction="sum") == expected
        return launch.kept.scratch[0, stream]

    assert kept(64) is kept(64)
    assert kept(64) is not kept(128)
    for stream in range(1, 4 * launch.KEPT):
        kept(stream)
        assert len(launch.kept.scratch) <= launch.KEPT
    with ThreadPoolExecutor(1) as pool:
        assert pool.submit(lambda: len(launch.kept.scratch)).result() == 0


def test_what_numba_calls_stream_0_is_its_default_stream(elsewhere):
    class DeviceArray(Elsewhere):
        __module__ = "numba.cuda"

    operation = OPERATIONS["logistic_loss"]
    first, labels, _ = arguments(operation, 5, "float32")
    given = DeviceArray(first, stream=0), DeviceArray(labels, stream=0)
    assert call(operation, *given, reduction="sum") == call(
        operation, first, labels, reduction="sum"
    )
    assert set(elsewhere) == {("synchronize", 0)}


def test_a_call_computes_on_the_device_of_its_arrays(elsewhere):
    operation = OPERATIONS["logistic_loss"]
    first, labels, _ = arguments(operation, 5, "float32")
    expected = call(operation, first, labels, reduction="sum")
    elsewhere.clear()
    got = call(operation, Elsewhere(first, device=1), Elsewhere(labels, device=1), reduction="sum")
    assert got == expected
    assert elsewhere == [("enter", 1), ("synchronize", 0)]


def test_what_does_not_fit_is_one_clear_sentence(elsewhere):
    operation = OPERATIONS["logistic_loss"]
    first, labels, _ = arguments(operation, 5, "float32")
    here, there = Elsewhere(first), Elsewhere(labels, device=1)

    def refused(error, sentence, *args, **options):
        with pytest.raises(error, match=sentence):
            call(operation, *args, **options)

    refused(ValueError, "labels is on device 1; accepted is device 0, where scores is", here, there)
    refused(TypeError, "labels is a host ndarray; accepted is a device array", here, labels)
    with_gradient = OPERATIONS["logistic_loss_and_grad"]
    fits = {"sample_weight": Elsewhere(first), "out": Elsewhere(np.zeros((), np.float32))}
    fits["grad_out"] = Elsewhere(np.zeros(5, np.float32))
    for name, other in fits.items():
        away = fits | {name: Elsewhere(other.array, device=1)}
        sentence = f"{name} is on device 1; accepted is device 0, where scores is"
        with pytest.raises(ValueError, match=sentence):
            call(with_gradient, here, Elsewhere(labels), **away)
    refused(TypeError, "labels is a device array of type Elsewhere", first, Elsewhere(labels))
    refused(TypeError, "scores has dtype int8; accepted on a device are", Elsewhere(labels), labels)
    refused(ValueError, "scores names stream 0", Elsewhere(first, stream=0), Elsewhere(labels))
    stream = SimpleNamespace(__cuda_stream__=lambda: (0, 7), device_index=1)
    with numba_cuda.on_stream(stream):
        refused(ValueError, "stream is one of device 1; .* device 0", here, Elsewhere(labels))
    with numba_cuda.on_stream("fast"):
        refused(TypeError, "stream is a str; accepted is", here, Elsewhere(labels))
    many = Elsewhere(first[:1])
    many.__cuda_array_interface__ |= {"shape": (2**40, 2**20), "strides": (0, 0)}
    most = "at most 576,460,752,303,423,488, which a kernel's index reaches"
    refused(ValueError, f"scores has 1,152,921,504,606,846,976 samples; .* {most}", many, many)
    masked = Elsewhere(first)
    masked.__cuda_array_interface__["mask"] = masked
    refused(TypeError, "scores has a mask", masked, Elsewhere(labels))


def test_a_device_without_room_says_so(elsewhere, monkeypatch):
    def full(*args, **options):
        raise RuntimeError("[2] Call to cuMemAlloc results in CUDA_ERROR_OUT_OF_MEMORY")

    monkeypatch.setattr(cuda, "device_array", full)
    monkeypatch.setattr(launch.machine, "memory_info", lambda: (1_000, 2_000))
    with pytest.raises(MemoryError, match="the device has 1,000 of its 2,000 bytes free"):
        call(OPERATIONS["sigmoid"], Elsewhere(np.zeros(3, np.float32)))


def test_what_is_asked_for_on_the_device_stays_there_and_nothing_waits(elsewhere):
    """What a bad value makes is NaN: its own loss and gradient, and every sum it is part of."""
    for operation in LOSSES:
        first, labels, weights = arguments(operation, 31, "float32")
        given = Elsewhere(first), Elsewhere(labels)
        options = {"sample_weight": Elsewhere(weights)}
        for reduction in REDUCTIONS:
            expected = call(operation, first, labels, sample_weight=weights, reduction=reduction)
            elsewhere.clear()
            shape = (31,) if reduction == "none" else ()
            out, grad_out = (Elsewhere(np.zeros(s, np.float32)) for s in (shape, (31,)))
            outputs = {"out": out} | ({"grad_out": grad_out} if operation.gradient else {})
            got = call(operation, *given, reduction=reduction, **options, **outputs)
            assert elsewhere == []
            pairs = zip(got, expected, strict=True) if operation.gradient else [(got, expected)]
            for result, right in pairs:
                np.testing.assert_array_equal(result.array, right)
        labels[3] = 5
        call(operation, *given, reduction="mean", **options, **outputs)
        assert elsewhere == []
        assert np.isnan(out.array)
        if operation.gradient:
            assert np.isnan(grad_out.array[3])
            assert np.isfinite(np.delete(grad_out.array, 3)).all()


def test_outputs_of_other_libraries_are_written(elsewhere):
    operation = OPERATIONS["logistic_loss"]
    first, labels, _ = arguments(operation, 6, "float32")
    out = Elsewhere(np.zeros(12, np.float32)[::2])
    assert call(operation, Elsewhere(first), Elsewhere(labels), reduction="none", out=out) is out
    right = call(operation, first, labels, reduction="none")
    np.testing.assert_array_equal(out.array, right)
    labels[3] = 5
    with pytest.raises(ValueError, match=r"labels\[3\] is 5"):
        call(operation, Elsewhere(first), Elsewhere(labels), reduction="none")
    call(operation, Elsewhere(first), Elsewhere(labels), reduction="none", out=out)
    right[3] = np.nan
    np.testing.assert_array_equal(out.array, right)
    with pytest.raises(ValueError, match="out has dtype float64; accepted is float32"):
        call(OPERATIONS["sigmoid"], Elsewhere(first), out=Elsewhere(np.zeros(6)))
    once = Elsewhere(first)
    with pytest.raises(ValueError, match="out shares memory with another argument"):
        call(OPERATIONS["sigmoid"], once, out=once)
    with pytest.raises(ValueError, match="out has elements that share memory with each other"):
        call(
            OPERATIONS["sigmoid"],
            Elsewhere(first),
            out=Elsewhere(np.lib.stride_tricks.as_strided(np.zeros(1, np.float32), (6,), (0,))),
        )


def test_any_strides_on_the_device(elsewhere):
    """Views of any strides are not copied."""
    rng = np.random.default_rng(1)
    scores = rng.normal(0, 8, (4, 6, 5)).astype(np.float32).transpose(2, 1, 0)[::-1]
    labels = np.where(rng.random((5, 6, 4)) < 0.5, -1, 1).astype(np.int8)
    out = Elsewhere(np.zeros((5, 6, 8), np.float32)[..., ::2])
    sigmoid, loss = OPERATIONS["sigmoid"], OPERATIONS["logistic_loss"]
    call(sigmoid, Elsewhere(scores), out=out)
    np.testing.assert_array_equal(out.array, call(sigmoid, scores.copy()))
    got = call(loss, Elsewhere(scores), Elsewhere(labels), reduction="sum")
    assert got == call(loss, scores.copy(), labels, reduction="sum")


def test_bound_calls_compute_on_the_device(elsewhere):
    operation = OPERATIONS["logistic_loss_and_grad"]
    first, labels, _ = arguments(operation, 31, "float32")
    module = registry.get("numba_cuda").module
    for reduction in REDUCTIONS:
        bound = module.bind(operation.name, (first, labels), reduction)
        assert bound() is not None
    assert module.bind("sigmoid", (first,), "none")() is not None
