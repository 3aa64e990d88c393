"""What `test_cuda` runs with NUMBA_ENABLE_CUDASIM=1; pytest does not collect it by itself."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from numba import config

import xent_numba
from xent_numba.accuracy.judge import judge
from xent_numba.accuracy.tolerance import Tolerance
from xent_numba.kernels.cuda import arrays, copies, launch
from xent_numba.kernels.cuda.passes import LAYOUT, Launch, Layout
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


SMALL = Layout(lanes=32, lane_bytes=32, most_chunks=5)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_sum_over_several_chunks_is_the_rounded_sum_of_the_samples(dtype):
    operation = OPERATIONS["logistic_loss"]
    size = LAYOUT.tile(np.dtype(dtype).itemsize) + 3
    first, labels, _ = arguments(operation, size, dtype)
    samples = call(operation, first, labels, reduction="none")
    np.testing.assert_array_equal(
        samples[:7], call(operation, first[:7], labels[:7], reduction="none")
    )
    total = call(operation, first, labels, reduction="sum")
    assert total == samples.dtype.type(math.fsum(samples.tolist()))


def totals_of(given, where=launch.DEFAULT, layout=SMALL, gradients=None):
    task = launch.Task("logistic_loss_and_grad", *given, gradients=gradients, divisor="size")
    task.rule = "weighted mean"
    return launch.awaited(task, launch.scratch_on(0, 0), where, layout)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_bits_do_not_depend_on_the_launch_nor_on_alignment_and_strides(dtype):
    """Tiles and chunks, full and not, by blocks and threads more and fewer than there are."""
    size = 7 * SMALL.tile(np.dtype(dtype).itemsize) + 13
    host = arguments(OPERATIONS["logistic_loss"], size, dtype)
    aligned = [arrays.to_device(array) for array in host]
    gradients = arrays.room_for((size,), dtype)
    first = totals_of(aligned, gradients=gradients)
    expected = copies.to_host(gradients)
    assert SMALL.cut(size, np.dtype(dtype).itemsize) == (2, 4)
    for blocks, threads in ((1, 32), (2, 32), (3, 64), (4, 96), (9, 128)):
        gradients = arrays.room_for((size,), dtype)
        assert totals_of(aligned, Launch(0, blocks, threads), gradients=gradients) == first
        np.testing.assert_array_equal(copies.to_host(gradients), expected)
    shifted = [np.concatenate([array[:1], array])[1:] for array in host]
    strided = [np.repeat(array, 2)[::2] for array in host]
    for views in (shifted, strided):
        assert totals_of([arrays.adopt("view", Elsewhere(view)) for view in views]) == first
    # What does decide: a lane of another chunk takes other samples.
    other = totals_of(aligned, layout=replace(SMALL, most_chunks=3))
    assert other != first
    assert other.sum == pytest.approx(first.sum, rel=1e-12)


def test_an_array_is_cut_by_its_size_alone():
    layout = LAYOUT
    assert [layout.tile(itemsize) for itemsize in (2, 4, 8)] == [8192, 4096, 2048]
    assert [layout.cut(n, 4) for n in (1, 2**26, 2**31, 2**33)] == [
        (1, 1),
        (2, 2**13),
        (64, 2**13),
        (256, 2**13),
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
