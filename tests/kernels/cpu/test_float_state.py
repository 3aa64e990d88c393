"""Results do not depend on the caller's floating-point state, and leave it as it was."""

from __future__ import annotations

import platform
import threading

import numpy as np
import pytest
from llvmlite import ir
from numba import njit, types
from numba.extending import intrinsic

import xent_numba as xn
from xent_numba.kernels.cpu import float_state

pytestmark = pytest.mark.skipif(
    platform.machine().lower() not in ("x86_64", "amd64"), reason="sets x86's MXCSR"
)

DEFAULT = 0x1F80
STATES = {"flush": DEFAULT | 0x8040, "down": 0x3F80, "up": 0x5F80, "to zero": 0x7F80}


@intrinsic
def exchange(typing, state):
    def generate(context, builder, signature, args):
        before = float_state.read(builder)
        float_state.write(builder, builder.zext(args[0], ir.IntType(64)))
        return before

    return types.int64(types.uint32), generate


@njit
def set_state(state):
    return exchange(np.uint32(state))


@njit
def product(values):
    return values[0] * values[1]


def inputs(dtype, size):
    """Drawn in the default state, with what others flush."""
    rng = np.random.default_rng(size)
    s = (rng.standard_normal(size) * 6).astype(dtype)
    s[:3] = -95, -740, 95
    p, w = rng.random(size).astype(dtype), rng.random(size)
    p[:2] = np.finfo(dtype).smallest_subnormal * 1000
    w[1] = 1e-310
    hard = rng.integers(0, 2, size).astype(np.int8)
    return s, p, w, hard, 2 * hard - 1, rng.random(size).astype(dtype)


def results(s, p, w, hard, signs, soft):
    yield xn.sigmoid(s)
    for labels in (hard, soft):
        for weight in (None, w):
            for reduction in ("none", "mean"):
                options = {"sample_weight": weight, "reduction": reduction}
                yield from xn.binary_cross_entropy_with_logits_and_grad(s, labels, **options)
                yield xn.binary_cross_entropy(p, labels, **options)
    yield xn.logistic_loss(s, signs, reduction="sum")
    # Of one loss, a subnormal float32.
    yield xn.logistic_loss(s[2:3], np.ones(1, np.int8), reduction="sum")


def as_bytes(arrays):
    return [np.asarray(array).tobytes() for array in results(*arrays)]


@pytest.mark.slow
@pytest.mark.parametrize("size", [5, 1500, 20_000])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_state_of_the_caller(dtype, size):
    arrays = inputs(dtype, size)
    expected = as_bytes(arrays)
    found = {}

    def compute(name, state):
        # A thread of its own gets threads of its own under OpenMP, which begin in its state.
        set_state(state)
        tiny = product(np.array([1e-300, 1e-10]))
        found[name] = as_bytes(arrays), set_state(DEFAULT) & ~0x3F, tiny

    for name, state in STATES.items():
        thread = threading.Thread(target=compute, args=(name, state))
        thread.start()
        thread.join()
        got, after, tiny = found[name]
        assert after == state
        assert (tiny == 0) == (name == "flush")  # the state was set indeed
        assert got == expected, name
