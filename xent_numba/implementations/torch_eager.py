"""PyTorch, eager: the functions of torch.nn.functional on CPU tensors, gradients by autograd."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy import ndarray

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
from xent_numba.validation import check_values, raise_bad_weight_sum

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
    """Call torch on tensors that share the arrays' memory where they can."""
    import torch

    operation, first, labels, sample_weight, reduction, out, grad_out = call
    if labels is None:
        out[...] = torch.sigmoid(tensor(first)).numpy()
        return out
    check_values(operation, first, labels, sample_weight)
    scores = tensor(first).requires_grad_(operation.gradient)
    loss = _losses()[operation.loss]
    target = tensor(labels.astype(first.dtype, copy=False))
    if sample_weight is None:
        value = loss(scores, target, reduction=reduction)
    else:
        # torch divides the weighted sum by the number of samples, and soft_margin_loss has no
        # weights.
        weight = tensor(sample_weight.astype(first.dtype, copy=False))
        value = loss(scores, target, reduction="none") * weight
        if reduction != "none":
            value = value.sum()
        if reduction == "mean":
            total = weight.sum()
            if not 0 < total < float("inf"):
                raise_bad_weight_sum(total.item())
            value = value / total
    if operation.gradient:
        value, gradient = _with_gradient(value, scores)
        grad_out[...] = gradient.numpy()
    if reduction != "none":
        return value.item()
    out[...] = value.numpy()
    return out
