"""The roofline: what is counted is what runs, and everything is measured."""

from __future__ import annotations

import numpy as np
import pytest
from numba import types

from xent_numba.codegen import assembly
from xent_numba.kernels.cpu import peak
from xent_numba.measurement import roofline

pytestmark = pytest.mark.skipif(not assembly.readable(), reason="reads the assembly of x86")


@pytest.mark.parametrize("dtype", assembly.SUFFIXES)
def test_the_peak_is_of_as_many_operations_as_are_counted(dtype):
    """Nothing but the chains is in the loop, and none of them was folded away."""
    text = assembly.assembly(
        peak.continue_chains.py_func, (assembly.array_type(dtype), types.int64)
    )
    loops = assembly.innermost_loops(text)
    found = [assembly.flops(x) for x in loops if assembly.arithmetic(x, assembly.SUFFIXES[dtype])]
    # One loop of several links, and one of those that are left.
    assert found
    for links in found:
        assert links > 0
        assert links % peak.flops(1, 1, np.dtype(dtype)) == 0


def test_chains_go_on():
    lines = np.full((2, peak.flops(1, 1, np.dtype("float64")) // 2), -0.5)
    peak.chains(lines, 3)
    expected = -0.5
    for _ in range(3):
        expected = expected * expected + expected
    np.testing.assert_array_equal(lines, expected)


@pytest.mark.parametrize(
    ("instruction", "expected"),
    [
        ("vfmadd213ps\t%zmm1, %zmm2, %zmm3", 32),
        ("vfnmsub231pd\t%ymm1, %ymm2, %ymm3", 8),
        ("vaddps\t(%rax), %ymm1, %ymm2", 8),
        ("vdivpd\t%zmm1, %zmm2, %zmm3", 8),
        ("vaddss\t%xmm1, %xmm2, %xmm3", 0),
        ("vpaddd\t%zmm1, %zmm2, %zmm3", 0),
        ("vmovups\t%zmm1, (%rax)", 0),
    ],
)
def test_operations_are_those_of_all_lanes(instruction, expected):
    assert assembly.flops([instruction]) == expected


def test_every_operation_has_its_roofs():
    found = roofline.measure(in_memory=2**18, rounds=1)
    assert {(p.operation, p.dtype) for p in found.points} == {
        (operation, dtype) for operation in roofline.LOOPS for dtype in assembly.SUFFIXES
    }
    assert min(found.peaks.values()) > 0
    for point in found.points:
        assert point.flops > 2
        assert point.bytes >= 5
        assert min(point.seconds, point.seconds_of_memory) > 0
