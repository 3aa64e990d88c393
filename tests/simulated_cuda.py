"""What `test_cuda` runs with NUMBA_ENABLE_CUDASIM=1; pytest does not collect it by itself."""

from __future__ import annotations

import math
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from numba import config, cuda

import xent_numba
from tools import cuda_tuning
from xent_numba import registry
from xent_numba.accuracy.judge import judge
from xent_numba.accuracy.tolerance import Tolerance
from xent_numba.implementations import numba_cuda
from xent_numba.kernels.cuda import arrays, device, grid
from xent_numba.kernels.cuda.access import Column
from xent_numba.operations import OPERATIONS, REDUCTIONS

assert config.ENABLE_CUDASIM

LOSSES = [operation for operation in OPERATIONS.values() if operation.labels]
LABEL_DTYPES = ("bool", "int8", "uint8", "int32", "int64", "float32", "float64")


def call(operation, *arguments, **options):
    return getattr(xent_numba, operation.name)(*arguments, implementation="numba_cuda", **options)


def arguments(operation, size, dtype, seed=3):
    rng = np.random.default_rng(seed)
    first = rng.beta(2, 2, size) if operation.first == "probabilities" else rng.normal(0, 8, size)
    labels = rng.choice(operation.labels.hard, size)
    return first.astype(dtype), labels.astype(np.int8), rng.random(size).astype(dtype)


@pytest.mark.parametrize(
    ("reduction", "weighted"), [*((reduction, False) for reduction in REDUCTIONS), ("mean", True)]
)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("operation", LOSSES, ids=lambda operation: operation.name)
def test_reductions(operation, dtype, reduction, weighted):
    first, labels, weights = arguments(operation, 31, dtype)

    def compute(*args, **options):
        return call(operation, *args, **options)

    verdict = judge(
        compute,
        operation,
        (first, labels),
        reduction=reduction,
        tolerance=Tolerance(2),
        sample_weight=weights if weighted else None,
    )
    assert verdict.ok, verdict.reason


SMALL = grid.Layout(lanes=32, lane_bytes=32, most_chunks=5)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_sum_over_several_chunks_is_the_rounded_sum_of_the_samples(dtype):
    operation = OPERATIONS["logistic_loss"]
    size = 2 * grid.LAYOUT.tile(np.dtype(dtype).itemsize) + 3
    first, labels, _ = arguments(operation, size, dtype)
    samples = call(operation, first, labels, reduction="none")
    np.testing.assert_array_equal(
        samples[:7], call(operation, first[:7], labels[:7], reduction="none")
    )
    total = call(operation, first, labels, reduction="sum")
    assert total == samples.dtype.type(math.fsum(samples.tolist()))


def totals_of(columns, launch, layout=SMALL, gradients=None):
    partials = grid.launch_pass(
        "logistic_loss_and_grad",
        *columns,
        gradients=gradients,
        divisor=3.0,
        launch=launch,
        layout=layout,
    )
    return grid.fold(partials, launch)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_bits_do_not_depend_on_the_launch_nor_on_alignment_and_strides(dtype):
    """Tiles and chunks, full and not, by blocks and threads more and fewer than there are."""
    size = 7 * SMALL.tile(np.dtype(dtype).itemsize) + 13
    host = arguments(OPERATIONS["logistic_loss"], size, dtype)
    aligned = [Column(cuda.to_device(array)) for array in host]
    gradients = cuda.to_device(np.zeros(size, dtype))
    first = totals_of(aligned, grid.Launch(), gradients=gradients)
    expected = gradients.copy_to_host()
    assert SMALL.cut(size, np.dtype(dtype).itemsize) == (2, 4)
    for blocks, threads in ((1, 32), (2, 32), (3, 64), (4, 96), (9, 128)):
        gradients = cuda.to_device(np.zeros(size, dtype))
        launch = grid.Launch(0, blocks, threads)
        np.testing.assert_array_equal(totals_of(aligned, launch, gradients=gradients), first)
        np.testing.assert_array_equal(gradients.copy_to_host(), expected)
    shifted = [np.concatenate([array[:1], array])[1:] for array in host]
    strided = [np.repeat(array, 2)[::2] for array in host]
    for views in (shifted, strided):
        columns = [Column(type(column.array)(v)) for v, column in zip(views, aligned, strict=True)]
        np.testing.assert_array_equal(totals_of(columns, grid.Launch()), first)
    # What does decide: a lane of another chunk takes other samples.
    other = totals_of(aligned, grid.Launch(), layout=replace(SMALL, most_chunks=3))
    assert not np.array_equal(other, first)
    assert other[0] == pytest.approx(first[0], rel=1e-12)


