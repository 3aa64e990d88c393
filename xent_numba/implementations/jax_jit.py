"""JAX: jax.nn functions under jax.jit, fused with their reduction by XLA on the CPU.

XLA takes as many threads as the process may use CPUs; only the environment variable NPROC, read
when JAX starts, says otherwise. What is timed is compiled ahead of time. Donating the result of the
call before, so that its memory is used again, was measured and gained nothing.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

import numpy as np
from numpy import ndarray

from xent_numba import reduction
from xent_numba.known_failures import CLIFFS, KnownFailure
from xent_numba.operations import OPERATIONS, Call
from xent_numba.peer import missing, reduce_weighted
from xent_numba.registry import implements

_FLUSHED = "a subnormal result is flushed to zero"
_FLUSHED_INPUT = "a subnormal probability is taken for zero"
_INFINITE = "0 times an infinite score is NaN"
_SUBNORMALS = tuple(
    (name, float(np.finfo(name).smallest_subnormal), float(np.finfo(name).smallest_normal))
    for name in CLIFFS
)


def _flushed_tails(negative: float, positive: float) -> tuple[KnownFailure, ...]:
    return tuple(
        KnownFailure(_FLUSHED, low, high, label=label, dtype=dtype)
        for dtype, at in CLIFFS.items()
        for label, low, high in (
            (negative, -at.vanishes(3), -at.subnormal),
            (positive, at.subnormal, at.vanishes(3)),
        )
    )


DISTRIBUTION = "jax"


def unavailable() -> str | None:
    """See `registry`."""
    return missing("jax", "'xent-numba[jax]'")


def bind(operation: str, inputs: tuple[ndarray, ...], reduction: str) -> Callable[[], Any]:
    """See `registry`."""
    import jax

    with _double_precision():
        arrays = [jax.device_put(array.astype(inputs[0].dtype)) for array in inputs]
        compiled = jax.jit(_reduced(operation, reduction)).lower(*arrays).compile()
    return lambda: jax.block_until_ready(compiled(*arrays))


def _double_precision() -> AbstractContextManager[Any]:
    """Allow float64, which JAX otherwise turns into float32, for the calls inside alone."""
    import jax

    if hasattr(jax, "enable_x64"):
        return jax.enable_x64(True)
    from jax.experimental import enable_x64

    return enable_x64()


def _losses() -> dict[str, Callable[..., Any]]:
    from jax import nn, numpy
    from jax.scipy.special import xlog1py, xlogy

    def with_logits(s: Any, y: Any) -> Any:
        wrong = numpy.where(s > 0, 1 - y, y)
        linear = numpy.where(wrong == 0, 0, wrong * abs(s))
        return linear + nn.softplus(-abs(s))

    return {
        "sigmoid": nn.sigmoid,
        "logistic_loss": lambda s, y: nn.softplus(-y * s),
        "logistic_loss_and_grad": lambda s, y: nn.softplus(-y * s),
        "binary_cross_entropy_with_logits": with_logits,
        # The form above has no derivative at 0.
        "binary_cross_entropy_with_logits_and_grad": lambda s, y: (
            (1 - y) * nn.softplus(s) + y * nn.softplus(-s)
        ),
        "binary_cross_entropy": lambda p, y: 0 - (xlogy(y, p) + xlog1py(1 - y, -p)),
    }


def _reduced(operation: str, reduction: str) -> Callable[..., Any]:
    """Return the function that is compiled: losses, their reduction, the gradient."""
    import jax

    losses = _losses()[operation]
    if not OPERATIONS[operation].gradient:
        return lambda *inputs: reduce_weighted(losses(*inputs[:2]), reduction, *inputs[2:])

    def with_gradient(scores: Any, labels: Any, *weights: Any) -> Any:
        values, pull_back = jax.vjp(lambda s: losses(s, labels), scores)
        if weights:
            share = weights[0] / (weights[0].sum() if reduction == "mean" else 1)
        else:
            share = jax.numpy.full_like(values, 1 / values.size if reduction == "mean" else 1)
        (gradients,) = pull_back(share)
        return reduce_weighted(values, reduction, *weights), gradients

    return with_gradient


@functools.cache
def _compiled(operation: str) -> Callable[..., Any]:
    import jax

    return jax.jit(_reduced(operation, "none"))


def _per_sample(operation: str, *inputs: ndarray) -> Any:
    import jax

    with _double_precision():
        return jax.device_get(_compiled(operation)(*inputs))


@implements(
    "sigmoid",
    formulation="stable",
    max_ulp={"float32": 3, "float64": 3},
    known_failures=tuple(
        KnownFailure(_FLUSHED, -at.vanishes(3), -at.subnormal, dtype=dtype)
        for dtype, at in CLIFFS.items()
    ),
    summary="jax.nn.sigmoid(s).",
)
@implements(
    "logistic_loss",
    formulation="stable",
    max_ulp={"float32": 3, "float64": 3},
    known_failures=_flushed_tails(-1.0, 1.0),
    summary="jax.nn.softplus(-y s); weights multiply it, and sums by NumPy.",
)
@implements(
    "binary_cross_entropy_with_logits",
    formulation="stable",
    max_ulp={"float32": 3, "float64": 3},
    known_failures=_flushed_tails(0.0, 1.0),
    summary="jax.nn.softplus(-|s|) + w |s|, w the share of the label across from s; sums by NumPy.",
)
@implements(
    "binary_cross_entropy",
    formulation="stable",
    max_ulp={"float32": 3, "float64": 130},
    known_failures=tuple(
        # At label 0 the loss is p, and zero is within 3 ULP of the first three subnormals.
        KnownFailure(_FLUSHED_INPUT, steps * step, normal - step, label=label, dtype=name)
        for name, step, normal in _SUBNORMALS
        for label, steps in ((0.0, 4), (1.0, 1))
    ),
    summary="-(xlogy(y, p) + xlog1py(1 - y, -p)) of jax.scipy.special; sums by NumPy.",
    upstream="https://github.com/jax-ml/jax/issues/39707",
)
@implements(
    "logistic_loss_and_grad",
    formulation="stable",
    max_ulp={"float32": 3, "float64": 3},
    max_ulp_gradient={"float32": 9, "float64": 36},
    known_failures=_flushed_tails(-1.0, 1.0),
    summary="jax.nn.softplus(-y s) and its jax.vjp; sums by NumPy.",
)
@implements(
    "binary_cross_entropy_with_logits_and_grad",
    formulation="stable",
    max_ulp={"float32": 3, "float64": 3},
    max_ulp_gradient={"float32": 9, "float64": 36},
    known_failures=(
        *_flushed_tails(0.0, 1.0),
        KnownFailure(_INFINITE, np.inf, np.inf, label=1.0),
        KnownFailure(_INFINITE, -np.inf, -np.inf, label=0.0),
    ),
    summary="(1 - y) jax.nn.softplus(s) + y jax.nn.softplus(-s) and its jax.vjp; sums by NumPy.",
)
def compute(call: Call) -> Any:
    """Compute per sample by a compiled function; sums by NumPy."""
    return reduction.evaluate(call, functools.partial(_per_sample, call.operation.name))
