"""PyTorch, eager: the functions of torch.nn.functional on CPU tensors, gradients by autograd."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy import ndarray

from xent_numba import reduction
from xent_numba.known_failures import CLIFFS, KnownFailure
from xent_numba.operations import OPERATIONS, Call
from xent_numba.peer import (
    SIGMOID_FLUSHED,
    TORCH_CLAMPED,
    TORCH_WITH_LOGITS,
    TORCH_WITH_LOGITS_AND_GRAD,
    missing,
    tensor,
    threads,
)
from xent_numba.registry import implements

_OVERFLOWS = "log(1 + exp(-y s)) is computed as it is written, and exp overflows"
_INFINITE = "an infinite score divided by itself is NaN"

_SOFT_MARGIN_FAILURES = tuple(
    KnownFailure(_OVERFLOWS, low, high, label=label, dtype=dtype)
    for dtype, at in CLIFFS.items()
    for label, low, high in (
        (-1.0, at.overflow, at.largest),
        (1.0, -at.largest, -at.overflow),
    )
)


def unavailable() -> str | None:
    """See `registry`."""
    return missing("torch", "'xent-numba[torch]'")


def bind(operation: str, inputs: tuple[ndarray, ...], reduction: str) -> Callable[[], Any]:
    """See `registry`."""
    import torch

    torch.set_num_threads(threads())
    first, *labels = (tensor(array.astype(inputs[0].dtype)) for array in inputs)
    if operation == "sigmoid":
        out = torch.empty_like(first)
        return lambda: torch.sigmoid(first, out=out)
    loss = _losses()[OPERATIONS[operation].loss]
    if not OPERATIONS[operation].gradient:
        return lambda: loss(first, *labels, reduction=reduction)
    first.requires_grad_()
    return lambda: _with_gradient(loss(first, *labels, reduction=reduction), first)


def _losses() -> dict[str, Callable[..., Any]]:
    from torch.nn import functional

    return {
        "binary_cross_entropy": functional.binary_cross_entropy,
        "binary_cross_entropy_with_logits": functional.binary_cross_entropy_with_logits,
        "logistic_loss": functional.soft_margin_loss,
    }


def _with_gradient(loss: Any, scores: Any) -> tuple[Any, Any]:
    import torch

    (gradient,) = torch.autograd.grad(loss.sum(), scores)
    return loss.detach(), gradient


@implements(
    "sigmoid",
    formulation="stable",
    max_ulp={"float32": 3, "float64": 3},
    known_failures=SIGMOID_FLUSHED,
    summary="torch.sigmoid(s).",
)
@implements(
    "binary_cross_entropy",
    formulation="stable",
    max_ulp={"float32": 2, "float64": 2},
    max_ulp_soft={"float32": 3},
    known_failures=TORCH_CLAMPED,
    summary="torch.nn.functional.binary_cross_entropy(p, y); weights multiply its losses.",
)
@implements(
    "logistic_loss",
    formulation="textbook",
    max_ulp={"float32": 2, "float64": 2},
    known_failures=_SOFT_MARGIN_FAILURES,
    summary="torch.nn.functional.soft_margin_loss(s, y); weights multiply its losses.",
)
@implements(
    "binary_cross_entropy_with_logits",
    formulation="stable",
    max_ulp={"float32": 8, "float64": 8},
    known_failures=TORCH_WITH_LOGITS,
    summary="torch.nn.functional.binary_cross_entropy_with_logits(s, y); weights multiply it.",
)
@implements(
    "logistic_loss_and_grad",
    formulation="textbook",
    max_ulp={"float32": 2, "float64": 2},
    max_ulp_gradient={"float32": 3, "float64": 3},
    known_failures=(
        *_SOFT_MARGIN_FAILURES,
        KnownFailure(_INFINITE, np.inf, np.inf, label=-1.0),
        KnownFailure(_INFINITE, -np.inf, -np.inf, label=1.0),
    ),
    summary="torch.nn.functional.soft_margin_loss(s, y) and torch.autograd.grad.",
)
@implements(
    "binary_cross_entropy_with_logits_and_grad",
    formulation="stable",
    max_ulp={"float32": 8, "float64": 8},
    max_ulp_gradient={"float32": 8, "float64": 8},
    known_failures=TORCH_WITH_LOGITS_AND_GRAD,
    summary="torch.nn.functional.binary_cross_entropy_with_logits(s, y) and torch.autograd.grad.",
)
def compute(call: Call) -> Any:
    """Compute per sample and add up by torch, on tensors that share the arrays' memory."""
    return reduction.evaluate(call, functools.partial(_per_sample, call.operation.name), _total)


def _per_sample(name: str, *inputs: ndarray) -> Any:
    import torch

    operation = OPERATIONS[name]
    scores, *labels = map(tensor, inputs)
    if not labels:
        return torch.sigmoid(scores).numpy()
    losses = _losses()[operation.loss](
        scores.requires_grad_(operation.gradient), *labels, reduction="none"
    )
    if not operation.gradient:
        return losses.numpy()
    losses, gradient = _with_gradient(losses, scores)
    return losses.numpy(), gradient.numpy()


def _total(values: ndarray) -> Any:
    return tensor(values).sum().item()
