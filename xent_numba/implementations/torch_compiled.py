"""PyTorch, compiled: torch.compile fuses losses and reduction into one loop of C++."""

from __future__ import annotations

import functools
import os
import shutil
import warnings
from collections.abc import Callable
from typing import Any, cast

import numpy as np
from numpy import ndarray

from xent_numba.peer import CLIFFS, missing, threads
from xent_numba.reduction import elementwise, from_losses
from xent_numba.registry import KnownFailure, implements

_FLUSHED = "the result is flushed to zero where it would be subnormal: exp(-s) overflows"
_CLAMPED = "the logarithm is clamped to at least -100"
_NEGATIVE_ZERO = "the loss is -0.0"


def unavailable() -> str | None:
    """See `registry`."""
    compiler = os.environ.get("CXX", "g++")
    if shutil.which(compiler) is None:
        return f"torch.compile needs the C++ compiler {compiler}: install it, or set CXX to another"
    return missing("torch", "'xent-numba[torch]'")


def bind(operation: str, inputs: tuple[ndarray, ...], reduction: str) -> Callable[[], Any]:
    """See `registry`."""
    _torch().set_num_threads(threads())
    tensors = [_tensor(array.astype(inputs[0].dtype)) for array in inputs]
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


def _tensor(array: ndarray) -> Any:
    """Share the memory where torch can, which is not so for read-only or reversed arrays."""
    import torch

    return torch.from_numpy(np.require(array, requirements=["C", "A", "W"]))


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
    }


def _compile(operation: str, reduction: str, dynamic: bool) -> Callable[..., Any]:
    losses = _losses()[operation]

    def reduced(*inputs: Any) -> Any:
        values = losses(*inputs)
        if reduction == "none":
            return values
        return values.sum() if reduction == "sum" else values.mean()

    # A code object may be compiled eight times, for whatever changes, so each gets one of its own.
    # Beyond that, fullgraph makes it an error and not a silent return to eager.
    reduced.__code__ = reduced.__code__.replace()
    return cast(Callable[..., Any], _torch().compile(reduced, fullgraph=True, dynamic=dynamic))


@functools.cache
def _compiled(operation: str, dtype: np.dtype) -> Callable[..., Any]:
    return _compile(operation, "none", dynamic=True)


def _per_sample(operation: str, *inputs: ndarray) -> ndarray:
    tensors = [_tensor(array).flatten() for array in inputs]
    values = _compiled(operation, inputs[0].dtype)(*tensors)
    return np.asarray(values.numpy().reshape(inputs[0].shape))


@implements(
    "sigmoid",
    formulation="stable",
    max_ulp={"float32": 3, "float64": 3},
    known_failures=tuple(
        KnownFailure(_FLUSHED, -at.vanishes(3), -at.overflow, dtype=dtype)
        for dtype, at in CLIFFS.items()
    ),
)
@elementwise
def sigmoid(scores: ndarray) -> ndarray:
    """torch.compile(torch.sigmoid)."""
    return _per_sample("sigmoid", scores)


@implements(
    "binary_cross_entropy",
    formulation="stable",
    max_ulp={"float32": 2, "float64": 2},
    known_failures=(
        KnownFailure(_CLAMPED, 0.0, 3.7e-44, label=1.0, dtype="float32"),
        KnownFailure(_CLAMPED, 0.0, 3.72e-44, label=1.0, dtype="float64"),
        KnownFailure(_CLAMPED, 1.0, 1.0, label=0.0),
        KnownFailure(_NEGATIVE_ZERO, 1.0, 1.0, label=1.0),
    ),
)
@from_losses("binary_cross_entropy")
def binary_cross_entropy(probabilities: ndarray, labels: ndarray) -> ndarray:
    """torch.compile(torch.nn.functional.binary_cross_entropy); bound, with its reduction."""
    return _per_sample("binary_cross_entropy", probabilities, labels)


@implements("logistic_loss", formulation="stable", max_ulp={"float32": 2, "float64": 2})
@from_losses("logistic_loss")
def logistic_loss(scores: ndarray, labels: ndarray) -> ndarray:
    """torch.compile of -torch.nn.functional.logsigmoid(y s); bound, with its reduction."""
    return _per_sample("logistic_loss", scores, labels)


@implements(
    "binary_cross_entropy_with_logits",
    formulation="stable",
    max_ulp={"float32": 2, "float64": 2},
)
@from_losses("binary_cross_entropy_with_logits")
def binary_cross_entropy_with_logits(scores: ndarray, labels: ndarray) -> ndarray:
    """torch.compile of w |s| - torch.nn.functional.logsigmoid(|s|), w the label across from s.

    Its own binary_cross_entropy_with_logits takes as long and loses the tail of label 0.
    """
    return _per_sample("binary_cross_entropy_with_logits", scores, labels)
