"""Code in a process of its own, under each threading layer."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

LOAD_TBB = (
    f"import sys; sys.path.insert(0, {str(Path(__file__).with_name('soak'))!r})\nimport trial\n"
)
PRELUDE = """
import hashlib, multiprocessing, os, sys, threading
import numba, numpy as np
import xent_numba as xn

def spread(n, factor):
    # Over [0, 1), by arithmetic that is exact everywhere.
    return np.arange(n, dtype=np.uint64) * np.uint64(factor) % np.uint64(2**32) / 2**32

def inputs(dtype, n=100_003):
    scores = spread(n, 2654435761) * 60 - 30
    scores[::10] *= 100
    scores[::1000] = np.inf
    labels = (spread(n, 2246822519) < 0.5).astype(np.int8)
    return scores.astype(dtype), labels, spread(n, 3266489917).astype(dtype)

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
        for g in xn.binary_cross_entropy_with_logits_and_grad(s, w, reduction="none"):
            h.update(g.tobytes())
        p = arrange(xn.sigmoid(s))
        h.update(xn.binary_cross_entropy(p, w, reduction="none").tobytes())
        for labels in (y, y.astype(dtype), w):
            h.update(xn.binary_cross_entropy(p, labels, reduction="sum").tobytes())
            h.update(xn.binary_cross_entropy_with_logits(s, labels, reduction="sum").tobytes())
    return h.hexdigest()
"""


AVX2 = "+avx,+avx2,+bmi,+bmi2,+cx16,+f16c,+fma,+lzcnt,+mmx,+movbe,+popcnt,+sse4.2"
AVX512 = AVX2 + ",+avx512f,+avx512bw,+avx512cd,+avx512dq,+avx512vl"
"""What processors of 2013 and of 2017 can do, as NUMBA_CPU_FEATURES names it."""

USERS = """
import numba, numpy as np, os, sys
@numba.njit(parallel=True)
def users(n):
    total = 0
    for i in numba.prange(n): total += i
    return total
"""

LAYERS = pytest.mark.parametrize(
    "layer", ["omp", "workqueue", pytest.param("tbb", marks=pytest.mark.slow)]
)
FORKS = pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
LINUX = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")


def run(*code, before=PRELUDE, **environment):
    load = LOAD_TBB if environment.get("NUMBA_THREADING_LAYER") == "tbb" else ""
    done = subprocess.run(
        [sys.executable, "-c", load + before + "".join(map(textwrap.dedent, code))],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    if "threading layer can be loaded" in done.stderr:
        pytest.skip("this threading layer is not installed")
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def run_tests(name, features, *tests):
    """Run tests, none of them slow, where Numba compiles for a processor of another name."""
    options = ("-q", "-p", "no:cacheprovider", "-p", "no:xdist")
    done = subprocess.run(
        [sys.executable, "-m", "pytest", *options, *tests],
        env={**os.environ, "NUMBA_CPU_NAME": name, "NUMBA_CPU_FEATURES": features},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    assert "skipped" not in done.stdout
