"""The kernels compiled for a Hopper GPU that is not here: what NVVM and ptxas make of them.

Without NVIDIA's wheels (the extra ``cuda-check``) these tests are skipped by name;
``XENT_REQUIRE=cuda_check`` turns that into a failure.
"""

from __future__ import annotations

import itertools
import math
import re
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest

from xent_numba.operations import OPERATIONS

LOSSES = [name for name, operation in OPERATIONS.items() if operation.labels]
FLOATS = ("float32", "float64")
#: Registers of a Hopper multiprocessor, which blocks of 256 threads share.
REGISTERS = 65536
#: What float32 samples have none of. They are added as float64: a conversion, and the addition.
DOUBLE = ("DMUL", "DFMA", "DSETP", "DMNMX", "MUFU.RCP64H", "F2F.F32.F64")
#: What the functions of NVIDIA's libdevice are made of, and this package's are not.
LIBDEVICE = ("ex2.approx", "lg2.approx", "tanh.approx", "sqrt.")
#: Multiplications that ptxas may round together with an addition, in one kernel and not in another;
#: libdevice is full of them.
FUSIBLE = ("mul.f32", "mul.f64", "mad.f32", "mad.f64")


def check_structure(source):
    """One kernel, all in registers, calling nothing: everything has been inlined."""
    ptx = source.ptx
    assert ptx.count(".visible .entry") == 1
    assert ".target sm_90" in ptx
    for word in (".local", "call.uni", "call (", ".func", *LIBDEVICE, *FUSIBLE):
        assert word not in ptx, f"{word} in:\n{ptx}"


def check_compiled(compiled, blocks):
    assert compiled.local_bytes == 0
    assert compiled.registers <= REGISTERS // (256 * blocks)


def beyond_accumulation(source):
    """Instructions of double precision in the main loop that are more than additions."""
    from xent_numba.codegen.ptx import assembled

    return {name for name in assembled(source).main_loop if name.startswith(DOUBLE)}


@pytest.mark.parametrize("dtype", FLOATS)
def test_sigmoid(offline, dtype):
    ptx = offline.pass_ptx("sigmoid", dtype, reduced=False)
    check_structure(ptx)
    compiled = offline.assembled(ptx)
    check_compiled(compiled, 4)
    assert compiled.loads == {"LDG.E.128": 4}
    assert Counter(compiled.main_loop)["STG.E.128"] == 4
    if dtype == "float32":
        assert not beyond_accumulation(ptx)


#: Loads of a lane's 64 bytes of scores, and of the labels beside them, of one tile.
LOADS = {
    ("float32", "int8"): {"LDG.E.128": 4, "LDG.E": 4},
    ("float32", "float32"): {"LDG.E.128": 8},
    ("float32", "int64"): {"LDG.E.128": 12},
    ("float64", "int8"): {"LDG.E.128": 4, "LDG.E.U16": 4},
    ("float64", "float64"): {"LDG.E.128": 8},
    ("float16", "int8"): {"LDG.E.128": 4, "LDG.E.64": 4},
    ("float16", "float16"): {"LDG.E.128": 8},
    ("bfloat16", "int8"): {"LDG.E.128": 4, "LDG.E.64": 4},
}


#: To keep 4.3e12 bytes a second coming over a latency of 0.7 us (H200), each of the 132
#: multiprocessors has to have so many under way.
UNDER_WAY = 4.3e12 * 0.7e-6 / 132

BYTES = {"U8": 1, "S8": 1, "U16": 2, "S16": 2, "64": 8, "128": 16}
ARITHMETIC = re.compile(r"[FD](?:FMA|ADD|MUL|MNMX|SETP)|HADD2|MUFU")


def bytes_ahead(compiled):
    """Bytes that a thread has asked for in the main loop before it computes with the first."""
    before = itertools.takewhile(lambda name: not ARITHMETIC.match(name), compiled.main_loop)
    loads = (name for name in before if name.startswith("LDG"))
    return sum(BYTES.get(name.rpartition(".")[2], 4) for name in loads)


