"""What the rows of PyTorch share on a CPU and on a GPU: formulas, declarations and bound calls.

A device is named as torch names it. What a bound call returns stays there.
"""

from __future__ import annotations

import functools
import warnings
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, cast

import numpy as np
from numpy import ndarray

from xent_numba import reduction
from xent_numba.kernels.cuda import availability
from xent_numba.known_failures import CLIFFS, KnownFailure
from xent_numba.operations import OPERATIONS, Call
from xent_numba.peer import (
    SIGMOID_FLUSHED,
    TORCH_CLAMPED,
    TORCH_WITH_LOGITS,
    TORCH_WITH_LOGITS_AND_GRAD,
    missing,
    reduce_weighted,
    tensor,
    threads,
)
from xent_numba.registry import Device, implements

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


def _row(ulp: float, summary: str, failures: Any = (), **more: Any) -> dict[str, Any]:
    """Return what `implements` takes, with one accuracy for both dtypes."""
    if "gradient" in more:
        more["max_ulp_gradient"] = dict.fromkeys(CLIFFS, more.pop("gradient"))
    accuracy = {"max_ulp": dict.fromkeys(CLIFFS, ulp), "known_failures": failures}
    return {"formulation": "stable", "summary": summary} | accuracy | more


_SOFT = {"float32": 3}
_TAIL = "https://github.com/pytorch/pytorch/issues/195529"
_SOFT_MARGIN = "https://github.com/pytorch/pytorch/issues/77529"
Rows = Mapping[str, Mapping[str, Any]]

EAGER: Rows = MappingProxyType(
    {
        "sigmoid": _row(3, "torch.sigmoid(s).", SIGMOID_FLUSHED),
        "binary_cross_entropy": _row(
            2, "torch's binary_cross_entropy(p, y); weights multiply its losses.", TORCH_CLAMPED,
            max_ulp_soft=_SOFT,
        ),
        "logistic_loss": _row(
            2, "torch's soft_margin_loss(s, y); weights multiply it.", _SOFT_MARGIN_FAILURES,
            formulation="textbook", upstream=_SOFT_MARGIN,
        ),
        "binary_cross_entropy_with_logits": _row(
            8, "torch's binary_cross_entropy_with_logits(s, y); weights multiply it.",
            TORCH_WITH_LOGITS, upstream=_TAIL,
        ),
        "logistic_loss_and_grad": _row(
            2, "torch's soft_margin_loss(s, y) and torch.autograd.grad.",
            (
                *_SOFT_MARGIN_FAILURES,
                KnownFailure(_INFINITE, np.inf, np.inf, label=-1.0),
                KnownFailure(_INFINITE, -np.inf, -np.inf, label=1.0),
            ),
            gradient=3, formulation="textbook", upstream=_SOFT_MARGIN,
        ),
        "binary_cross_entropy_with_logits_and_grad": _row(
            8, "torch's binary_cross_entropy_with_logits(s, y) and torch.autograd.grad.",
            TORCH_WITH_LOGITS_AND_GRAD, gradient=8, upstream=_TAIL,
        ),
    }
)  # fmt: skip
"""What the functions of torch.nn.functional declare, by operation."""

COMPILED: Rows = MappingProxyType(
    {
        "sigmoid": _row(3, "torch.compile(torch.sigmoid).", SIGMOID_FLUSHED),
        "binary_cross_entropy": _row(
            2, "torch.compile of torch's binary_cross_entropy; bound, with its reduction.",
            TORCH_CLAMPED, max_ulp_soft=_SOFT,
        ),
        "logistic_loss": _row(
            2, "torch.compile of -logsigmoid(y s) of torch's; bound, with its reduction."
        ),
        # Its own binary_cross_entropy_with_logits takes as long and loses the tail of label 0.
        "binary_cross_entropy_with_logits": _row(
            2, "torch.compile of w |s| - logsigmoid(|s|), w the label across."
        ),
        "logistic_loss_and_grad": _row(
            2, "torch.compile of -logsigmoid(y s) and its torch.func.vjp.", gradient=4
        ),
        "binary_cross_entropy_with_logits_and_grad": _row(
            8, "torch.compile of torch's binary_cross_entropy_with_logits and its vjp.",
            TORCH_WITH_LOGITS_AND_GRAD, gradient=8, upstream=_TAIL,
        ),
    }
)  # fmt: skip
"""What torch.compile declares, by operation."""


def declared(rows: Rows, device: Device) -> Callable[[Any], Any]:
    """Return the decorator that declares the operations of `EAGER` or `COMPILED` on a device."""

    def declare(function: Any) -> Any:
        for operation, said in rows.items():
            function = implements(operation, device=device, **said)(function)
        return function

    return declare


def no_gpu(*packages: str) -> str | None:
    """Return why torch computes on no GPU here, or None."""
    for package in ("torch", *packages):
        if reason := missing(package, "'xent-numba[torch]'"):
            return reason
    if reason := availability.no_device():
        return reason
    import torch

    if not torch.cuda.is_available():
        return "this PyTorch is built without CUDA; pip install torch from an index that has it"
    return None


def on_host(result: Any) -> ndarray:
    """Return a tensor as an array of NumPy's."""
    return cast(ndarray, result.detach().cpu().numpy())


