"""What `test_cuda` runs with NUMBA_ENABLE_CUDASIM=1; pytest does not collect it by itself."""

from __future__ import annotations

import math

import numpy as np
import pytest
from numba import config, cuda

import xent_numba
from xent_numba import registry
from xent_numba.accuracy.agreement import judge
from xent_numba.implementations import numba_cuda
from xent_numba.kernels import cuda_grid
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
        max_ulp=2,
        max_ulp_gradient=2,
        sample_weight=weights if weighted else None,
    )
    assert verdict.ok, verdict.reason


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_sum_over_several_chunks_is_the_rounded_sum_of_the_samples(dtype):
    operation = OPERATIONS["logistic_loss"]
    size = 2 * cuda_grid.chunk_size(1) + 3
    first, labels, _ = arguments(operation, size, dtype)
    samples = call(operation, first, labels, reduction="none")
    total = call(operation, first, labels, reduction="sum")
    assert total == samples.dtype.type(math.fsum(samples.tolist()))
    assert call(operation, first, labels, reduction="sum") == total


def test_an_array_is_cut_by_its_size_alone():
    assert [cuda_grid.chunk_size(n) for n in (1, 2**31, 2**33)] == [2048, 2**18, 2**20]
    assert [cuda_grid.block_threads(n) for n in (1, 33, 257)] == [32, 64, 256]


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
        np.testing.assert_array_equal(got, xent_numba.sigmoid(view))


def test_any_strides_on_the_device():
    """The functions of the file take device arrays; views of any strides are not copied."""
    rng = np.random.default_rng(1)
    host = rng.normal(0, 8, (4, 6, 5)).astype(np.float32)
    labels = np.where(rng.random((5, 6, 4)) < 0.5, -1, 1).astype(np.int8)
    scores = cuda.to_device(host)
    view = type(scores)(host.transpose(2, 1, 0)[::-1])
    out = cuda.device_array(view.shape, np.float32)
    numba_cuda.sigmoid(view, out=out)
    expected = host.transpose(2, 1, 0)[::-1]
    np.testing.assert_array_equal(out.copy_to_host(), xent_numba.sigmoid(expected))
    got = numba_cuda.logistic_loss(
        view, cuda.to_device(labels), sample_weight=None, reduction="sum", out=None
    )
    assert np.float32(got) == xent_numba.logistic_loss(expected, labels, reduction="sum")
    np.testing.assert_array_equal(cuda_grid.to_host(view), expected)


def test_bound_calls_compute_on_the_device():
    operation = OPERATIONS["logistic_loss_and_grad"]
    first, labels, _ = arguments(operation, 31, "float32")
    module = registry.get("numba_cuda").module
    for reduction in REDUCTIONS:
        bound = module.bind(operation.name, (first, labels), reduction)
        assert bound() is not None
    assert module.bind("sigmoid", (first,), "none")() is not None


def test_the_simulator_is_never_to_be_timed():
    assert numba_cuda.unavailable() is None
    assert "simulator" in numba_cuda.unavailable_for_timing()
