"""Nothing that NumPy was told of floating point is heard of: no warning, and no error."""

from __future__ import annotations

import warnings

import numpy as np
import pytest

import xent_numba as xn
from xent_numba.operations import OPERATIONS

STATES = {"under": {"under": "warn"}, "raise": {"all": "raise"}, "warn": {"all": "warn"}}
SIZES = (1, 6, 1026, 20_000)
SIGNALLING = {"float32": 0x7FA00000, "float64": 0x7FF4000000000000}
HERE = {"implementation": "numba_parallel"}


def nans(dtype: str, size: int) -> np.ndarray:
    """Signalling NaN, which the processor makes an exception of when it computes with one."""
    return np.full(size, SIGNALLING[dtype], f"u{np.dtype(dtype).itemsize}").view(dtype)


def layouts(values: np.ndarray):
    """The same bits in other places; a copy by value would make them quiet."""
    yield "contiguous", values
    yield "reversed", values[::-1]
    gaps = np.zeros((values.size, 3), values.dtype)
    gaps.view(f"u{values.itemsize}")[:, 1] = values.view(f"u{values.itemsize}")
    yield "gaps", gaps[:, 1]
    memory = np.zeros(values.nbytes + 1, np.uint8)[1:]
    memory[:] = values.view(np.uint8)
    yield "unaligned", memory.view(values.dtype)
    yield (
        "swapped",
        values.view(np.uint8)
        .reshape(-1, values.itemsize)[:, ::-1]
        .copy()
        .view(values.dtype.newbyteorder())
        .ravel(),
    )
    if values.size % 2 == 0:
        yield "Fortran", values.reshape(2, -1, order="F")


@pytest.fixture(params=STATES)
def told(request):
    """NumPy was told to say or to raise something, and a warning is an error."""
    with np.errstate(**STATES[request.param]), warnings.catch_warnings():
        warnings.simplefilter("error")
        yield


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("dtype", SIGNALLING)
@pytest.mark.usefixtures("told")
def test_a_sigmoid_of_signalling_nan(dtype, size):
    for name, scores in layouts(nans(dtype, size)):
        out = np.zeros(scores.shape, dtype)
        for found in (xn.sigmoid(scores), xn.sigmoid(scores, out=out), xn.sigmoid(scores, **HERE)):
            assert np.isnan(found).all(), name
        assert np.isnan(out).all()


@pytest.mark.parametrize(("size", "reduction"), [(6, "none"), (20_000, "mean")])
@pytest.mark.parametrize("dtype", SIGNALLING)
@pytest.mark.usefixtures("told")
def test_a_loss_of_signalling_nan(dtype, size, reduction):
    labels = np.ones(size, np.int8)
    for operation in OPERATIONS.values():
        if operation.labels is None:
            continue
        function = getattr(xn, operation.name)
        for name, first in layouts(nans(dtype, size)):
            arguments = first, labels.reshape(first.shape)
            if operation.first == "probabilities":
                with pytest.raises(ValueError, match=r"probabilities\[0(, 0)?\] is nan"):
                    function(*arguments, **HERE)
                continue
            found = function(*arguments, reduction=reduction, **HERE)
            for result in found if operation.gradient else (found,):
                assert np.isnan(result).all(), (operation.name, name)


@pytest.mark.parametrize("size", [6, 20_000])
@pytest.mark.parametrize("dtype", SIGNALLING)
@pytest.mark.usefixtures("told")
def test_a_signalling_nan_where_none_may_be(dtype, size):
    ones, bad = np.ones(size, np.int8), nans(dtype, size)
    with pytest.raises(ValueError, match=r"labels\[0\] is nan"):
        xn.logistic_loss(np.zeros(size, dtype), bad, **HERE)
    with pytest.raises(ValueError, match=r"sample_weight\[0\] is nan"):
        xn.logistic_loss(np.zeros(size, dtype), ones, sample_weight=bad)


@pytest.mark.parametrize("size", [6, 20_000])
@pytest.mark.parametrize("dtype", SIGNALLING)
@pytest.mark.usefixtures("told")
def test_what_underflows(dtype, size):
    """Subnormal results and results of 0, at scores whose exponential is beyond the dtype."""
    ends = np.array([-745.2, -95.0, 95.0, 745.2, np.inf, -np.inf], dtype)
    for name, scores in layouts(np.resize(ends, size)):
        out = np.zeros(scores.shape, dtype)
        assert xn.sigmoid(scores, out=out) is out, name
        np.testing.assert_array_equal(xn.sigmoid(scores), out)
        labels = np.ones(scores.shape, np.int8)
        losses, gradients = xn.logistic_loss_and_grad(scores, labels, reduction="none", **HERE)
        assert (losses >= 0).all(), name
        assert (gradients <= 0).all(), name