def test_an_array_is_cut_by_its_size_alone():
    layout = grid.LAYOUT
    assert [layout.tile(itemsize) for itemsize in (2, 4, 8)] == [8192, 4096, 2048]
    assert [layout.cut(n, 4) for n in (1, 2**26, 2**31, 2**33)] == [
        (1, 1),
        (1, 2**14),
        (32, 2**14),
        (128, 2**14),
    ]


@pytest.mark.parametrize("label_dtype", LABEL_DTYPES)
@pytest.mark.parametrize("operation", LOSSES[:3], ids=lambda operation: operation.name)
def test_label_dtypes(operation, label_dtype):
    first, labels, _ = arguments(operation, 31, "float32")
    if operation.labels.hard[0] < 0 and label_dtype in ("bool", "uint8"):
        labels = np.ones_like(labels)
    result = call(operation, first, labels.astype(label_dtype), reduction="sum")
    np.testing.assert_equal(result, call(operation, first, labels, reduction="sum"))


@pytest.mark.parametrize("operation", LOSSES[:3], ids=lambda operation: operation.name)
@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("labels", np.float64(1 + 2**-40)),
        ("labels", np.float64("nan")),
        ("labels", np.int64(2**32 + 1)),
        ("labels", np.int8(2)),
        ("sample_weight", np.float32("inf")),
        ("sample_weight", np.float32("nan")),
        ("sample_weight", np.float32(-1e-30)),
    ],
    ids=str,
)
def test_bad_values_are_found_in_the_last_place(operation, name, value):
    first, labels, weights = arguments(operation, 29, "float32")
    given = {"labels": labels, "sample_weight": weights}
    given[name] = given[name].astype(value.dtype)
    given[name][-1] = value
    out = np.zeros_like(first)
    with pytest.raises(ValueError, match=rf"{name}\[28\]"):
        call(operation, first, reduction="none", out=out, **given)
    assert np.isnan(out).all()
    with pytest.raises(ValueError, match=rf"{name}\[28\]"):
        call(operation, first, reduction="mean", **given)


@pytest.mark.parametrize("operation", LOSSES[3:], ids=lambda operation: operation.name)
def test_bad_values_are_found_with_a_gradient_too(operation):
    first, labels, _ = arguments(operation, 29, "float32")
    labels[-1] = 2
    with pytest.raises(ValueError, match=r"labels\[28\] is 2"):
        call(operation, first, labels)


@pytest.mark.parametrize("value", [-(2.0**-149), 1 + 2.0**-23, math.nan])
def test_bad_probabilities_are_found(value):
    operation = OPERATIONS["binary_cross_entropy"]
    first, labels, _ = arguments(operation, 29, "float32")
    first[-1] = value
    with pytest.raises(ValueError, match=r"probabilities\[28\]"):
        call(operation, first, labels)


def test_weights_that_sum_to_zero():
    with pytest.raises(ValueError, match="sums to 0"):
        xent_numba.logistic_loss([1.0], [1], sample_weight=[0.0], implementation="numba_cuda")


def test_any_strides_on_the_host():
    values = np.arange(-60, 60, dtype=np.float32).reshape(4, 5, 6)
    for view in (values[::-1, ::2], values.T, values[..., 1], values[:0], values[0, 0, 0]):
        got = xent_numba.sigmoid(view, implementation="numba_cuda")
        right = xent_numba.sigmoid(view.copy(), implementation="numba_cuda")
        np.testing.assert_array_equal(got, right)


