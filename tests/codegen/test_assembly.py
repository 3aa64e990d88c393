"""The hot loops are compiled to packed arithmetic, without calls and without stray divisions."""

from __future__ import annotations

import importlib
import pkgutil
import re

import numpy as np
import pytest
from layers import AVX2, AVX512, run_tests
from numba import types
from numba.core.dispatcher import Dispatcher

from xent_numba.codegen import assembly
from xent_numba.kernels import cpu
from xent_numba.kernels.cpu import passes, summation

pytestmark = pytest.mark.skipif(
    not assembly.readable() or assembly.machine_width() == 128, reason="reads x86 code for AVX2"
)


MOST_INSTRUCTIONS = {256: 96, 512: 64}
"""In a loop, for a register of samples. Of the narrower there are half as many for constants."""


def most_instructions(dtype, loops):
    """For a sample."""
    width = assembly.machine_width()
    return loops * MOST_INSTRUCTIONS[width] * 8 * np.dtype(dtype).itemsize / width


def faults(found, divisions):
    """What keeps the code from being what is meant."""
    reasons = []
    if found.width != (width := assembly.machine_width()):
        reasons.append(f"{found.width}-bit registers where the machine has {width}")
    if found.calls:
        reasons.append("a call")
    if found.divisions != divisions:
        reasons.append(f"{found.divisions:g} divisions a sample, not {divisions}")
    if found.masked_stores:
        reasons.append("a masked store")
    return reasons


@pytest.mark.parametrize("dtype", assembly.SUFFIXES)
@pytest.mark.parametrize("name", assembly.LOOPS)
def test_hot_loop(name, dtype):
    found = assembly.code(name, dtype)
    assert not faults(found, assembly.LOOPS[name].divisions)
    loops = max(len(assembly.LOOPS[name].outputs), 1)
    assert found.instructions < most_instructions(dtype, loops)


@pytest.mark.slow
def test_hot_loops_of_the_other_machines():
    """What this machine cannot run it can compile: without AVX-512 where it has it, or with it."""
    other = ("haswell", AVX2) if assembly.machine_width() == 512 else ("skylake-avx512", AVX512)
    run_tests(*other, *(f"{__file__}::{test}" for test in ("test_hot_loop", "test_soft_labels")))


@pytest.mark.parametrize("dtype", assembly.SUFFIXES)
@pytest.mark.parametrize("labels", assembly.SUFFIXES)
@pytest.mark.parametrize(
    ("function", "gradients"),
    [
        (passes.soft_losses, False),
        (passes.soft_losses, True),
        (passes.soft_cross_entropies, False),
    ],
)
def test_soft_labels(function, gradients, labels, dtype):
    """One loop over full registers of float64, which both dtypes are computed in."""
    values = types.Array(getattr(types, dtype), 1, "C")
    labels = types.Array(getattr(types, labels), 1, "C")
    slopes = values if gradients else types.none
    text = assembly.assembly(function.py_func, (values, labels, values, slopes))
    loop = max(assembly.innermost_loops(text), key=len)
    assert assembly.width(loop) == assembly.machine_width()
    assert not assembly.masked_stores(loop)
    assert assembly.arithmetic(loop, "pd") > 20
    assert not assembly.arithmetic(loop, "sd")
    assert not any(line.startswith("call") for line in loop)
    assert not assembly.read_libm(text)


@pytest.mark.parametrize(("name", "suffix"), [("sum_float32", "pd"), ("sum_float64", "pd")])
def test_sums(name, suffix):
    """They write no array to count samples by."""
    one = types.Array(getattr(types, name[4:]), 1, "C")
    state = types.Array(types.float64, 1, "C")
    text = assembly.assembly(getattr(summation, f"_{name}"), (one, state))
    assert f"%{'xyz'[assembly.machine_width() // 256]}mm" in text
    assert re.search(rf"vadd{suffix}.*%[yz]mm", text)


# What reads memory as fast as it can computes no result.
@pytest.mark.parametrize(
    "name", sorted({m.name for m in pkgutil.iter_modules(cpu.__path__)} - {"memory_limit"})
)
def test_no_function_takes_its_options_from_the_first_caller(name):
    module = importlib.import_module(f"{cpu.__name__}.{name}")
    for function in vars(module).values():
        if isinstance(function, Dispatcher):
            options = function.targetoptions
            assert options.get("error_model") == "numpy", function
            assert options.get("fastmath", False) is False, function


def test_faults_are_seen():
    def calls(x, out):
        for i in range(x.size):
            out[i] = np.exp(x[i]) * x[i]

    def divides(x, out):
        for i in range(x.size):
            out[i] = 1.0 / (x[i] + 1.0)

    def recurs(x, out):
        for i in range(1, x.size):
            out[i] = out[i - 1] * x[i]

    one = types.Array(types.float64, 1, "C")
    for planted in (calls, divides, recurs):
        text = assembly.assembly(planted, (one, one))
        for found in (assembly.read_loops(text, "pd", (1,)), assembly.read_sums(text, "pd")):
            assert faults(found, 0)
