"""Dask arrays of chunks on a device, in the simulator; `test_cuda` runs this.

The chunks are stand-ins for CuPy's arrays: they refuse to become NumPy arrays unasked.
"""

from __future__ import annotations

import dask
import dask.array as da
import numpy as np
import pytest
from numba import config
from simulated_arrays import elsewhere  # noqa: F401 - a fixture
from simulated_cuda import arguments

import xent_numba
from xent_numba.operations import OPERATIONS, REDUCTIONS

assert config.ENABLE_CUDASIM


class Chunk(np.lib.mixins.NDArrayOperatorsMixin):
    """As much of an array of CuPy's as dask and a chunk's task ask for."""

    def __init__(self, values):
        self.values = np.asarray(values)

    shape = property(lambda self: self.values.shape)
    dtype = property(lambda self: self.values.dtype)
    ndim = property(lambda self: self.values.ndim)
    size = property(lambda self: self.values.size)
    __cuda_array_interface__ = property(
        lambda self: self.values.__array_interface__ | {"version": 3, "stream": None}
    )

    def __dlpack_device__(self):
        return 2, 0

    def __array__(self, dtype=None, copy=None):
        raise TypeError("Implicit conversion to a NumPy array is not allowed.")

    def __array_ufunc__(self, ufunc, method, *inputs, **options):
        bare = [one.values if isinstance(one, Chunk) else one for one in inputs]
        return Chunk(getattr(ufunc, method)(*bare, **options))

    def __array_function__(self, function, types, given, options):
        bare = [one.values if isinstance(one, Chunk) else one for one in given]
        return Chunk(function(*bare, **options))

    def __getitem__(self, place):
        return Chunk(self.values[place])

    def __float__(self):
        return float(self.values)

    def get(self):
        return self.values

    def astype(self, dtype, **_options):
        return Chunk(self.values.astype(dtype))

    def max(self):
        return Chunk(self.values.max())

    def sum(self):
        return Chunk(self.values.sum())


@pytest.fixture(autouse=True)
def _on_one_thread():
    """The simulator has one device for all threads."""
    with dask.config.set(scheduler="synchronous"):
        yield


def on_device(array, chunks=20):
    return da.from_array(Chunk(array), chunks=chunks, asarray=False)


def host(array):
    return array.copy_to_host() if hasattr(array, "copy_to_host") else np.asarray(array)


@pytest.mark.usefixtures("elsewhere")
@pytest.mark.parametrize("reduction", REDUCTIONS)
@pytest.mark.parametrize("weighted", [False, True])
def test_sums_and_means_of_chunks_on_a_device(reduction, weighted):
    first, labels, weights = arguments(OPERATIONS["logistic_loss"], 45, "float32")
    options = {"reduction": reduction}
    lazy = xent_numba.logistic_loss(
        on_device(first),
        on_device(labels),
        sample_weight=on_device(weights) if weighted else None,
        **options,
    )
    expected = xent_numba.logistic_loss(
        first, labels, sample_weight=weights if weighted else None, **options
    )
    if reduction == "none":
        found = np.concatenate([host(block.compute()) for block in lazy.blocks])
    else:
        (found,) = dask.compute(lazy)
    np.testing.assert_allclose(found, expected, rtol=4e-7)


@pytest.mark.usefixtures("elsewhere")
def test_the_sigmoid_and_a_bad_label_on_a_device():
    first, labels, _ = arguments(OPERATIONS["logistic_loss"], 45, "float32")
    lazy = xent_numba.sigmoid(on_device(first))
    found = np.concatenate([host(block.compute()) for block in lazy.blocks])
    np.testing.assert_allclose(found, xent_numba.sigmoid(first), rtol=4e-7)
    labels[37] = 5
    with pytest.raises(ValueError, match=r"labels\[37\] is 5"):
        xent_numba.logistic_loss(on_device(first), on_device(labels)).compute()
    with pytest.raises(TypeError, match="labels is a device array of type Chunk"):
        xent_numba.logistic_loss(da.from_array(first, chunks=20), on_device(labels)).compute()
