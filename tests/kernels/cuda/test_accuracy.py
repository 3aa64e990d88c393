"""The arithmetic of the GPU, held to the truth on a CPU: within 2 ULP in every octave.

It is the same on both, operation by operation, but for the reciprocals that a GPU approximates.
Here they are right, or off by as much as NVIDIA allows them, to either side.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from functools import cache
from importlib import util
from typing import Any
from unittest.mock import patch

import numpy as np
import pytest
from numba import njit, types
from numba.extending import overload

from xent_numba.accuracy.plans import Seams, Strata
from xent_numba.accuracy.sweep import Quantity, Sweep, inspect, total
from xent_numba.operations import OPERATIONS

KERNELS = "xent_numba.kernels.cuda"
LIMIT = 2
REACH = 16
SCORES = (
    "sigmoid",
    "logistic_loss_and_grad",
    "binary_cross_entropy_with_logits_and_grad",
)
PROBABILITIES = ("binary_cross_entropy",)


def approximation(off: float) -> Any:
    """1/x as ``rcp.approx`` may have it: off by so many ULP of float32, or of 2^-18 for float64.

    That of float64 drops all but 20 bits of x, and has no more itself (PTX ISA).
    """

    def reciprocal(x):
        raise NotImplementedError

    @overload(reciprocal)
    def choose(x):
        if x == types.float32:
            one, scale = np.float32(1), np.float32(1 + off * 2.0**-23)
        else:
            one, scale = 1.0, 1 + off * 2.0**-18
        return lambda x: scale * (one / x)

    return reciprocal


def fresh(name: str) -> Any:
    """A module once more, as nothing of it has been compiled yet."""
    spec = util.find_spec(f"{KERNELS}.{name}")
    module = util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@cache
def samples(off: int) -> Any:
    """`cuda_samples`, on such reciprocals."""
    elementary = fresh("elementary")
    elementary.approximate_reciprocal = approximation(off)
    with patch.dict(sys.modules, {f"{KERNELS}.elementary": elementary}):
        return fresh("samples")


@cache
def kernel(module: Any, operation: str, hard: bool) -> Any:
    evaluate = module.weighted_sample(operation, hard=hard, weighted=False, divided=False)

    @njit(error_model="numpy")
    def run(first, label, losses, gradients):
        for i in range(first.size):
            _, losses[i], gradients[i] = evaluate(first[i], label, first[i], first[i])

    return run


@dataclass(frozen=True, slots=True)
class Arithmetic(Sweep):
    """The arithmetic of one sample, for one kind of labels."""

    module: Any
    hard: bool

    def compute(self, inputs: np.ndarray) -> dict[Quantity, np.ndarray]:
        computed = {}
        for operation in self.operations:
            labels = OPERATIONS[operation].labels
            for label in labels.hard if labels else (None,):
                typed = np.int8(label or 0) if self.hard else inputs.dtype.type(label or 0)
                both = {kind: np.empty_like(inputs) for kind in ("loss", "gradient")}
                kernel(self.module, operation, self.hard)(inputs, typed, *both.values())
                for kind, result in both.items():
                    quantity = Quantity(self.implementation, operation, self.dtype, label, kind)
                    falls = kind == "gradient" and not quantity.rises
                    computed[quantity] = -result if falls else result
        return computed


def found(module, operations, dtype, number, *, hard=True):
    """Largest error of each quantity over so many samples, and around the seams of the formulas."""
    sweep = Arithmetic("cuda arithmetic", dtype, operations, module, hard)
    plans = (Strata(sweep.first, dtype, number), Seams(sweep.first, dtype, REACH))
    parts = [inspect(sweep, plan, chunk) for plan in plans for chunk in range(plan.chunks)]
    return {t: total(part[t] for part in parts) for t in sweep.quantities()}


@pytest.mark.slow
@pytest.mark.parametrize(("off", "hard"), [(-1, True), (0, True), (1, True), (0, False)])
@pytest.mark.parametrize(("dtype", "number"), [("float32", 1 << 20), ("float64", 1 << 15)])
@pytest.mark.parametrize("operations", [SCORES, PROBABILITIES], ids=["scores", "probabilities"])
def test_within_two_ulp_in_every_octave(operations, dtype, number, off, hard):
    for quantity, counts in found(samples(off), operations, dtype, number, hard=hard).items():
        assert counts.max_ulp <= LIMIT, (quantity, counts.normal, counts.subnormal)
        assert counts.normal.count


def test_the_worst_score():
    """That of all float32 magnitudes from 2^-26 to 2^7; below and above there is no arithmetic."""
    losses, gradients = np.empty((2, 1), np.float32)
    score = np.float32([float.fromhex("-0x1.a4796p-6")])
    kernel(samples(1), "logistic_loss", True)(score, np.int8(1), losses, gradients)
    quantity = Quantity("cuda arithmetic", "logistic_loss", "float32", 1.0)
    error, _ = quantity.exact(float(score[0]), losses[0])
    assert 1.9 < error <= LIMIT


#: Where a sum of rounded logarithms is off by 2.15 ULP: the loss is just below 1, and nearly all of
#: it is a logarithm just above.
WORST_SOFT = float.fromhex("0x1.43e0fap-1"), float.fromhex("0x1.45cb62p-9")


@pytest.mark.parametrize(("dtype", "wide"), [("float32", "float64"), ("float64", "longdouble")])
@pytest.mark.parametrize("off", [-1, 0, 1])
def test_soft_cross_entropy_is_within_two_ulp(off, dtype, wide):
    if np.finfo(wide).nmant < np.finfo(dtype).nmant + 10:
        pytest.skip(f"{wide} has too few digits here")
    rng = np.random.default_rng(5)
    size = 1 << 18
    first = np.concatenate([rng.random(size), np.exp2(rng.uniform(-20, 0, size))]).astype(dtype)
    labels = np.concatenate([np.exp2(rng.uniform(-30, 0, size)), rng.random(size)]).astype(dtype)
    first[0], labels[0] = WORST_SOFT
    inside = (first > 0) & (first < 1)
    first, labels = first[inside], labels[inside]
    evaluate = samples(off).weighted_sample(
        "binary_cross_entropy", hard=False, weighted=False, divided=False
    )

    @njit(error_model="numpy")
    def run(first, labels, losses):
        for i in range(first.size):
            _, losses[i], _ = evaluate(first[i], labels[i], first[i], first[i])

    losses = np.empty_like(first)
    run(first, labels, losses)
    p, y = first.astype(wide), labels.astype(wide)
    exact = -(y * np.log(p) + (1 - y) * np.log1p(-p))
    errors = np.abs(losses - exact) / np.spacing(exact.astype(dtype))
    assert errors.max() <= LIMIT, (first[errors.argmax()], labels[errors.argmax()])


def test_a_worse_reciprocal_is_noticed():
    for dtype in ("float32", "float64"):
        errors = found(samples(3000), ("sigmoid",), dtype, 1 << 12)
        assert all(counts.max_ulp > LIMIT for counts in errors.values())