class Elsewhere:
    """A host array that says it is on a device, as another library's array would."""

    def __init__(self, array, stream=None, device=0, typestr=None):
        self.array = array
        interface = dict(array.__array_interface__)
        self.__cuda_array_interface__ = interface | {"version": 3, "stream": stream}
        if typestr:
            self.__cuda_array_interface__["typestr"] = typestr
        self.device = device

    def __dlpack_device__(self):
        return 2, self.device


@pytest.fixture
def elsewhere(monkeypatch):
    """Let the simulator take in such arrays, and note down what happens on streams."""
    log = []

    class Stream:
        def __init__(self, handle):
            self.handle = handle

        def __int__(self):
            return self.handle

        def synchronize(self):
            log.append(("synchronize", self.handle))

    class Event:
        def record(self, stream):
            log.append(("record", getattr(stream, "handle", 0)))

        def wait(self, stream):
            log.append(("wait", getattr(stream, "handle", 0)))

    current = SimpleNamespace(id=0)

    @contextmanager
    def gpu(number):
        log.append(("enter", number))
        current.id, before = number, current.id
        yield
        current.id = before

    def as_cuda_array(value, sync):
        assert not sync
        return type(cuda.to_device(np.zeros(1)))(arrays.shadow(value))

    monkeypatch.setattr(cuda, "as_cuda_array", as_cuda_array, raising=False)
    monkeypatch.setattr(cuda, "external_stream", Stream, raising=False)
    monkeypatch.setattr(cuda, "event", Event)
    monkeypatch.setattr(cuda, "get_current_device", lambda: current, raising=False)
    monkeypatch.setattr(cuda, "gpus", type("Gpus", (), {"__getitem__": staticmethod(gpu)})())
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
    assert elsewhere == []


def test_memory_is_kept_for_each_stream_but_not_for_any_number_of_them(elsewhere):
    """A thread's next pass on a stream allocates nothing."""
    operation = OPERATIONS["logistic_loss"]
    first, labels, _ = arguments(operation, 5, "float32")
    expected = call(operation, first, labels, reduction="sum")

    def kept(stream):
        given = Elsewhere(first, stream=stream), Elsewhere(labels, stream=stream)
        assert call(operation, *given, reduction="sum") == expected
        return grid._kept.scratch[0, stream, grid.LAYOUT.most_chunks]

    assert kept(64) is kept(64)
    assert kept(64) is not kept(128)
    for stream in range(1, 4 * grid.KEPT):
        kept(stream)
        assert len(grid._kept.scratch) <= grid.KEPT
    with ThreadPoolExecutor(1) as pool:
        assert pool.submit(lambda: len(grid._kept.scratch)).result() == 0


def test_the_current_stream_of_pytorch_is_used_for_its_tensors(elsewhere, monkeypatch):
    class Tensor(Elsewhere):
        __module__ = "torch"

    current = SimpleNamespace(__cuda_stream__=lambda: (0, 512))
    torch = SimpleNamespace(cuda=SimpleNamespace(current_stream=lambda device: current))
    monkeypatch.setitem(sys.modules, "torch", torch)
    first, labels, _ = arguments(OPERATIONS["logistic_loss"], 5, "float32")
    call(OPERATIONS["logistic_loss"], Tensor(first), Tensor(labels), reduction="sum")
    assert elsewhere == [("synchronize", 512)]


def test_what_numba_calls_stream_0_is_its_default_stream(elsewhere):
    class DeviceArray(Elsewhere):
        __module__ = "numba.cuda"

    operation = OPERATIONS["logistic_loss"]
    first, labels, _ = arguments(operation, 5, "float32")
    given = DeviceArray(first, stream=0), DeviceArray(labels, stream=0)
    assert call(operation, *given, reduction="sum") == call(
        operation, first, labels, reduction="sum"
    )
    assert elsewhere == []


def test_a_call_computes_on_the_device_of_its_arrays(elsewhere):
    operation = OPERATIONS["logistic_loss"]
    first, labels, _ = arguments(operation, 5, "float32")
    expected = call(operation, first, labels, reduction="sum")
    assert elsewhere == []
    got = call(operation, Elsewhere(first, device=1), Elsewhere(labels, device=1), reduction="sum")
    assert got == expected
    assert elsewhere == [("enter", 1)] * 3  # for each array, and for the kernels