@pytest.mark.slow
@pytest.mark.parametrize(("dtype", "labels"), LOADS, ids=lambda name: name)
def test_a_tile_is_loaded_in_as_few_and_as_early_loads_as_there_can_be(offline, dtype, labels):
    compiled = offline.assembled(offline.pass_ptx("logistic_loss", dtype, labels))
    check_compiled(compiled, 4)
    assert compiled.loads == LOADS[dtype, labels]
    if dtype == "float32":
        assert 4 * 256 * bytes_ahead(compiled) > 2 * UNDER_WAY


def test_loads_that_wait_are_noticed(offline):
    """Without the registers it is allowed, ptxas loads a group when it needs it."""
    source = offline.pass_ptx("logistic_loss", "float32", "int8")
    compiled = offline.assembled(replace(source, max_registers=None))
    assert 4 * 256 * bytes_ahead(compiled) <= 2 * UNDER_WAY


def test_unaligned_arrays_are_taken_one_by_one(offline):
    ptx = offline.pass_ptx("logistic_loss", "float32", "int8", vector=False)
    check_structure(ptx)
    assert "ld.global.v" not in ptx.ptx
    check_compiled(offline.assembled(ptx), 4)


@pytest.mark.slow
@pytest.mark.parametrize(("labels", "reduced"), [("int8", True), ("same", True), ("int8", False)])
@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("operation", LOSSES)
def test_losses(offline, operation, dtype, labels, reduced):
    ptx = offline.pass_ptx(operation, dtype, labels.replace("same", dtype), reduced=reduced)
    check_structure(ptx)
    gradient = OPERATIONS[operation].gradient
    blocks = {"float32": 3 if gradient else 4, "float64": 1 if gradient else 2}[dtype]
    check_compiled(offline.assembled(ptx), blocks)
    if dtype == "float32":
        assert not beyond_accumulation(ptx)


#: 132 multiprocessors issue 4 instructions of a warp each in a cycle at 1.755 GHz or more, and
#: memory delivers 4.3e12 bytes a second: so many instructions are hidden behind a byte.
A_BYTE = 132 * 4 * 32 * 1.755e9 / 4.3e12


@pytest.mark.parametrize(
    ("operation", "labels", "moved", "share"),
    [
        ("sigmoid", None, 8, 0.95),
        ("logistic_loss", "float32", 8, 0.92),
        ("logistic_loss", "int8", 5, 0.85),
        ("binary_cross_entropy_with_logits", "int8", 5, 0.85),
        ("logistic_loss_and_grad", "int8", 9, 0.92),
    ],
)
def test_arithmetic_hides_behind_memory(offline, operation, labels, moved, share):
    """Instructions a sample, against those that can be issued while its bytes arrive."""
    ptx = offline.pass_ptx(operation, "float32", labels, reduced=operation != "sigmoid")
    assert len(offline.assembled(ptx).main_loop) / 16 <= moved * A_BYTE / share


def test_the_formulas_of_the_cpu_would_not_fit(offline, monkeypatch):
    """Why there are others: in the same kernel they are spilled, and more than can be hidden."""
    from xent_numba.kernels.cpu import losses
    from xent_numba.kernels.cpu.bits import exact
    from xent_numba.kernels.cuda import samples

    @exact
    def sample(score, label):
        margin = samples.flip_sign(score, label)
        return np.int32(0), losses.logistic_loss(margin), margin

    monkeypatch.setitem(samples.SAMPLES, "formulas of the cpu", (sample, sample))
    ours, theirs = (
        offline.assembled(offline.pass_ptx(operation, "float32", "int8"))
        for operation in ("logistic_loss", "formulas of the cpu")
    )
    around = ours.instructions - len(ours.main_loop)
    assert (theirs.instructions - around) / 16 > 1.5 * 5 * A_BYTE / 0.85
    assert theirs.local_bytes


@pytest.mark.parametrize("operation", ["logistic_loss_and_grad", "binary_cross_entropy"])
def test_weights_and_division_stay_in_float32(offline, operation):
    ptx = offline.pass_ptx(operation, "float32", "int8", weighted=True, divided=True)
    check_structure(ptx)
    assert not beyond_accumulation(ptx)


