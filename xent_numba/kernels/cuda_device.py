"""The GPU at hand: what it is, and how long it takes by its own clock."""

from __future__ import annotations

import importlib.metadata
from collections.abc import Callable
from typing import Any

import numpy as np
from numba import cuda


def milliseconds(call: Callable[[], Any]) -> float:
    """Time between CUDA events before and after a call."""
    start, stop = cuda.event(), cuda.event()
    start.record()
    call()
    stop.record()
    stop.synchronize()
    return float(cuda.event_elapsed_time(start, stop))


def copy_of(values: np.ndarray) -> Callable[[], Any]:
    """Return a call that copies an array like this one from device memory to device memory."""
    source = cuda.to_device(values)
    target = cuda.device_array_like(source)

    def copy() -> None:
        target.copy_to_device(source)
        cuda.synchronize()

    return copy


def describe() -> dict[str, Any]:
    """Name and capability of the GPU, and the versions of what drives it."""
    device = cuda.get_current_device()
    name = device.name
    return {
        "gpu": name.decode() if isinstance(name, bytes) else name,
        "compute_capability": list(device.compute_capability),
        "cuda_driver": list(cuda.cudadrv.driver.driver.get_version()),
        "cuda_runtime": list(cuda.runtime.get_version()),
        **{
            package: importlib.metadata.version(package)
            for package in ("numba", "numba-cuda", "numpy")
        },
    }