def test_what_does_not_fit_is_one_clear_sentence(elsewhere):
    operation = OPERATIONS["logistic_loss"]
    first, labels, _ = arguments(operation, 5, "float32")
    here, there = Elsewhere(first), Elsewhere(labels, device=1)

    def refused(error, sentence, *args, **options):
        with pytest.raises(error, match=sentence):
            call(operation, *args, **options)

    refused(ValueError, "labels is on device 1; accepted is device 0, where scores is", here, there)
    refused(TypeError, "labels is a host ndarray; accepted is a device array", here, labels)
    refused(TypeError, "labels is a device array of type Elsewhere", first, Elsewhere(labels))
    refused(TypeError, "scores has dtype int8; accepted on a device are", Elsewhere(labels), labels)
    refused(ValueError, "scores names stream 0", Elsewhere(first, stream=0), Elsewhere(labels))
    stream = SimpleNamespace(__cuda_stream__=lambda: (0, 7), device_index=1)
    with numba_cuda.on_stream(stream):
        refused(ValueError, "stream is one of device 1; .* device 0", here, Elsewhere(labels))
    with numba_cuda.on_stream("fast"):
        refused(TypeError, "stream is a str; accepted is", here, Elsewhere(labels))
    masked = Elsewhere(first)
    masked.__cuda_array_interface__["mask"] = masked
    refused(TypeError, "scores has a mask", masked, Elsewhere(labels))


def test_a_device_without_room_says_so(elsewhere, monkeypatch):
    def full(*args, **options):
        raise RuntimeError("[2] Call to cuMemAlloc results in CUDA_ERROR_OUT_OF_MEMORY")

    room = SimpleNamespace(get_memory_info=lambda: (1_000, 2_000))
    monkeypatch.setattr(cuda, "device_array", full)
    monkeypatch.setattr(cuda, "current_context", lambda: room, raising=False)
    with pytest.raises(MemoryError, match="the device has 1,000 of its 2,000 bytes free"):
        call(OPERATIONS["sigmoid"], Elsewhere(np.zeros(3, np.float32)))


def test_outputs_of_other_libraries_are_written_and_poisoned(elsewhere):
    operation = OPERATIONS["logistic_loss"]
    first, labels, _ = arguments(operation, 6, "float32")
    out = Elsewhere(np.zeros(12, np.float32)[::2])
    assert call(operation, Elsewhere(first), Elsewhere(labels), reduction="none", out=out) is out
    np.testing.assert_array_equal(out.array, call(operation, first, labels, reduction="none"))
    labels[3] = 5
    with pytest.raises(ValueError, match=r"labels\[3\] is 5"):
        call(operation, Elsewhere(first), Elsewhere(labels), reduction="none", out=out)
    assert np.isnan(out.array).all()
    with pytest.raises(ValueError, match="out has dtype float64; accepted is float32"):
        call(OPERATIONS["sigmoid"], Elsewhere(first), out=Elsewhere(np.zeros(6)))


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


@pytest.mark.parametrize("case", cuda_tuning.CASES, ids=lambda case: case.name)
def test_the_calls_of_the_tuning_script_compute_what_they_should(case):
    host = case.inputs(40)
    sets = cuda_tuning.rotated(host, 2, device)
    for layout in (grid.LAYOUT, grid.Layout(128, 16, 8)):
        first, second = cuda_tuning.kernel_calls(case, sets, layout, device)
        assert cuda_tuning.disagreement(case, host, first) is None
        other = tuple(array[::-1].copy() for array in host)
        if case.labels is None:
            assert cuda_tuning.disagreement(case, other, second)
    host[0][3] += 1
    assert cuda_tuning.disagreement(case, host, first)
    bare, _ = cuda_tuning.kernel_calls(case, sets, grid.LAYOUT, device, arithmetic=False)
    moved = bare().copy_to_host()
    scores = sets[0][0].copy_to_host()
    if case.labels is None:
        np.testing.assert_array_equal(moved, scores)
    else:
        assert moved[grid.SUM] + moved[grid.ERROR] == math.fsum(scores)


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