@pytest.mark.slow
@pytest.mark.parametrize("label_dtype", ["float64", "int32", "int64", "float16"])
def test_every_width_of_labels_compiles(offline, label_dtype):
    for operation in LOSSES[:3]:  # the others have the same samples
        check_structure(offline.pass_ptx(operation, "float32", label_dtype))


def test_strided_arrays_are_indexed_in_each_dimension(offline):
    ptx = offline.pass_ptx("sigmoid", "float32", strided=3, reduced=False)
    check_structure(ptx)
    assert offline.assembled(ptx).local_bytes == 0
    assert not beyond_accumulation(ptx)


def first_samples(source, tile):
    """How PTX multiplies the number of a tile by the samples of one: instructions by name."""
    times = rf"%\w+, %\w+, (?:{tile}|{tile.bit_length() - 1});"
    return set(re.findall(rf"((?:shl|mul|mad)[\w.]+)\s+{times}", source.ptx))


def test_indices_are_64_bits(offline):
    """A tile's first sample is its number times the samples of a tile, beyond 2^31 in the end."""
    source = offline.pass_ptx("sigmoid", "float32", reduced=False)
    found = first_samples(source, 4096)
    assert found
    assert found <= {"shl.b64", "mul.wide.s32", "mul.lo.s64"}


@pytest.fixture
def planted(offline):
    """PTX of a kernel with a fault."""
    from numba import float32

    from xent_numba.kernels.cuda import compiler

    def ptx(body):
        return offline.Source(compiler.compiled(body, (float32[::1], float32[::1]), offline.HOPPER))

    return ptx


def test_a_float64_literal_is_noticed(planted):
    from numba import cuda

    def body(values, out):
        i = cuda.grid(1)
        out[i] = 1.0 / (1.0 + values[i])

    assert beyond_accumulation(planted(body))


def test_an_index_of_32_bits_is_noticed(planted):
    from numba import cuda

    def body(values, out):
        i = np.int32(np.int32(cuda.blockIdx.x) * np.int32(4096))
        out[i] = values[i]

    assert "shl.b32" in first_samples(planted(body), 4096)


def test_local_memory_is_noticed(offline, planted):
    from numba import cuda, float32

    def body(values, out):
        kept = cuda.local.array(64, float32)
        for i in range(64):
            kept[i] = values[i]
        out[0] = kept[int(values[0])]

    with pytest.raises(AssertionError, match="local"):
        check_structure(planted(body))


@pytest.mark.parametrize(
    ("function", "trace"),
    [(math.exp, "ex2"), (math.tanh, "ex2|tanh"), (math.sqrt, "sqrt"), (math.log1p, r"mul\.f32")],
)
def test_a_function_of_libdevice_is_noticed(planted, function, trace):
    from numba import cuda

    def body(values, out):
        i = cuda.grid(1)
        out[i] = function(values[i])

    with pytest.raises(AssertionError, match=trace):
        check_structure(planted(body))


def test_a_product_that_may_be_fused_is_noticed(planted):
    from numba import cuda

    def body(values, out):
        i = cuda.grid(1)
        out[i] = values[i] * values[i + 1] * values[i + 2]

    with pytest.raises(AssertionError, match=r"mul\.f32"):
        check_structure(planted(body))


def test_spilled_registers_are_noticed(offline):
    source = offline.pass_ptx("logistic_loss_and_grad", "float32", "float32")
    with pytest.raises(AssertionError):
        check_compiled(offline.assembled(replace(source, max_registers=40)), 1)


def test_too_many_registers_are_noticed(offline):
    source = offline.pass_ptx("binary_cross_entropy_with_logits_and_grad", "float64", "float64")
    with pytest.raises(AssertionError):
        check_compiled(offline.assembled(source), 4)


def test_narrow_loads_are_noticed(offline):
    ptx = offline.pass_ptx("logistic_loss", "float32", "int8", vector=False)
    assert offline.assembled(ptx).loads != LOADS["float32", "int8"]
