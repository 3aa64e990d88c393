"""PyTorch, compiled, on a GPU: torch.compile fuses loss, reduction and gradient by Triton."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from numpy import ndarray

from xent_numba import torch_peer
from xent_numba.operations import Call

DISTRIBUTION = "torch"


def unavailable() -> str | None:
    """See `registry`."""
    return torch_peer.no_gpu("triton")


def bind(operation: str, inputs: tuple[ndarray, ...], reduction: str) -> Callable[[], Any]:
    """See `registry`."""
    return torch_peer.bind_compiled("cuda", operation, inputs, reduction)


on_host = torch_peer.on_host


def timer(call: Callable[[], Any]) -> Callable[[int], float]:
    """See `registry`."""
    from xent_numba.kernels.cuda import events

    return events.timer(call)


def clock() -> Callable[[], float]:
    """See `registry`."""
    from xent_numba.kernels.cuda import events

    return events.Clock()


@torch_peer.declared(torch_peer.COMPILED, "cuda")
def compute(call: Call) -> Any:
    """Compute per sample by a compiled function; sums by NumPy."""
    return torch_peer.compiled("cuda", call)
