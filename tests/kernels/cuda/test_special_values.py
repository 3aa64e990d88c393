"""The arithmetic of a GPU on every special value, where there is no GPU.

Compiled for a CPU, with what a GPU does otherwise: a NaN that an instruction returns is always the
same one, with all bits of the significand set (float64: the highest alone, and all from
``rcp.approx``), and ``rcp.approx.ftz`` takes subnormal numbers for 0 and returns none (PTX ISA,
8.x, sections on ``max``, ``rcp``, ``fma`` and ``mul``). Bits that are shifted, added or flipped are
those of such numbers, or those that memory holds: a NaN of any payload.
"""

from __future__ import annotations

import sys
from functools import cache
from importlib import util
from unittest.mock import patch

import numpy as np
import pytest
from numba import njit, types
from numba.extending import overload

from xent_numba.kernels.cpu import bits
from xent_numba.operations import OPERATIONS

KERNELS = "xent_numba.kernels.cuda"
CANONICAL = {"float32": (0x7FFFFFFF,), "float64": (0xFFF8 << 48, 2**63 - 1)}
SEPARATE = [name for name in OPERATIONS if f"{name}_and_grad" not in OPERATIONS]
"""A loss is computed as it is with its gradient."""
UNSIGNED = {"float32": np.uint32, "float64": np.uint64}


def stub(name):
    def missing(*arguments):
        raise NotImplementedError

    missing.__name__ = name
    return missing


@cache
def gpu(nan32, nan64):
    """The instructions of a GPU, by the names of the intrinsics, with such NaNs."""
    canonical_nan, tiny = stub("canonical_nan"), stub("tiny")
    numbers = {
        types.float32: np.uint32(nan32).view(np.float32),
        types.float64: np.uint64(nan64).view(np.float64),
    }
    smallest = {types.float32: np.finfo(np.float32).tiny, types.float64: np.finfo(float).tiny}

    @overload(canonical_nan)
    def choose_nan(x):
        value = numbers[x]
        return lambda x: value

    @overload(tiny)
    def choose_tiny(x):
        value = smallest[x]
        return lambda x: value

    @njit
    def canonical(x):
        return canonical_nan(x) if x != x else x

    @njit
    def flushed(x):
        return x * x * x if abs(x) < tiny(x) else x  # 0 with its sign

    found = {}

    def instruction(name, of):
        made = stub(name)
        overload(made)(of)
        found[name] = made

    from xent_numba.kernels.cuda import intrinsics

    instruction("at_least", lambda low, x: lambda low, x: canonical(intrinsics.at_least(low, x)))
    instruction("product", lambda a, b: lambda a, b: canonical(bits.product(a, b)))
    instruction("fma", lambda a, b, c: lambda a, b, c: canonical(bits.fma(a, b, c)))
    instruction("horner", lambda x, c: lambda x, c: canonical(bits.horner(x, c)))
    instruction(
        "approximate_reciprocal",
        lambda x: lambda x: canonical(flushed(intrinsics.approximate_reciprocal(flushed(x)))),
    )
    instruction("low_bits_to_exponent", lambda x: lambda x: bits.low_bits_to_exponent(canonical(x)))
    instruction("split_octave", lambda x, p: lambda x, p: bits.split_octave(canonical(x), p))
    return found


def fresh(name, replaced):
    spec = util.find_spec(f"{KERNELS}.{name}")
    module = util.module_from_spec(spec)
    spec.loader.exec_module(module)
    for intrinsic, instruction in replaced.items():
        if hasattr(module, intrinsic):
            setattr(module, intrinsic, instruction)
    return module


@cache
def kernel(operation, hard, weighted, nans):
    replaced = gpu(*nans)
    elementary = fresh("elementary", replaced)
    with patch.dict(sys.modules, {f"{KERNELS}.elementary": elementary}):
        samples = fresh("samples", replaced)
    evaluate = samples.weighted_sample(operation, hard=hard, weighted=weighted, divided=False)

    @njit(error_model="numpy")
    def run(first, labels, weights, losses, gradients):
        for i in range(first.size):
            _, losses[i], gradients[i] = evaluate(first[i], labels[i], weights[i], weights[i])

    return run


