"""Windows, scratch, and output that is written past the caches."""

from __future__ import annotations

import numpy as np
import pytest
from numba import njit, types

import xent_numba as xn
from xent_numba.implementations import numba_parallel
from xent_numba.kernels.cpu import blocks, log_of_product, memory, passes
from xent_numba.kernels.cpu.bits import exact

FLOATS = (np.float32, np.float64)
window, place, before_line = memory.window, memory.place, memory.before_line
ROOM = 100 + memory.PAGE // 4


@njit
def second_of(array):
    return window(array, 3, 5)[1]


@njit
def size_of(array):
    return window(array, 2, array.size).size


@njit
def nothing(array):
    return window(array, 2, 5) is None


@njit
def size_and_distance(beside, at):
    room = place(memory.stack(ROOM, beside.dtype), 100, beside, at)
    return room.size, memory.address(room) - memory.address(beside)


@njit
def lead(array):
    return before_line(array), memory.address(array)


COUNTED = "call void @NRT_incref"


def test_a_window_is_a_slice():
    array = np.arange(7.0)
    assert second_of(array) == array[3:5][1]
    assert size_of(array) == 5
    assert nothing(None)


def llvm_of_a_loop_over(part):
    def function(array):
        total = 0.0
        for start in range(0, array.size, 512):
            total += inner(part(array, start))
        return total

    @njit(no_cpython_wrapper=True)
    def inner(array):
        return array.sum() if array.size else 0.0

    compiled = njit(function)
    compiled.compile((types.Array(types.float64, 1, "C"),))
    return compiled.inspect_llvm(compiled.signatures[0])


def test_a_window_counts_no_reference():
    slices = llvm_of_a_loop_over(njit(lambda array, start: array[start : start + 512]))
    windows = llvm_of_a_loop_over(njit(lambda array, start: window(array, start, start + 512)))
    # One is of the function's own argument.
    assert windows.count(COUNTED) == 1
    assert slices.count(COUNTED) == 2


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("at", [memory.WORK_AT, memory.VALUES_AT])
def test_scratch_lies_beside_its_input(dtype, at):
    array = np.zeros(5000, dtype)
    for first in range(0, 3000, 7):
        size, distance = size_and_distance(array[first:], at)
        assert size == 100
        # From the line in which the input begins.
        assert at - memory.LINE < distance % memory.PAGE <= at


@pytest.mark.parametrize("dtype", FLOATS)
def test_items_before_a_line(dtype):
    array = np.zeros(100, dtype)
    for first in range(40):
        items, address = lead(array[first:])
        assert (address + items * array.itemsize) % memory.LINE == 0
        assert items * array.itemsize < memory.LINE


def sizes_past_the_caches(dtype):
    """One whose last chunk is of one sample, less than what may come before a line, and another."""
    n = memory.PAST_CACHES // np.dtype(dtype).itemsize
    step = blocks.chunk_size(n + 1)
    while blocks.chunk_size(-(-n // step) * step + 1) != step:
        step = blocks.chunk_size(-(-n // step) * step + 1)
    return -(-n // step) * step + 1, n + 5


@pytest.mark.slow
@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("which", [0, 1])
@pytest.mark.parametrize("shift", [0, 1, 3, 7])
def test_output_past_the_caches_has_the_same_bits_and_no_neighbour_is_touched(dtype, which, shift):
    n = sizes_past_the_caches(dtype)[which]
    rng = np.random.default_rng(shift)
    scores = rng.normal(0, 4, n).astype(dtype)
    around = np.full(n + 40, 7, dtype)
    out = around[shift : shift + n]
    xn.sigmoid(scores, out=out)
    parts = [xn.sigmoid(part) for part in np.array_split(scores, 8)]
    assert np.array_equal(out, np.concatenate(parts))
    assert (around[:shift] == 7).all()
    assert (around[shift + n :] == 7).all()


def test_python_may_call_what_is_compiled_without_a_wrapper():
    @exact
    def inverse(x):
        return 1 / x

    assert inverse(2.0) == 0.5
    assert njit(lambda x: inverse(x))(2.0) == 0.5
    assert inverse(4.0) == 0.25
    assert inverse(0.0) == np.inf


def test_arrays_with_gaps_and_in_pieces_compile_nothing_more(monkeypatch):
    da = pytest.importorskip("dask.array")
    name = "binary_cross_entropy_with_logits"
    kernels = blocks.loss_kernels(
        "loss_in_a_test", passes.with_logits, log_of_product.softplus_sum(0)
    )
    monkeypatch.setitem(numba_parallel.KERNELS, name, kernels)
    scores = np.linspace(-9, 9, 3 * log_of_product.SECTION, dtype=np.float32)
    labels = (scores > 1).astype(np.int8)
    expected = xn.binary_cross_entropy_with_logits(scores, labels)
    with_gaps = (np.stack((array,) * 2, axis=1)[:, 0] for array in (scores, labels))
    assert xn.binary_cross_entropy_with_logits(*with_gaps) == expected
    in_pieces = (
        da.from_array(array, chunks=log_of_product.SECTION - 5) for array in (scores, labels)
    )
    lazy = xn.binary_cross_entropy_with_logits(*in_pieces)
    assert lazy.compute(scheduler="synchronous") == expected
    assert [len(kernel.signatures) for kernel in kernels] == [0, 1]
