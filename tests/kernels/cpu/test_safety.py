"""The same bits on every path, and no crash, in a process of its own for each threading layer."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap

import pytest

from xent_numba.codegen import assembly

# The wheel's library lies where no loader looks for it; once loaded, numba finds it.
LOAD_TBB = """
import ctypes
from importlib import metadata
try:
    wheel = metadata.distribution("tbb")
except metadata.PackageNotFoundError:
    pass
else:
    library = next(file for file in wheel.files if file.name == "libtbb.so.12")
    ctypes.CDLL(str(wheel.locate_file(library)), ctypes.RTLD_GLOBAL)
"""
PRELUDE = """
import hashlib, multiprocessing, os, sys, threading
import numba, numpy as np
import xent_numba as xn

def inputs(dtype, n=100_003):
    rng = np.random.default_rng(7)
    scores = (rng.standard_normal(n) * 6).astype(dtype)
    labels = rng.integers(0, 2, n).astype(np.int8)
    return scores, labels, rng.random(n).astype(dtype)

def digest(arrange=lambda a: a):
    h = hashlib.sha256()
    for dtype in (np.float32, np.float64):
        s, y, w = map(arrange, inputs(dtype))
        h.update(xn.sigmoid(s).tobytes())
        for weight in (None, w):
            for reduction in ("none", "sum", "mean"):
                loss, gradient = xn.binary_cross_entropy_with_logits_and_grad(
                    s, y, sample_weight=weight, reduction=reduction)
                h.update(np.asarray(loss).tobytes() + gradient.tobytes())
    return h.hexdigest()
"""


def run(code, **environment):
    load = LOAD_TBB if environment.get("NUMBA_THREADING_LAYER") == "tbb" else ""
    done = subprocess.run(
        [sys.executable, "-c", load + PRELUDE + textwrap.dedent(code)],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    if "No threading layer could be loaded" in done.stderr:
        pytest.skip("this threading layer is not installed")
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@pytest.fixture(scope="module")
def expected():
    return run("print(digest())", NUMBA_NUM_THREADS="1")


@pytest.mark.parametrize("layer", ["omp", "workqueue", "tbb"])
def test_layers(layer, expected):
    assert run("print(digest())", NUMBA_THREADING_LAYER=layer) == expected


def test_arrangements(expected):
    output = run("""
        def strided(a):
            b = np.empty(2 * a.size, a.dtype); b[::2] = a; return b[::2]
        def reversed_(a):
            return a[::-1].copy()[::-1]
        def unaligned(a):
            b = np.empty(a.nbytes + 1, np.uint8)[1:].view(a.dtype); b[:] = a; return b
        def read_only(a):
            a.flags.writeable = False; return a
        for arrange in (strided, reversed_, unaligned, read_only):
            print(digest(arrange))
        for _ in range(20):
            assert digest() == digest()
        """)
    assert output.split() == [expected] * 4


@pytest.mark.skipif(not assembly.readable(), reason="x86 code")
def test_avx2_code_has_the_same_bits(expected):
    assert run("print(digest())", NUMBA_CPU_NAME="haswell", NUMBA_CPU_FEATURES=HASWELL) == expected


HASWELL = "+avx,+avx2,+bmi,+bmi2,+cx16,+f16c,+fma,+lzcnt,+mmx,+movbe,+popcnt,+sse4.2"


@pytest.mark.parametrize("layer", ["omp", "workqueue", "tbb"])
def test_concurrent_callers(layer, expected):
    output = run(
        """
        found = []
        callers = [threading.Thread(target=lambda: found.append(digest())) for _ in range(4)]
        for t in callers: t.start()
        for t in callers: t.join()
        print(*found)
        """,
        NUMBA_THREADING_LAYER=layer,
    )
    assert output.split() == [expected] * 4


@pytest.mark.parametrize("layer", ["omp", "workqueue", "tbb"])
@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_forked_child(layer, expected):
    output = run(
        """
        print(digest(), flush=True)
        child = os.fork()
        if child == 0:
            print(digest(), flush=True)
            os._exit(0)
        _, status = os.waitpid(child, 0)
        assert os.waitstatus_to_exitcode(status) == 0
        """,
        NUMBA_THREADING_LAYER=layer,
    )
    assert output.split() == [expected] * 2
