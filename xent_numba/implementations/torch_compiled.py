"""PyTorch, compiled: torch.compile fuses losses, reduction and gradient into one loop of C++."""

from __future__ import annotations

import functools
import os
import shutil
import warnings
from collections.abc import Callable
from typing import Any, cast

import numpy as np
from numpy import ndarray

from xent_numba import reduction
from xent_numba.operations import OPERATIONS, Call
from xent_numba.peer import (
    SIGMOID_FLUSHED,
    TORCH_CLAMPED,
    TORCH_WITH_LOGITS_AND_GRAD,
    missing,
    tensor,
    threads,
)
from xent_numba.registry import implements


def unavailable() -> str | None:
    """See `registry`."""
    compiler = os.environ.get("CXX", "g++")
    if shutil.which(compiler) is None:
        return f"torch.compile needs the C++ compiler {compiler}: install it, or set CXX to another"
    return missing("torch", "'xent-numba[torch]'")


def bind(operation: str, inputs: tuple[ndarray, ...], reduction: str) -> Callable[[], Any]:
    """See `registry`."""
    _torch().set_num_threads(threads())
    tensors = [tensor(array.astype(inputs[0].dtype)) for array in inputs]
    compiled = _compile(operation, reduction, dynamic=False)
    compiled(*tensors)
    return lambda: compiled(*tensors)


@functools.cache
def _torch() -> Any:
    """Import torch with a part of its compiler that warns of torch's own use of torch.jit."""
    import torch

    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "`torch.jit", DeprecationWarning)
        import torch.utils.mkldnn
    return torch


def _losses() -> dict[str, Callable[..., Any]]:
    import torch
    from torch.nn import functional

    def with_logits(s: Any, y: Any) -> Any:
        wrong = torch.where(s > 0, 1 - y, y)
        linear = torch.where(wrong == 0, 0, wrong * s.abs())
        return linear - functional.logsigmoid(s.abs())

    return {
        "sigmoid": torch.sigmoid,
        "binary_cross_entropy": functools.partial(
            functional.binary_cross_entropy, reduction="none"
        ),
        "binary_cross_entropy_with_logits": with_logits,
        "logistic_loss": lambda s, y: 0 - functional.logsigmoid(y * s),
        "logistic_loss_and_grad": lambda s, y: 0 - functional.logsigmoid(y * s),
        # The form above has no derivative at 0.
        "binary_cross_entropy_with_logits_and_grad": functools.partial(
            functional.binary_cross_entropy_with_logits, reduction="none"
        ),
    }


def _compile(operation: str, reduction: str, dynamic: bool) -> Callable[..., Any]:
    losses = _losses()[operation]

    def reduced(*inputs: Any) -> Any:
        return _reduce(losses(*inputs), reduction)

    def with_gradient(scores: Any, labels: Any) -> Any:
        values, pull_back = torch.func.vjp(lambda s: losses(s, labels), scores)
        scale = 1 / values.numel() if reduction == "mean" else 1
        (gradients,) = pull_back(torch.full_like(values, scale))
        return _reduce(values, reduction), gradients

    torch = _torch()
    chosen = with_gradient if OPERATIONS[operation].gradient else reduced
    # A code object may be compiled eight times, for whatever changes, so each gets one of its own.
    # Beyond that, fullgraph makes it an error and not a silent return to eager.
    chosen.__code__ = chosen.__code__.replace()
    return cast(Callable[..., Any], torch.compile(chosen, fullgraph=True, dynamic=dynamic))


def _reduce(values: Any, reduction: str) -> Any:
    if reduction == "none":
        return values
    return values.sum() if reduction == "sum" else values.mean()


@functools.cache
def _compiled(operation: str, dtype: np.dtype) -> Callable[..., Any]:
    return _compile(operation, "none", dynamic=True)


def _per_sample(operation: str, *inputs: ndarray) -> Any:
    tensors = [tensor(array).flatten() for array in inputs]
    values = _compiled(operation, inputs[0].dtype)(*tensors)
    if OPERATIONS[operation].gradient:
        return tuple(one.detach().numpy().reshape(inputs[0].shape) for one in values)
    return np.asarray(values.numpy().reshape(inputs[0].shape))


@implements(
    "sigmoid",
    formulation="stable",
    max_ulp={"float32": 3, "float64": 3},
    known_failures=SIGMOID_FLUSHED,
    summary="torch.compile(torch.sigmoid).",
)
@implements(
    "binary_cross_entropy",
    formulation="stable",
    max_ulp={"float32": 2, "float64": 2},
    max_ulp_soft={"float32": 3},
    known_failures=TORCH_CLAMPED,
    summary="torch.compile(torch.nn.functional.binary_cross_entropy); bound, with its reduction.",
)
@implements(
    "logistic_loss",
    formulation="stable",
    max_ulp={"float32": 2, "float64": 2},
    summary="torch.compile of -torch.nn.functional.logsigmoid(y s); bound, with its reduction.",
)
@implements(
    "binary_cross_entropy_with_logits",
    formulation="stable",
    max_ulp={"float32": 2, "float64": 2},
    # Its own binary_cross_entropy_with_logits takes as long and loses the tail of label 0.
    summary="torch.compile of w |s| - torch.nn.functional.logsigmoid(|s|), w the label across.",
)
@implements(
    "logistic_loss_and_grad",
    formulation="stable",
    max_ulp={"float32": 2, "float64": 2},
    max_ulp_gradient={"float32": 4, "float64": 4},
    summary="torch.compile of -torch.nn.functional.logsigmoid(y s) and its torch.func.vjp.",
)
@implements(
    "binary_cross_entropy_with_logits_and_grad",
    formulation="stable",
    max_ulp={"float32": 8, "float64": 8},
    max_ulp_gradient={"float32": 8, "float64": 8},
    known_failures=TORCH_WITH_LOGITS_AND_GRAD,
    summary="torch.compile of its binary_cross_entropy_with_logits and its torch.func.vjp.",
)
def compute(call: Call) -> Any:
    """Compute per sample by a compiled function; sums by NumPy."""
    return reduction.evaluate(call, functools.partial(_per_sample, call.operation.name))
