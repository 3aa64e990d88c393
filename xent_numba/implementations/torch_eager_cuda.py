"""PyTorch, eager, on a GPU: the functions of torch.nn.functional, gradients by autograd."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from numpy import ndarray

from xent_numba import torch_peer
from xent_numba.operations import Call

DISTRIBUTION = "torch"


def unavailable() -> str | None:
    """See `registry`."""
    return torch_peer.no_gpu()


def bind(operation: str, inputs: tuple[ndarray, ...], reduction: str) -> Callable[[], Any]:
    """See `registry`."""
    return torch_peer.bind_eager("cuda", operation, inputs, reduction)


on_host = torch_peer.on_host


def timer(call: Callable[[], Any]) -> Callable[[int], float]:
    """See `registry`."""
    from xent_numba.kernels.cuda import events

    return events.timer(call)


def clock() -> Callable[[], float]:
    """See `registry`."""
    from xent_numba.kernels.cuda import events

    return events.Clock()


@torch_peer.declared(torch_peer.EAGER, "cuda")
def compute(call: Call) -> Any:
    """Compute per sample and add up by torch, on copies of the arrays."""
    return torch_peer.eager("cuda", call)
