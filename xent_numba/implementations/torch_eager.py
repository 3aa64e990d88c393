"""PyTorch, eager: the functions of torch.nn.functional on CPU tensors, gradients by autograd."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from numpy import ndarray

from xent_numba import torch_peer
from xent_numba.operations import Call
from xent_numba.peer import missing

DISTRIBUTION = "torch"


def unavailable() -> str | None:
    """See `registry`."""
    return missing("torch", "'xent-numba[torch]'")


def bind(operation: str, inputs: tuple[ndarray, ...], reduction: str) -> Callable[[], Any]:
    """See `registry`."""
    return torch_peer.bind_eager("cpu", operation, inputs, reduction)


on_host = torch_peer.on_host


@torch_peer.declared(torch_peer.EAGER, "cpu")
def compute(call: Call) -> Any:
    """Compute per sample and add up by torch, on tensors that share the arrays' memory."""
    return torch_peer.eager("cpu", call)