def _tensors(inputs: tuple[ndarray, ...], device: str) -> list[Any]:
    return [tensor(array.astype(inputs[0].dtype, copy=False)).to(device) for array in inputs]


def _eager_losses() -> dict[str, Callable[..., Any]]:
    from torch.nn import functional

    def soft_margin(s: Any, y: Any, weight: Any = None, *, reduction: str) -> Any:
        if weight is None:
            return functional.soft_margin_loss(s, y, reduction=reduction)
        return reduce_weighted(
            weight * functional.soft_margin_loss(s, y, reduction="none"), reduction
        )

    return {
        "binary_cross_entropy": functional.binary_cross_entropy,
        "binary_cross_entropy_with_logits": functional.binary_cross_entropy_with_logits,
        "logistic_loss": soft_margin,
    }


def _with_gradient(loss: Any, scores: Any) -> tuple[Any, Any]:
    import torch

    (gradient,) = torch.autograd.grad(loss.sum(), scores)
    return loss.detach(), gradient


def bind_eager(
    device: str, operation: str, inputs: tuple[ndarray, ...], reduction: str
) -> Callable[[], Any]:
    """Bind a function of torch.nn.functional; see `registry`."""
    import torch

    torch.set_num_threads(threads())
    first, *others = _tensors(inputs, device)
    if operation == "sigmoid":
        out = torch.empty_like(first)
        return lambda: torch.sigmoid(first, out=out)
    losses, weights = _eager_losses()[OPERATIONS[operation].loss], others[1:]

    def loss() -> Any:
        if weights and reduction == "mean":
            return losses(first, *others, reduction="sum") / weights[0].sum()
        return losses(first, *others, reduction=reduction)

    if not OPERATIONS[operation].gradient:
        return loss
    first.requires_grad_()
    return lambda: _with_gradient(loss(), first)


def eager(device: str, call: Call) -> Any:
    """Compute per sample and add up by torch; on a CPU tensors share the arrays' memory."""
    values = functools.partial(_per_sample, device, call.operation.name)
    return reduction.evaluate(call, values, lambda values: tensor(values).to(device).sum().item())


def _per_sample(device: str, name: str, *inputs: ndarray) -> Any:
    import torch

    operation = OPERATIONS[name]
    scores, *labels = _tensors(inputs, device)
    if not labels:
        return on_host(torch.sigmoid(scores))
    losses = _eager_losses()[operation.loss](
        scores.requires_grad_(operation.gradient), *labels, reduction="none"
    )
    if not operation.gradient:
        return on_host(losses)
    return tuple(map(on_host, _with_gradient(losses, scores)))


def bind_compiled(
    device: str, operation: str, inputs: tuple[ndarray, ...], reduction: str
) -> Callable[[], Any]:
    """Bind what torch.compile makes of an operation with its reduction; see `registry`."""
    _torch().set_num_threads(threads())
    tensors = _tensors(inputs, device)
    compiled = _compile(operation, reduction, dynamic=False)
    compiled(*tensors)
    return lambda: compiled(*tensors)


def compiled(device: str, call: Call) -> Any:
    """Compute per sample by a compiled function; sums by NumPy."""
    return reduction.evaluate(
        call, functools.partial(_compiled_per_sample, device, call.operation.name)
    )


@functools.cache
def _torch() -> Any:
    """Import torch with a part of its compiler that warns of torch's own use of torch.jit."""
    import torch

    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "`torch.jit", DeprecationWarning)
        import torch.utils.mkldnn
    return torch


def _compiled_losses() -> dict[str, Callable[..., Any]]:
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
    losses = _compiled_losses()[operation]

    def reduced(*inputs: Any) -> Any:
        return reduce_weighted(losses(*inputs[:2]), reduction, *inputs[2:])

    def with_gradient(scores: Any, labels: Any, *weights: Any) -> Any:
        values, pull_back = torch.func.vjp(lambda s: losses(s, labels), scores)
        if weights:
            share = weights[0] / (weights[0].sum() if reduction == "mean" else 1)
        else:
            share = torch.full_like(values, 1 / values.numel() if reduction == "mean" else 1)
        (gradients,) = pull_back(share)
        return reduce_weighted(values, reduction, *weights), gradients

    torch = _torch()
    chosen = with_gradient if OPERATIONS[operation].gradient else reduced
    # A code object may be compiled eight times, for whatever changes, so each gets one of its own.
    # Beyond that, fullgraph makes it an error and not a silent return to eager.
    chosen.__code__ = chosen.__code__.replace()
    return cast(Callable[..., Any], torch.compile(chosen, fullgraph=True, dynamic=dynamic))


@functools.cache
def _compiled(operation: str, dtype: np.dtype, device: str) -> Callable[..., Any]:
    return _compile(operation, "none", dynamic=True)


def _compiled_per_sample(device: str, operation: str, *inputs: ndarray) -> Any:
    tensors = [one.flatten() for one in _tensors(inputs, device)]
    values = _compiled(operation, inputs[0].dtype, device)(*tensors)
    found = [
        on_host(one).reshape(inputs[0].shape)
        for one in (values if isinstance(values, tuple) else (values,))
    ]
    return tuple(found) if OPERATIONS[operation].gradient else found[0]
