"""CuPy, fused: cupy.fuse makes one kernel of an operation and its sum."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

from numpy import ndarray

from xent_numba import reduction
from xent_numba.kernels.cuda import availability
from xent_numba.operations import OPERATIONS, Call
from xent_numba.peer import SIGMOID_FLUSHED, missing
from xent_numba.registry import implements

_ULP = {"float32": 4, "float64": 4}


def unavailable() -> str | None:
    """See `registry`."""
    return missing("cupy", "cupy-cuda13x") or availability.no_device()


def bind(operation: str, inputs: tuple[ndarray, ...], reduction: str) -> Callable[[], Any]:
    """See `registry`."""
    import cupy

    arrays = [cupy.asarray(array.astype(inputs[0].dtype)) for array in inputs]
    given, weights = arrays[:2], arrays[2:]
    losses, gradient = fused(OPERATIONS[operation].loss, reduction, bool(weights))
    if not OPERATIONS[operation].gradient:
        return lambda: losses(*arrays)
    scale = 1 / inputs[0].size if reduction == "mean" else 1
    share = arrays[0].dtype.type(scale)
    if not weights:
        return lambda: (losses(*given), gradient(*given, share))
    if reduction == "mean":
        return lambda: (losses(*arrays), gradient(*given, weights[0] / weights[0].sum()))
    return lambda: (losses(*arrays), gradient(*given, weights[0]))


def on_host(result: Any) -> ndarray:
    """See `registry`."""
    import cupy

    return cupy.asnumpy(result)


def timer(call: Callable[[], Any]) -> Callable[[int], float]:
    """See `registry`."""
    from xent_numba.kernels.cuda import events

    return events.timer(call)


def clock() -> Callable[[], float]:
    """See `registry`."""
    from xent_numba.kernels.cuda import events

    return events.Clock()


@functools.cache
def fused(
    loss: str, reduction: str, weighted: bool = False
) -> tuple[Callable[..., Any], Callable[..., Any]]:
    """Return the kernel of a loss with its reduction, and that of its gradient times a factor.

    A sum and what is stored for each sample cannot be fused into one.
    """
    import cupy as xp

    def g(s: Any) -> Any:
        e = xp.exp(-abs(s))
        return xp.where(s < 0, e, 1) / (1 + e)

    def softplus(s: Any) -> Any:
        return xp.maximum(s, 0) + xp.log1p(xp.exp(-abs(s)))

    def with_logits(s: Any, y: Any) -> Any:
        wrong = xp.where(s > 0, 1 - y, y)
        return xp.where(wrong == 0, 0, wrong * abs(s)) + xp.log1p(xp.exp(-abs(s)))

    def of_probabilities(p: Any, y: Any) -> Any:
        right = xp.where(y == 0, 0, y * -xp.log(p))
        return right + xp.where(y == 1, 0, (1 - y) * -xp.log1p(-p))

    losses: dict[str, Callable[..., Any]] = {
        "sigmoid": lambda s: 1 / (1 + xp.exp(-s)),
        "logistic_loss": lambda s, y: softplus(-y * s),
        "binary_cross_entropy_with_logits": with_logits,
        "binary_cross_entropy": of_probabilities,
    }
    slopes: dict[str, Callable[..., Any]] = {
        "logistic_loss": lambda s, y, share: -y * g(-y * s) * share,
        # g(s) - y, where neither term of label 1 is rounded.
        "binary_cross_entropy_with_logits": lambda s, y, share: (
            ((1 - y) * g(s) - y * g(-s)) * share
        ),
    }
    bare = losses[loss]
    values: Callable[..., Any] = (lambda s, y, w: w * bare(s, y)) if weighted else bare
    slope = xp.fuse()(slopes.get(loss, bare))
    if reduction == "none":
        return xp.fuse()(values), slope
    if weighted:
        summed = xp.fuse()(lambda s, y, w: xp.sum(values(s, y, w), axis=-1))
    else:
        summed = xp.fuse()(lambda s, y: xp.sum(values(s, y), axis=-1))
    if reduction == "sum":
        return summed, slope
    return lambda s, y, *w: summed(s, y, *w) / (w[0].sum() if w else s.size), slope


def _per_sample(name: str, *inputs: ndarray) -> Any:
    import cupy

    arrays = [cupy.asarray(array) for array in inputs]
    losses, gradient = fused(OPERATIONS[name].loss, "none")
    found = on_host(losses(*arrays))
    if not OPERATIONS[name].gradient:
        return found
    return found, on_host(gradient(*arrays, arrays[0].dtype.type(1)))


@implements(
    "sigmoid",
    device="cuda",
    formulation="stable",
    max_ulp=_ULP,
    known_failures=SIGMOID_FLUSHED,
    summary="cupy.fuse of 1 / (1 + exp(-s)).",
)
@implements(
    "binary_cross_entropy",
    device="cuda",
    formulation="stable",
    max_ulp=_ULP,
    summary="cupy.fuse of -log p or -log1p(-p), and its sum.",
)
@implements(
    "logistic_loss",
    device="cuda",
    formulation="stable",
    max_ulp=_ULP,
    summary="cupy.fuse of max(-y s, 0) + log1p(exp(-|s|)), and its sum.",
)
@implements(
    "binary_cross_entropy_with_logits",
    device="cuda",
    formulation="stable",
    max_ulp=_ULP,
    summary="cupy.fuse of w |s| + log1p(exp(-|s|)), w the label across, and its sum.",
)
@implements(
    "logistic_loss_and_grad",
    device="cuda",
    formulation="stable",
    max_ulp=_ULP,
    max_ulp_gradient=_ULP,
    summary="cupy.fuse of the loss with its sum, and of -y g(-y s).",
)
@implements(
    "binary_cross_entropy_with_logits_and_grad",
    device="cuda",
    formulation="stable",
    max_ulp=_ULP,
    max_ulp_gradient=_ULP,
    summary="cupy.fuse of the loss with its sum, and of (1 - y) g(s) - y g(-s).",
)
def compute(call: Call) -> Any:
    """Compute per sample by a fused kernel; sums by NumPy."""
    return reduction.evaluate(call, functools.partial(_per_sample, call.operation.name))
