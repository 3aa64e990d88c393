"""Device arrays of any strides: filled, gathered, and copied to the host."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np

from xent_numba.kernels.cuda.launch import DEFAULT, addresses, dimensions_with_strides, machine
from xent_numba.kernels.cuda.passes import LAYOUT, Launch, stored_dtype
from xent_numba.kernels.cuda.signature import Kernel

_THREADS = 256


@cache
def _kernel(kind: str, arguments: tuple[Any, ...], strided: int, device: int) -> Any:
    return machine.launcher(Kernel(kind, arguments, strided), device)


def fill(out: Any, value: float, launch: Launch = DEFAULT) -> None:
    """Store one value everywhere in a device array."""
    if not out.size:
        return
    strided = dimensions_with_strides((out,))
    launcher = _kernel("fill", (out.number, strided), strided, out.device)
    blocks = min(-(-out.size // _THREADS), LAYOUT.most_chunks)
    launcher(
        launch.blocks or blocks,
        launch.threads or _THREADS,
        launch.stream,
        out.size,
        value,
        *addresses((out,), strided),
    )


def gather(source: Any, target: int, launch: Launch = DEFAULT) -> None:
    """Copy the elements of an array, in C order, to where there is room for them."""
    strided = dimensions_with_strides((source,))
    launcher = _kernel("copy", (source.number, strided), strided, source.device)
    blocks = min(-(-source.size // _THREADS), LAYOUT.most_chunks)
    launcher(
        launch.blocks or blocks,
        launch.threads or _THREADS,
        launch.stream,
        source.size,
        *addresses((source,), strided),
        target,
    )


def to_host(array: Any, launch: Launch = DEFAULT) -> np.ndarray:
    """Wait for a device array of any strides, and return its elements on the host."""
    host = np.empty(array.shape, stored_dtype(array.number))
    if not host.size:
        return host
    source, room = array.address, None
    if array.strides is not None:
        room = machine.Memory(host.nbytes)
        source = room.address
        gather(array, source, launch)
    machine.to_host(host.ctypes.data, source, host.nbytes, launch.stream)
    return host