def special(dtype):
    """Zeros, subnormal numbers, seams, infinities and NaNs of several payloads, of both signs."""
    kind = np.dtype(dtype)
    info = np.finfo(kind)
    values = [0, info.smallest_subnormal, info.tiny / 2, info.tiny, 1, 16.6, 87.3, 88.8, 103.9]
    values += [104, 709.8, 745.2, 1000, info.max, np.inf]
    plain = np.array(values, kind)
    quiet = UNSIGNED[dtype](0x7FC00000 if dtype == "float32" else 0x7FF8 << 48)
    payloads = quiet | np.array([0, 1, 0x1FF, int(quiet) >> 12], UNSIGNED[dtype])
    every = UNSIGNED[dtype](CANONICAL[dtype][-1] & (2**63 - 1))
    nans = np.append(payloads, every).view(kind)
    return np.concatenate([plain, -plain, nans, -nans])


def pairs():
    return [(CANONICAL["float32"][0], nan) for nan in CANONICAL["float64"]]


def assert_as_on_the_cpu(operation, dtype, hard, nans, weight=None):
    first = special(dtype)
    if OPERATIONS[operation].first == "probabilities":
        first = first[((first >= 0) & (first <= 1)) | np.isnan(first)]
    chosen = OPERATIONS[operation].labels
    labels = chosen.hard if chosen else (0,)
    if chosen and chosen.soft and not hard:
        labels = (*labels, 0.25)
    import xent_numba

    for label in labels:
        typed = np.full(first.size, label, np.int8 if hard else dtype)
        weights = np.full(first.size, 1 if weight is None else weight, dtype)
        losses, gradients = np.empty_like(first), np.empty_like(first)
        run = kernel(operation, hard, weight is not None, nans)
        run(first, typed, weights, losses, gradients)
        good = (
            ~np.isnan(first)
            if chosen and OPERATIONS[operation].first == "probabilities"
            else (np.full(first.size, True))
        )
        options = {} if weight is None else {"sample_weight": weights[good]}
        if chosen:
            right = getattr(xent_numba, operation)(
                first[good], typed[good], reduction="none", **options
            )
        else:
            right = xent_numba.sigmoid(first)
        expected = right if isinstance(right, tuple) else (right,)
        # g(s) - y is as exact as its terms, of which a soft label is one.
        terms = (0, label if 0 < label < 1 else 0)
        computed = (losses[good], gradients[good])
        for got, exact, term in zip(computed, expected, terms, strict=False):
            with np.errstate(all="ignore"):
                size = np.maximum(np.abs(exact), first.dtype.type(term))
                off = np.abs(got - exact) <= 3 * np.spacing(size)
            same = (np.isnan(got) & np.isnan(exact)) | (got == exact) | off
            assert same.all(), (label, first[good][~same], got[~same], exact[~same])


@pytest.mark.slow
@pytest.mark.parametrize(
    ("dtype", "nans"), [("float32", pairs()[0]), *(("float64", nans) for nans in pairs())]
)
@pytest.mark.parametrize("operation", SEPARATE)
def test_every_special_value_is_what_it_is_on_a_cpu(operation, dtype, nans):
    for hard in (True, False):
        assert_as_on_the_cpu(operation, dtype, hard, nans)
    if nans == pairs()[0] and OPERATIONS[operation].labels:
        for weight in (0.5, 0.0):
            assert_as_on_the_cpu(operation, dtype, True, nans, weight)


@pytest.mark.parametrize("half", ["float16", "bfloat16"])
def test_what_was_half_precision_is_among_them(half):
    """float16 is widened by an instruction, with its one NaN; bfloat16 keeps the payload."""
    wide = np.uint32(0x7FC0 << 16).view(np.float32) if half == "bfloat16" else np.float32("nan")
    out = np.empty((2, 1), np.float32)
    run = kernel("sigmoid", True, False, pairs()[0])
    run(np.array([wide]), np.zeros(1, np.int8), np.ones(1, np.float32), *out)
    assert np.isnan(out[0, 0])
