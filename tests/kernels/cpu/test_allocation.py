"""Whatever allocation fails, in whichever thread, a result is right or there is a MemoryError."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
import sys
import textwrap

import pytest

ALLOCATOR = r"""
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stddef.h>
#include <sys/syscall.h>
#include <unistd.h>

/* 0: nothing fails; 1: in other threads than the main one; 2: in the main thread. */
static int where;
static size_t least;
static long failed;

void arm(int in, size_t from) { failed = 0; least = from; where = in; }
long disarm(void) { where = 0; return failed; }

static int fails(size_t size) {
    if (!where || size < least) return 0;
    int is_main = syscall(SYS_gettid) == getpid();
    if (is_main != (where == 2)) return 0;
    __atomic_add_fetch(&failed, 1, __ATOMIC_SEQ_CST);
    return 1;
}

void *malloc(size_t size) {
    static void *(*next)(size_t);
    if (!next) next = dlsym(RTLD_NEXT, "malloc");
    return fails(size) ? NULL : next(size);
}

void *realloc(void *old, size_t size) {
    static void *(*next)(void *, size_t);
    if (!next) next = dlsym(RTLD_NEXT, "realloc");
    return fails(size) ? NULL : next(old, size);
}
"""

CALLS = """
import ctypes, itertools, sys
import numpy as np
import xent_numba as xn
from numba import njit, prange

library = ctypes.CDLL(sys.argv[1])
library.arm.argtypes = ctypes.c_int, ctypes.c_size_t
library.disarm.restype = ctypes.c_long

def calls(dtype, n, step):
    rng = np.random.default_rng(n)
    s, w = (a[::step] for a in (rng.standard_normal((2, n * step)).astype(dtype)))
    p, y, w = xn.sigmoid(s), (s > 0).astype(np.int8), np.abs(w)
    yield lambda out: xn.sigmoid(s, out=out), s
    for weight, reduction in itertools.product((None, w), ("none", "sum", "mean")):
        options = {"sample_weight": weight, "reduction": reduction}
        like = s if reduction == "none" else s[0]
        for loss, args in ((xn.binary_cross_entropy, (p, y)), (xn.logistic_loss, (s, 2 * y - 1)),
                           (xn.binary_cross_entropy_with_logits, (s, y))):
            yield lambda out, f=loss, a=args, o=options: f(*a, out=out, **o), like
        yield lambda out, o=options: xn.binary_cross_entropy_with_logits_and_grad(
            s, y, grad_out=out, **o)[1], s

@njit(parallel=True)
def planted(n):
    total = 0.0
    for i in prange(n):
        total += np.ones(600)[i % 600]
    return total

def run(where, least):
    errors = 0
    for dtype, n, step in ((np.float32, 5, 1), (np.float32, 40_000, 1), (np.float64, 40_000, 1),
                           (np.float32, 9_000, 2)):
        for call, like in calls(dtype, n, step):
            expected = np.copy(call(np.empty_like(like)))
            out = np.full_like(like, -7)
            library.arm(where, least)
            try:
                call(out)
            except MemoryError:
                library.disarm()
                errors += 1
                # As it was, where not even the pass began.
                assert np.isnan(out).all() or (out == -7).all(), "half a result"
            else:
                library.disarm()
                assert np.array_equal(out, expected, equal_nan=True), "a wrong result"
    return errors

planted(100_000)
library.arm(1, 1024)
print("half a sum:", planted(100_000) != 100_000, library.disarm() > 0)
print("workers:", run(1, 0))
print("main:", run(2, 1024) > 0)
"""


@pytest.fixture(scope="module")
def allocator(tmp_path_factory):
    compiler = shutil.which("cc") or shutil.which("gcc")
    if platform.system() != "Linux" or not compiler:
        pytest.skip("a failing allocator takes Linux and a C compiler")
    folder = tmp_path_factory.mktemp("allocator")
    (folder / "fail.c").write_text(ALLOCATOR)
    library = folder / "libfail.so"
    subprocess.run(
        [compiler, "-O1", "-shared", "-fPIC", "-o", library, folder / "fail.c", "-ldl"], check=True
    )
    return library


@pytest.mark.slow
def test_failing_allocations(allocator):
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(CALLS), str(allocator)],
        env={**os.environ, "LD_PRELOAD": str(allocator), "NUMBA_NUM_THREADS": "2"},
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    # The first line is what Numba does to a kernel that allocates, by the same allocator.
    assert done.stdout.split("\n")[:3] == ["half a sum: True True", "workers: 0", "main: True"]
