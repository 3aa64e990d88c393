"""Tensors of PyTorch's in the simulator, against stand-ins; `test_cuda` runs this."""

from __future__ import annotations

import copy
import ctypes
import sys
from types import SimpleNamespace

import numpy as np
import pytest
import simulated_arrays
from dlpack_table import table
from numba import config
from simulated_cuda import LOSSES, arguments, call

from xent_numba import dispatch
from xent_numba.kernels.cuda import arrays, launch, short
from xent_numba.operations import OPERATIONS, REDUCTIONS

assert config.ENABLE_CUDASIM
elsewhere = simulated_arrays.elsewhere


class Tensor:
    """A host array that answers as a tensor of PyTorch's on a device does."""

    __module__ = "torch"
    layout = "strided"
    requires_grad = False
    is_cuda = True

    def __init__(self, array, device=0):
        self.array = array
        self.device = device
        self.dtype = f"torch.{array.dtype}"
        self.shape = array.shape

    @property
    def __cuda_array_interface__(self):
        raise AssertionError("an interface that takes long is not asked for")

    def is_neg(self):
        return False

    def get_device(self):
        return self.device

    def is_contiguous(self):
        return self.array.flags.c_contiguous

    def element_size(self):
        return self.array.itemsize

    def stride(self):
        return tuple(step // self.array.itemsize for step in self.array.strides)

    def data_ptr(self):
        return self.array.ctypes.data


KINDS = {"f": 2, "i": 0, "u": 1, "b": 6}
"""DLPack's codes of dtypes."""


@ctypes.PYFUNCTYPE(ctypes.c_int, ctypes.py_object, ctypes.POINTER(ctypes.c_int64 * 6))
def describe(tensor, words):
    """Write a DLTensor."""
    array, device = tensor.array, tensor.device
    if tensor.layout != "strided":
        return -1
    words_of = ctypes.c_int64 * array.ndim
    strides = (step // array.itemsize for step in array.strides)
    tensor.kept = words_of(*array.shape), words_of(*strides)
    dtype = KINDS[array.dtype.kind] | 8 * array.itemsize << 8 | 1 << 16
    words.contents[:] = (
        array.ctypes.data,
        1 if device == "cpu" else 2 | device << 32,
        array.ndim | dtype << 32,
        *map(ctypes.addressof, tensor.kept),
        0,
    )
    return 0


@pytest.fixture(params=["described", "attributes"])
def torch(monkeypatch, request):
    """PyTorch, as far as it is asked; 512 is its current stream.

    Its newer versions describe tensors to C, of which little is asked for anymore.
    """
    if request.param == "described":
        functions = table(ctypes.cast(describe, ctypes.c_void_p).value)
        monkeypatch.setattr(Tensor, "__dlpack_c_exchange_api__", functions, raising=False)
    names = ("float16", "bfloat16", "float32", "float64", "int8", "uint8", "int16", "int32")
    module = SimpleNamespace(
        Tensor=Tensor,
        strided="strided",
        _C=SimpleNamespace(_cuda_getCurrentRawStream=lambda device: 512),
        bool="torch.bool",
        empty=lambda shape, dtype, device: Tensor(np.empty(shape, dtype.removeprefix("torch."))),
        empty_like=lambda tensor: Tensor(np.empty_like(tensor.array)),
        int64="torch.int64",
        **{name: f"torch.{name}" for name in names},
    )
    monkeypatch.setitem(sys.modules, "torch", module)
    caches = arrays.taker, short.framework_of, dispatch.short_way
    for cached in caches:
        cached.cache_clear()
    short.plans.clear()
    way = "DescribedTensors" if request.param == "described" else "Tensors"
    assert type(short.framework_of(Tensor)).__name__ == way
    yield module
    short.plans.clear()
    for cached in caches:
        cached.cache_clear()


def test_tensors_of_pytorch_are_on_its_current_stream(elsewhere, torch):
    operation = OPERATIONS["logistic_loss"]
    first, labels, _ = arguments(operation, 60, "float32")
    right = call(operation, first[::2].copy(), labels[::2].copy(), reduction="sum")
    elsewhere.clear()
    for given in ((first[::2], labels[::2]), (first[::2].copy(), labels[::2].copy())):
        assert call(operation, *map(Tensor, given), reduction="sum") == right
    assert elsewhere == [("synchronize", 512)] * 2


def test_a_call_like_one_before_takes_the_short_way(elsewhere, torch, monkeypatch):
    """It gives the same bits, and what is out of the ordinary goes the longer way again."""
    scores = Tensor(aligned(arguments(OPERATIONS["logistic_loss"], 45, "float32")[0]))

    def both(operation, *given, **options):
        first = call(operation, *given, **options)
        first = copy.deepcopy([getattr(one, "array", one) for one in as_tuple(first)])
        with monkeypatch.context() as patch:
            patch.setattr(dispatch, "prepare", None)
            second = call(operation, *given, **options)
        for got, right in zip(as_tuple(second), first, strict=True):
            np.testing.assert_array_equal(getattr(got, "array", got), right)
            assert type(getattr(got, "array", got)) is type(right)

    both(OPERATIONS["sigmoid"], scores)
    both(OPERATIONS["sigmoid"], scores, out=Tensor(aligned(np.zeros(45, np.float32))))
    for operation in LOSSES:
        host, labels, _ = arguments(operation, 45, "float32")
        given = Tensor(aligned(host)), Tensor(aligned(labels))
        for reduction in REDUCTIONS:
            shape = 45 if reduction == "none" else ()
            outputs = {"out": Tensor(aligned(np.zeros(shape, np.float32)))}
            if operation.gradient:
                outputs["grad_out"] = Tensor(aligned(np.zeros(45, np.float32)))
            both(operation, *given, reduction=reduction, **outputs)
            if reduction != "none":
                del outputs["out"]
                both(operation, *given, reduction=reduction, **outputs)


def test_the_short_way_lets_nothing_pass(elsewhere, torch):
    operation = OPERATIONS["logistic_loss"]
    host, signs, weights = arguments(operation, 45, "float32")
    scores, labels = Tensor(aligned(host)), Tensor(aligned(signs))
    right = call(operation, host, signs, reduction="sum")
    assert call(operation, scores, labels, reduction="sum") == right

    def refused(error, sentence, *given, **options):
        with pytest.raises(error, match=sentence):
            call(operation, *given, **({"reduction": "sum"} | options))

    short = Tensor(aligned(signs[:44].copy()))
    refused(ValueError, "labels has shape", scores, short)
    refused(ValueError, "reduction is 'total'", scores, labels, reduction="total")
    there = Tensor(aligned(signs), device=1)
    refused(ValueError, "labels is on device 1", scores, there)
    wrong = Tensor(aligned(np.where(np.arange(45) == 44, 7, signs).astype(np.int8)))
    refused(ValueError, r"labels\[44\] is 7", scores, wrong)
    out = Tensor(aligned(np.zeros(45, np.float32)))
    refused(ValueError, "out has shape", scores, labels, out=out)
    call(operation, scores, labels, reduction="none", out=out)
    refused(ValueError, "shares memory", scores, labels, reduction="none", out=scores)
    wide = Tensor(aligned(np.zeros(45)))
    refused(ValueError, "out has dtype float64", scores, labels, reduction="none", out=wide)
    of_grad, negative = (Tensor(aligned(host)) for _ in range(2))
    of_grad.requires_grad = True
    refused(TypeError, "scores is a tensor that requires grad", of_grad, labels)
    negative.is_neg = lambda: True
    refused(TypeError, "accepted is a strided tensor of real numbers", negative, labels)
    # What is not aligned or has strides is computed, by the longer way.
    assert call(operation, Tensor(np.repeat(host, 2)[::2]), labels, reduction="sum") == right
    shifted = Tensor(aligned(np.zeros(46, np.float32)))
    shifted.array = shifted.array[1:]
    shifted.array[:] = host
    shifted.shape = (45,)
    assert call(operation, shifted, labels, reduction="sum") == right
    weighted = {"sample_weight": Tensor(aligned(weights))}
    assert call(operation, scores, labels, reduction="sum", **weighted) == call(
        operation, host, signs, reduction="sum", sample_weight=weights
    )


def test_the_short_way_lets_no_output_share_memory(elsewhere, torch):
    """Once a call like it has been made, with arrays of the same shapes and dtypes."""
    operation = OPERATIONS["binary_cross_entropy_with_logits_and_grad"]
    host, labels, _ = arguments(operation, 45, "float32")
    given = Tensor(aligned(host)), Tensor(aligned(labels.astype(np.float32)))
    out, gradient = (Tensor(aligned(np.zeros(45, np.float32))) for _ in range(2))
    fits = {"out": out, "grad_out": gradient}
    for _ in range(2):
        call(operation, *given, reduction="none", **fits)
    assert short.plans
    for name, other in (
        ("out", given[0]),
        ("out", given[1]),
        ("grad_out", given[0]),
        ("grad_out", given[1]),
        ("grad_out", out),
    ):
        with pytest.raises(ValueError, match="share"):
            call(operation, *given, reduction="none", **(fits | {name: other}))
    number = Tensor(given[1].array[44:].reshape(()))
    with pytest.raises(ValueError, match="share"):
        call(operation, *given, reduction="sum", out=number, grad_out=gradient)


def test_a_process_that_makes_one_call_compiles_nothing_to_look_at_it(elsewhere, torch):
    operation = OPERATIONS["logistic_loss"]
    given = [Tensor(aligned(array)) for array in arguments(operation, 45, "float32")[:2]]
    library = short.framework_of(Tensor)
    launch.launchers.clear()
    call(operation, *given, reduction="sum")
    assert "describe" not in vars(library)
    call(operation, *given, reduction="sum")
    assert ("describe" in vars(library)) is hasattr(Tensor, "__dlpack_c_exchange_api__")


def test_plans_are_not_mixed_up_and_not_kept_without_end(elsewhere, torch, monkeypatch):
    monkeypatch.setattr(short, "MOST_PLANS", 5)
    operation = OPERATIONS["logistic_loss"]
    host, signs, _ = arguments(operation, 44, "float32")
    for shape in ((44,), (4, 11), (11, 4), (2, 2, 11)) * 2:
        for size in (44, 22):
            given = host[:size], signs[:size]
            if size == 44:
                given = tuple(array.reshape(shape) for array in given)
            tensors = [Tensor(aligned(array)) for array in given]
            for reduction in ("sum", "mean"):
                got = call(operation, *tensors, reduction=reduction)
                assert got == call(operation, *given, reduction=reduction)
                assert len(short.plans) <= 5
    assert short.plans


def aligned(array):
    """The same array where vectors may be loaded from."""
    room = np.empty(array.nbytes + 16, np.uint8)
    start = -room.ctypes.data % 16
    moved = room[start : start + array.nbytes].view(array.dtype).reshape(array.shape)
    moved[...] = array
    return moved


def as_tuple(result):
    return result if isinstance(result, tuple) else (result,)


def test_tensors_that_cannot_be_read_are_refused(elsewhere, torch):
    operation = OPERATIONS["logistic_loss"]
    first, labels, _ = arguments(operation, 6, "float32")

    def refused(sentence, scores, signs):
        with pytest.raises(TypeError, match=sentence):
            call(operation, scores, signs, reduction="sum")

    grad, cpu, sparse = Tensor(first), Tensor(labels), Tensor(labels)
    grad.requires_grad = True
    cpu.is_cuda, cpu.device = False, "cpu"
    sparse.layout = "sparse"
    refused(r"scores is a tensor that requires grad.* accepted is its \.detach", grad, labels)
    refused("labels is a tensor of torch.int8 on cpu", Tensor(first), cpu)
    refused("labels is a tensor of torch.int8 on 0, sparse", Tensor(first), sparse)
    refused("labels is a host ndarray", Tensor(first), labels)
