"""What is looked up is what is there, whatever the other bits of a number say."""

import numpy as np
import pytest
from layers import AVX2, run_tests
from numba import njit

from xent_numba.codegen import assembly
from xent_numba.kernels.cpu import lanes, lookup

COLUMNS = [tuple(range(100, 116)), tuple(range(216, 200, -1))]


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("load", [lanes.load, lanes.load_pair])
@pytest.mark.parametrize("columns", [1, 2])
def test_rows_are_those_of_the_low_four_bits(columns, load, dtype):
    table = lookup.table(float32=COLUMNS[:columns], float64=COLUMNS[:columns])
    step = (2 if load is lanes.load_pair else 1) * lanes.LINE // np.dtype(dtype).itemsize
    whole = np.uint32 if dtype is np.float32 else np.uint64
    bits = np.random.default_rng(1).integers(0, np.iinfo(whole).max, 40 * step, whole)
    out = np.zeros((columns, bits.size), dtype)

    @njit(error_model="numpy")
    def rows(numbers, out):
        for i in range(0, numbers.size, step):
            found = table(load(numbers, i))
            for k in range(columns):
                lanes.store(out[k], i, found[k])

    rows(bits.view(dtype), out)
    for k in range(columns):
        assert (out[k] == np.array(COLUMNS[k], dtype)[bits % 16]).all()


@pytest.mark.slow
@pytest.mark.skipif(not assembly.readable(), reason="x86 code")
@pytest.mark.parametrize(("name", "features"), [("haswell", AVX2), ("generic", "")])
def test_by_code_for_older_machines_too(name, features):
    run_tests(name, features, __file__)
