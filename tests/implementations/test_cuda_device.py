"""numba_cuda on a GPU; skipped by name where there is none. `pytest -m gpu` runs these alone."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from on_gpu import LOSSES, call, sample

import xent_numba
from xent_numba.accuracy.edge_cases import edge_cases
from xent_numba.accuracy.judge import judge
from xent_numba.accuracy.plans import Strata
from xent_numba.accuracy.sweep import Sweep, inspect, total
from xent_numba.accuracy.tolerance import Tolerance
from xent_numba.implementations import numba_cuda
from xent_numba.operations import OPERATIONS, REDUCTIONS

pytestmark = pytest.mark.gpu
SOFT = [operation for operation in LOSSES if operation.labels.soft]


def to_host(result):
    return result.copy_to_host() if hasattr(result, "copy_to_host") else result


class Broadcast:
    """Device values, seen as many."""

    def __init__(self, array, shape, strides=(0,)):
        self.array = array
        interface = array.__cuda_array_interface__
        shape = shape if isinstance(shape, tuple) else (shape,)
        self.__cuda_array_interface__ = {**interface, "shape": shape, "strides": strides}


def gathered(array):
    """A device array of any strides on the host."""
    from xent_numba.kernels.cuda import arrays, copies

    return copies.to_host(arrays.adopt("array", array))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("operation", OPERATIONS.values(), ids=lambda operation: operation.name)
def test_agrees_with_the_oracle(cuda, operation, dtype):
    reductions = operation.reductions
    for arguments in (
        edge_cases(operation, np.dtype(dtype)).arguments,
        sample(operation, 100_003, dtype),
    ):
        for reduction in reductions if len(arguments[0]) > 1000 else ("none",):
            verdict = judge(
                lambda *args, **options: call(operation, *args, **options),
                operation,
                arguments,
                reduction=reduction,
                tolerance=Tolerance(2),
            )
            assert verdict.ok, verdict.reason


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("operation", SOFT, ids=lambda operation: operation.name)
def test_soft_labels_agree_with_the_oracle(cuda, operation, dtype):
    """Where two logarithms, or a product and a logarithm, are added; labels of every size."""
    first, _ = sample(operation, 20_011, dtype)
    rng = np.random.default_rng(17)
    labels = np.exp2(rng.uniform(-60, 0, first.size))
    labels = np.where(rng.random(first.size) < 0.5, labels, 1 - labels).astype(dtype)
    edges = edge_cases(operation, np.dtype(dtype), soft=True).arguments
    for arguments in (edges, (first, labels)):
        verdict = judge(
            lambda *args, **options: call(operation, *args, **options),
            operation,
            arguments,
            reduction="none",
            tolerance=Tolerance(2),
        )
        assert verdict.ok, verdict.reason


@pytest.mark.parametrize("reduction", REDUCTIONS)
@pytest.mark.parametrize("operation", LOSSES, ids=lambda operation: operation.name)
def test_device_arrays_give_what_host_arrays_give(cuda, operation, reduction):
    host = sample(operation, 10_007, "float32")
    weights = np.random.default_rng(1).random(10_007).astype(np.float32)
    expected = call(operation, *host, sample_weight=weights, reduction=reduction)
    arguments = [cuda.to_device(array) for array in host]
    got = call(operation, *arguments, sample_weight=cuda.to_device(weights), reduction=reduction)
    pairs = zip(got, expected, strict=True) if operation.gradient else [(got, expected)]
    for result, right in pairs:
        if np.ndim(right):
            assert hasattr(result, "__cuda_array_interface__")
        np.testing.assert_array_equal(to_host(result), right)


def test_strided_device_arrays(cuda):
    host = np.random.default_rng(2).normal(0, 8, (300, 70)).astype(np.float32)
    for key in ((slice(None), slice(None, None, 3)), (slice(5, None, 2), slice(None))):
        view = cuda.to_device(host)[key]
        out = cuda.to_device(np.zeros_like(host))[key]
        xent_numba.sigmoid(view, out=out)
        expected = xent_numba.sigmoid(host[key], implementation="numba_cuda")
        np.testing.assert_array_equal(gathered(out), expected)


def test_unaligned_device_arrays(cuda):
    """Results have the same bits, whether samples are loaded four at once or one by one."""
    operation = OPERATIONS["logistic_loss_and_grad"]
    host = sample(operation, 50_003, "float32")
    expected = call(operation, *host, reduction="none")
    for shift in (1, 2, 3):
        views = [cuda.to_device(np.concatenate([a[:shift], a]))[shift:] for a in host]
        for result, right in zip(call(operation, *views, reduction="none"), expected, strict=True):
            np.testing.assert_array_equal(to_host(result), right)
    records = np.zeros(50_003, np.dtype([("label", "i1"), ("score", "f4")]))
    records["score"], records["label"] = host
    bytes_ = cuda.to_device(records.view(np.uint8))
    fields = [Field(bytes_, *records.dtype.fields[name]) for name in ("score", "label")]
    total, _ = call(operation, *fields, reduction="sum")
    assert total == call(operation, *host, reduction="sum")[0]


class Field:
    """A field of records on a device, wherever its elements lie."""

    def __init__(self, records, dtype, offset):
        self.records = records
        interface = records.__cuda_array_interface__
        (size,), (address, _) = interface["shape"], interface["data"]
        self.__cuda_array_interface__ = {
            **interface,
            "typestr": dtype.str,
            "shape": (size // 5,),
            "strides": (5,),
            "data": (address + offset, False),
        }


@pytest.mark.parametrize("label_dtype", ["bool", "uint8", "int64", "float16", "float32"])
def test_half_precision_and_every_label(cuda, label_dtype):
    operation = OPERATIONS["binary_cross_entropy_with_logits"]
    scores, labels = sample(operation, 10_007, "float16")
    got = call(
        operation,
        cuda.to_device(scores),
        cuda.to_device(labels.astype(label_dtype)),
        reduction="none",
    )
    expected = call(operation, scores.astype(np.float32), labels, reduction="none")
    np.testing.assert_array_equal(to_host(got), expected)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_bits_do_not_depend_on_the_launch(cuda, dtype):
    from xent_numba.kernels.cuda import arrays, launch
    from xent_numba.kernels.cuda.passes import Launch

    first, labels = (
        arrays.to_device(array) for array in sample(OPERATIONS["logistic_loss"], 3_000_001, dtype)
    )
    scratch = launch.scratch_on(0, 0)
    totals = set()
    for blocks, threads in ((None, None), (1, 256), (132, 128), (1000, 64), (20_000, 256)):
        where = Launch(0, blocks, threads)
        task = launch.Task("logistic_loss", first, labels, rule="mean")
        totals.add(launch.awaited(task, scratch, where))
    assert len(totals) == 1


def strata(sweep, plan):
    parts = [inspect(sweep, plan, chunk) for chunk in range(plan.chunks)]
    return {quantity: total(part[quantity] for part in parts) for quantity in sweep.quantities()}


@pytest.mark.parametrize(("dtype", "number"), [("float32", 1 << 22), ("float64", 1 << 20)])
def test_within_two_ulp_in_every_octave(cuda, dtype, number):
    """On the device, whose reciprocals are approximations; tails and subnormal results included."""
    operations = [name for name, one in OPERATIONS.items() if one.first == "scores"]
    for names in (tuple(operations), ("binary_cross_entropy",)):
        sweep = Sweep("numba_cuda", dtype, names)
        for quantity, found in strata(sweep, Strata(sweep.first, dtype, number)).items():
            assert found.max_ulp <= 2, (quantity, found.normal, found.subnormal)


def fill(array, value, stream=0):
    """Store one value everywhere in a device array."""
    from xent_numba.kernels.cuda import arrays, copies
    from xent_numba.kernels.cuda.passes import Launch

    copies.fill(arrays.adopt("array", array), value, Launch(stream))


def busy_copy(cuda, host, stream):
    """Copy to the device on a stream that has much to do before."""
    other = cuda.device_array(1 << 27, np.float32, stream=stream)
    for value in range(20):
        fill(other, value, int(stream))
    return cuda.to_device(host, stream=stream)


def test_work_queued_on_the_streams_of_arrays_comes_first(cuda):
    operation = OPERATIONS["logistic_loss"]
    host = sample(operation, 1 << 20, "float32")
    expected = call(operation, *host, reduction="sum")
    for _ in range(5):
        arrays = [busy_copy(cuda, array, cuda.stream()) for array in host]
        assert call(operation, *arrays, reduction="sum") == expected


def test_a_call_runs_on_the_stream_it_is_given(cuda):
    """The result is complete when that stream is, though nothing else has been waited for."""
    host = np.random.default_rng(3).normal(0, 8, 1 << 20).astype(np.float32)
    expected = xent_numba.sigmoid(host, implementation="numba_cuda")
    stream = cuda.stream()
    scores = cuda.to_device(host)
    with numba_cuda.on_stream(int(stream)):
        got = xent_numba.sigmoid(scores)
    stream.synchronize()
    np.testing.assert_array_equal(got.copy_to_host(stream=stream), expected)


def test_threads_with_streams_of_their_own(cuda):
    operation = OPERATIONS["logistic_loss"]
    cases = [sample(operation, 300_007, "float32", seed) for seed in range(8)]
    expected = [call(operation, *case, reduction="sum") for case in cases]

    def compute(case):
        stream = cuda.stream()
        arrays = [cuda.to_device(array, stream=stream) for array in case]
        return [call(operation, *arrays, reduction="sum") for _ in range(20)]

    with ThreadPoolExecutor(8) as pool:
        for got, right in zip(pool.map(compute, cases), expected, strict=True):
            assert set(got) == {right}


def test_every_device_computes_where_its_arrays_are(cuda):
    if len(cuda.gpus) < 2:
        pytest.skip("this machine has one device")
    operation = OPERATIONS["logistic_loss"]
    host = sample(operation, 10_007, "float32")
    expected = call(operation, *host, reduction="sum")
    with cuda.gpus[1]:
        there = [cuda.to_device(array) for array in host]
    with cuda.gpus[0]:
        here = [cuda.to_device(array) for array in host]
        assert call(operation, *there, reduction="sum") == expected
        assert call(operation, *here, reduction="sum") == expected
        with pytest.raises(ValueError, match="labels is on device 1; accepted is device 0"):
            call(operation, here[0], there[1], reduction="sum")


def test_tensors_of_pytorch_on_its_current_stream(cuda):
    torch = pytest.importorskip("torch")
    if not torch.cuda.is_available():
        pytest.skip("this PyTorch has no CUDA")
    operation = OPERATIONS["binary_cross_entropy_with_logits"]
    scores, labels = sample(operation, 1 << 20, "float32")
    expected = call(operation, scores, labels, reduction="sum")
    with torch.cuda.stream(torch.cuda.Stream()):
        tensors = [torch.as_tensor(a).cuda(non_blocking=True) for a in (scores, labels)]
        assert call(operation, *tensors, reduction="sum") == expected
        half = tensors[0].to(torch.bfloat16)
        got = call(operation, half, tensors[1], reduction="sum")
        assert got == call(operation, half.float(), tensors[1], reduction="sum")


def test_arrays_of_cupy_and_a_cuda_graph(cuda):
    cupy = pytest.importorskip("cupy")
    host = np.random.default_rng(3).normal(0, 8, 10_007).astype(np.float32)
    expected = xent_numba.sigmoid(host, implementation="numba_cuda")
    scores, out = cupy.asarray(host), cupy.empty_like(host)
    xent_numba.sigmoid(scores, out=out)
    np.testing.assert_array_equal(out.get(), expected)
    out[:] = 0
    stream = cupy.cuda.Stream(non_blocking=True)
    with stream, numba_cuda.on_stream(stream.ptr):
        stream.begin_capture()
        xent_numba.sigmoid(scores, out=out)
        graph = stream.end_capture()
        graph.launch(stream)
    stream.synchronize()
    np.testing.assert_array_equal(out.get(), expected)


def test_a_full_device_is_said_so_and_is_still_usable(cuda):
    """More than there is, so that others on the device do not matter."""
    _, total = cuda.current_context().get_memory_info()
    one = cuda.to_device(np.zeros(1, np.float32))
    scores = cuda.as_cuda_array(Broadcast(one, total // 4 + 1))
    with pytest.raises(MemoryError, match="bytes free, too few for the arrays of this call"):
        xent_numba.sigmoid(scores)
    test_device_arrays_give_what_host_arrays_give(cuda, OPERATIONS["logistic_loss"], "mean")


def test_a_broadcast_array_is_not_read_beyond_its_end(cuda):
    """The interface of Numba's arrays calls it contiguous; what lies behind it is another's."""
    both = cuda.to_device(np.float32([0, 1000]))
    for shape, strides in (((5000,), (0,)), ((4, 50), (0, 4)), ((50, 4), (4, 0))):
        room = cuda.to_device(np.zeros(50, np.float32))
        held = both[:1] if shape == (5000,) else room
        seen = cuda.as_cuda_array(Broadcast(held, shape, strides))
        labels = cuda.to_device(np.ones(shape, np.int8))
        got = xent_numba.logistic_loss(seen, labels, reduction="sum")
        right = xent_numba.logistic_loss(
            np.zeros(shape, np.float32), np.ones(shape, np.int8), reduction="sum"
        )
        assert got == right


def test_a_sum_has_the_same_bits_every_time(cuda):
    arguments = [cuda.to_device(a) for a in sample(OPERATIONS["logistic_loss"], 3_000_001, "f4")]
    sums = {xent_numba.logistic_loss(*arguments, reduction="sum") for _ in range(20)}
    assert len(sums) == 1


def test_bad_values_and_mixed_places_are_refused(cuda):
    scores, labels = sample(OPERATIONS["logistic_loss"], 5000, "float32")
    labels[4321] = 0
    with pytest.raises(ValueError, match=r"labels\[4321\] is 0"):
        xent_numba.logistic_loss(cuda.to_device(scores), cuda.to_device(labels), reduction="none")
    with pytest.raises(TypeError, match="labels is a host"):
        xent_numba.logistic_loss(cuda.to_device(scores), labels)
    with pytest.raises(TypeError, match="labels is a device array"):
        xent_numba.logistic_loss(scores, cuda.to_device(labels))
    device = cuda.to_device(scores)
    with pytest.raises(ValueError, match="shares memory"):
        xent_numba.sigmoid(device, out=device)


def test_more_than_two_to_the_31_samples(cuda):
    size = 2**31 + 12_345
    needed = 9 * size
    if (free := cuda.current_context().get_memory_info()[0]) < needed:
        pytest.skip(f"{needed} bytes of device memory are needed, {free} are free")
    scores, out = cuda.device_array(size, np.float32), cuda.device_array(size, np.float32)
    fill(scores, 0.0)
    last = sample(OPERATIONS["sigmoid"], 20_000, "float32")[0]
    scores[-last.size :].copy_to_device(last)
    xent_numba.sigmoid(scores, out=out)
    expected = xent_numba.sigmoid(last, implementation="numba_cuda")
    np.testing.assert_array_equal(out[-last.size :].copy_to_host(), expected)
    assert set(out[: 1 << 20].copy_to_host()) == {np.float32(0.5)}

    # With scores of 0, the last label is where an index of 32 bits would not get to.
    del out
    fill(scores, 0.0)
    labels = cuda.device_array(size, np.int8)
    fill(labels, 1)
    one = xent_numba.logistic_loss(np.zeros(1, np.float32), [1], reduction="sum")
    total = xent_numba.logistic_loss(scores, labels, reduction="sum")
    assert total == np.float32(size * float(one))
    labels[-1:].copy_to_device(np.zeros(1, np.int8))
    with pytest.raises(ValueError, match=rf"labels\[{size - 1}\] is 0"):
        xent_numba.logistic_loss(scores, labels, reduction="sum")


def test_strided_arrays_of_more_than_two_to_the_31_samples(cuda):
    """One score, seen as many: sums go through an index in each dimension."""
    size = 2**31 + 12_345
    if (free := cuda.current_context().get_memory_info()[0]) < 3 * size:
        pytest.skip(f"{3 * size} bytes of device memory are needed, {free} are free")
    labels = cuda.to_device(np.ones(size, np.int8))
    scores = cuda.as_cuda_array(Broadcast(cuda.to_device(np.zeros(1, np.float32)), size))
    total = xent_numba.logistic_loss(scores, labels, reduction="sum")
    one = xent_numba.logistic_loss(np.zeros(1, np.float32), [1], reduction="sum")
    assert total == np.float32(size * float(one))
