"""numba_cuda on a GPU; skipped by name where there is none. `pytest -m gpu` runs these alone."""

from __future__ import annotations

import os

import numpy as np
import pytest

import xent_numba
from xent_numba import registry
from xent_numba.accuracy.agreement import judge
from xent_numba.accuracy.cases import edge_cases
from xent_numba.operations import OPERATIONS, REDUCTIONS

pytestmark = pytest.mark.gpu

LOSSES = [operation for operation in OPERATIONS.values() if operation.labels]


@pytest.fixture(scope="module")
def cuda():
    module = registry.get("numba_cuda").module
    if reason := module.unavailable_for_timing():
        if "numba_cuda" in os.environ.get("XENT_REQUIRE", "").split(",") and (
            "simulator" not in reason
        ):
            pytest.fail(f"numba_cuda is required by XENT_REQUIRE: {reason}")
        pytest.skip(f"numba_cuda: {reason}")
    from numba import cuda

    return cuda


def call(operation, *arguments, **options):
    return getattr(xent_numba, operation.name)(*arguments, implementation="numba_cuda", **options)


def sample(operation, size, dtype, seed=5):
    rng = np.random.default_rng(seed)
    first = rng.beta(2, 2, size) if operation.first == "probabilities" else rng.normal(0, 8, size)
    if operation.labels is None:
        return (first.astype(dtype),)
    return first.astype(dtype), rng.choice(operation.labels.hard, size).astype(np.int8)


def to_host(result):
    return result.copy_to_host() if hasattr(result, "copy_to_host") else result


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
                max_ulp=2,
                max_ulp_gradient=2,
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
        from xent_numba.kernels import cuda_grid

        np.testing.assert_array_equal(cuda_grid.to_host(out), expected)


def test_work_queued_on_the_stream_of_an_array_comes_first(cuda):
    stream = cuda.stream()
    host = np.random.default_rng(3).normal(0, 8, 1 << 24).astype(np.float32)
    with cuda.pinned(host):
        scores = cuda.to_device(host, stream=stream)
        got = xent_numba.sigmoid(scores)
    expected = xent_numba.sigmoid(host, implementation="numba_cuda")
    np.testing.assert_array_equal(got.copy_to_host(), expected)


def test_a_sum_has_the_same_bits_every_time(cuda):
    arguments = [cuda.to_device(a) for a in sample(OPERATIONS["logistic_loss"], 3_000_001, "f4")]
    sums = {xent_numba.logistic_loss(*arguments, reduction="sum") for _ in range(20)}
    assert len(sums) == 1


def test_bad_values_and_mixed_places_are_refused(cuda):
    scores, labels = sample(OPERATIONS["logistic_loss"], 5000, "float32")
    labels[4321] = 0
    out = cuda.device_array(5000, np.float32)
    with pytest.raises(ValueError, match=r"labels\[4321\] is 0"):
        xent_numba.logistic_loss(
            cuda.to_device(scores), cuda.to_device(labels), reduction="none", out=out
        )
    assert np.isnan(out.copy_to_host()).all()
    with pytest.raises(TypeError, match="labels is a host"):
        xent_numba.logistic_loss(cuda.to_device(scores), labels)
    with pytest.raises(TypeError, match="labels is a device array"):
        xent_numba.logistic_loss(scores, cuda.to_device(labels))
    device = cuda.to_device(scores)
    with pytest.raises(ValueError, match="shares memory"):
        xent_numba.sigmoid(device, out=device)


def test_more_than_two_to_the_31_samples(cuda):
    size = 2**31 + 12_345
    free, _ = cuda.current_context().get_memory_info()
    if free < 3 * size:
        pytest.skip(f"{3 * size} bytes of device memory are needed, {free} are free")
    # 0 s everywhere but at the end, broadcast scores of 0: log 2 each, exact in the sum's terms.
    labels = cuda.to_device(np.ones(size, np.int8))
    scores = cuda.as_cuda_array(_Broadcast(cuda.to_device(np.zeros(1, np.float32)), size))
    total = xent_numba.logistic_loss(scores, labels, reduction="sum")
    one = xent_numba.logistic_loss(np.zeros(1, np.float32), [1], reduction="sum")
    assert total == np.float32(size * float(one))


class _Broadcast:
    """One device value, seen as many."""

    def __init__(self, array, size):
        self.array = array
        interface = array.__cuda_array_interface__
        self.__cuda_array_interface__ = {**interface, "shape": (size,), "strides": (0,)}
