"""PyTorch, compiled: torch.compile fuses losses, reduction and gradient into one loop of C++."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from typing import Any

from numpy import ndarray

from xent_numba import torch_peer
from xent_numba.operations import Call
from xent_numba.peer import missing

DISTRIBUTION = "torch"


def unavailable() -> str | None:
    """See `registry`."""
    compiler = os.environ.get("CXX", "g++")
    if shutil.which(compiler) is None:
        return f"torch.compile needs the C++ compiler {compiler}: install it, or set CXX to another"
    return missing("torch", "'xent-numba[torch]'")


def bind(operation: str, inputs: tuple[ndarray, ...], reduction: str) -> Callable[[], Any]:
    """See `registry`."""
    return torch_peer.bind_compiled("cpu", operation, inputs, reduction)


on_host = torch_peer.on_host


@torch_peer.declared(torch_peer.COMPILED, "cpu")
def compute(call: Call) -> Any:
    """Compute per sample by a compiled function; sums by NumPy."""
    return torch_peer.compiled("cpu", call)
