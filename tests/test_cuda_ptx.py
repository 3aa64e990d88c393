"""The kernels compiled for a Hopper GPU that is not here: what NVVM and ptxas make of them.

Without NVVM and ptxas (the extra ``cuda-check``) these tests are skipped by name;
``XENT_REQUIRE=cuda_check`` turns that into a failure.
"""

from __future__ import annotations

import importlib.util
import os
import re

import pytest

from xent_numba.operations import OPERATIONS

LOSSES = [name for name, operation in OPERATIONS.items() if operation.labels]
FLOATS = ("float32", "float64")
#: 65536 registers of a Hopper multiprocessor over its 2048 threads, and over half of them.
FULL_OCCUPANCY, HALF_OCCUPANCY = 32, 64
#: Arithmetic and comparisons; moves, loads and stores cost no double-precision unit.
ARITHMETIC = re.compile(
    r"\b(?:add|sub|mul|fma|mad|div|rcp|sqrt|ex2|lg2|setp|set|selp|abs|neg|min|max|cvt)"
    r"(?:\.\w+)*\.f64\b.*"
)
#: float32 losses are added as float64: a conversion, and the additions.
ACCUMULATION = re.compile(r"(?:add|sub)(?:\.rn)?\.f64\b|cvt\.f64\.f32\b|cvt\.rn\.f64\.s32\b")


@pytest.fixture(scope="module")
def offline():
    missing = [
        name
        for name, module in (("numba-cuda", "numba_cuda"), ("the wheels of NVIDIA", "nvidia"))
        if importlib.util.find_spec(module) is None
    ]
    if not missing:
        from xent_numba.kernels import cuda_offline

        if cuda_offline.ptxas() is None:
            missing.append("ptxas")
        try:
            cuda_offline.sigmoid_ptx("float32")
        except Exception as error:  # noqa: BLE001 - whatever stops NVVM is the reason
            missing.append(f"a working NVVM ({type(error).__name__}: {str(error).splitlines()[0]})")
    if not missing:
        return cuda_offline
    reason = f"{' and '.join(missing)} missing; pip install 'xent-numba[cuda-check]'"
    if "cuda_check" in os.environ.get("XENT_REQUIRE", "").split(","):
        pytest.fail(f"cuda_check is required by XENT_REQUIRE: {reason}")
    pytest.skip(f"cuda_check: {reason}")


def check_structure(ptx):
    """One kernel, all in registers, calling nothing: everything has been inlined."""
    assert ptx.count(".visible .entry") == 1
    assert ".target sm_90" in ptx
    for word in (".local", "call.uni", "call (", ".func"):
        assert word not in ptx, f"{word} in:\n{ptx}"


def double_precision(ptx):
    return {match[0].split("\t")[0].strip() for match in ARITHMETIC.finditer(ptx)}


@pytest.mark.parametrize("dtype", FLOATS)
def test_sigmoid(offline, dtype):
    ptx = offline.sigmoid_ptx(dtype)
    check_structure(ptx)
    resources = offline.resources(ptx)
    assert resources.spill_stores == resources.spill_loads == resources.stack == 0
    assert resources.registers <= FULL_OCCUPANCY
    if dtype == "float32":
        assert not double_precision(ptx)


@pytest.mark.parametrize("reduced", [False, True])
@pytest.mark.parametrize("labels", ["int8", "bool", "same"])
@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("operation", LOSSES)
def test_losses(offline, operation, dtype, labels, reduced):
    ptx = offline.loss_ptx(operation, dtype, labels.replace("same", dtype), reduced=reduced)
    check_structure(ptx)
    resources = offline.resources(ptx)
    assert resources.spill_stores == resources.spill_loads == resources.stack == 0
    assert resources.registers <= (HALF_OCCUPANCY if dtype == "float64" else 40)
    if dtype == "float32":
        beyond = {i for i in double_precision(ptx) if not ACCUMULATION.match(i)}
        assert not beyond


@pytest.mark.parametrize("operation", ["logistic_loss_and_grad", "binary_cross_entropy"])
def test_weights_and_division_stay_in_float32(offline, operation):
    ptx = offline.loss_ptx(operation, "float32", "int8", weighted=True, divided=True)
    check_structure(ptx)
    assert not {i for i in double_precision(ptx) if not ACCUMULATION.match(i)}


@pytest.mark.parametrize("label_dtype", ["uint8", "int32", "int64", "float32", "float64"])
def test_every_label_dtype_compiles(offline, label_dtype):
    for operation in LOSSES:
        check_structure(offline.loss_ptx(operation, "float32", label_dtype))


def test_strided_arrays_are_indexed_in_each_dimension(offline):
    ptx = offline.sigmoid_ptx("float32", ndim=3, layout="A")
    check_structure(ptx)
    assert offline.resources(ptx).spill_stores == 0
    assert not double_precision(ptx)


def test_indices_are_64_bits(offline):
    """A block's first sample is its number times the chunk, beyond 2^31 in a large array."""
    ptx = offline.sigmoid_ptx("float32")
    assert re.search(r"(mul\.lo\.s64|mad\.lo\.s64|mul\.wide|mad\.wide)", ptx)
    assert not re.search(r"mul\.lo\.s32", ptx)


def test_a_float64_literal_is_noticed(offline):
    """The check itself can fail: a literal 1.0 makes a float32 kernel compute in float64."""
    from numba import cuda, float32

    @cuda.jit
    def planted(values, out):
        i = cuda.grid(1)
        out[i] = 1.0 / (1.0 + values[i])

    ptx = offline.ptx_of(planted, (float32[::1], float32[::1]))
    assert double_precision(ptx) - {"cvt.f64.f32"}


def test_a_spill_is_noticed(offline):
    """The check itself can fail: an array that is indexed at run time lives in local memory."""
    from numba import cuda, float32

    @cuda.jit
    def planted(values, out):
        kept = cuda.local.array(64, float32)
        for i in range(64):
            kept[i] = values[i]
        out[0] = kept[int(values[0])]

    with pytest.raises(AssertionError):
        check_structure(offline.ptx_of(planted, (float32[::1], float32[::1])))
