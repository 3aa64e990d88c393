"""The functions of `vectormath` in a user's kernel for a GPU that is not here."""

from __future__ import annotations

import numba
import pytest

from xent_numba import vectormath

FUNCTIONS = [name for name in vectormath.__all__ if name != "prefer_full_vectors"]


@pytest.mark.slow
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", FUNCTIONS)
def test_a_users_kernel_compiles_to_arithmetic(offline, name, dtype):
    from numba import cuda

    from xent_numba.codegen.ptx import HOPPER, Source
    from xent_numba.kernels.cuda import compiler

    function = getattr(vectormath, name)

    def kernel(inputs, results):
        i = cuda.grid(1)
        if i < inputs.size:
            results[i] = function(inputs[i])

    array = getattr(numba, dtype)[::1]
    ptx = compiler.compiled(kernel, (array, array), HOPPER)
    for word in (".local", "call.uni", "call (", ".func", "ex2.approx", "lg2.approx"):
        assert word not in ptx, f"{word} in:\n{ptx}"
    if dtype == "float32":
        assert "fma.rn.f32" in ptx
        assert not [line for line in ptx.splitlines() if ".f64" in line and "%fd" in line]
    assert offline.assembled(Source(ptx)).local_bytes == 0
