"""The GPU at hand: what it is, in which state, and how long it takes by its own clock."""

from __future__ import annotations

import importlib.metadata
import time
from collections.abc import Callable
from typing import Any

import numpy as np
from numba import cuda

from xent_numba.kernels.cuda import arrays, copies, launch
from xent_numba.kernels.cuda.passes import ROWS


def kernel_milliseconds(call: Callable[[], Any]) -> float:
    """Time between events before and after what a call queues on the default stream.

    It is made twice: while the device is at the first, the host queues the second, which is timed,
    and which then waits for nothing but the device.
    """
    call()
    start = launch.machine.Event()
    call()
    return float(1e3 * launch.machine.Event().seconds_since(start))


def wall_milliseconds(call: Callable[[], Any]) -> float:
    """Time of the host from the call until the device has done everything."""
    cuda.synchronize()
    start = time.perf_counter()
    call()
    cuda.synchronize()
    return (time.perf_counter() - start) * 1e3


@cuda.jit
def empty_kernel() -> None:
    """Do nothing: what a launch costs."""


def launch_nothing() -> None:
    """Launch a kernel that does nothing."""
    empty_kernel[1, 32]()


def upload(array: np.ndarray) -> arrays.DeviceArray:
    """Return a copy on the device."""
    return arrays.to_device(array)


def download(array: arrays.DeviceArray) -> np.ndarray:
    """Return a copy on the host, when the device has done everything."""
    return copies.to_host(array)


def empty_like(array: arrays.DeviceArray) -> arrays.DeviceArray:
    """Return a new array on the device."""
    return arrays.room_for(array.shape, array.number)


def totals_in(scratch: Any) -> arrays.DeviceArray:
    """Return the totals of the last pass, as an array."""
    return arrays.DeviceArray((scratch.totals, 0, 0), "float64", (ROWS,), None, scratch)


def copy_to(target: arrays.DeviceArray, source: arrays.DeviceArray) -> None:
    """Queue a copy from device memory to device memory."""
    launch.machine.copy(target.address, source.address, source.size * source.itemsize)


def l2_bytes() -> int:
    """Size of the last-level cache."""
    return int(launch.machine.cache_bytes())


def describe() -> dict[str, Any]:
    """Name and capability of the GPU, and the versions of what drives it."""
    device = cuda.get_current_device()
    name = device.name
    return {
        "gpu": name.decode() if isinstance(name, bytes) else name,
        "compute_capability": list(device.compute_capability),
        "multiprocessors": device.MULTIPROCESSOR_COUNT,
        "l2_bytes": l2_bytes(),
        "cuda_driver": list(cuda.cudadrv.driver.driver.get_version()),
        "cuda_runtime": list(cuda.runtime.get_version()),
        "versions": {
            package: _version(package)
            for package in ("numba", "numba-cuda", "numpy", "torch", "triton", "cupy-cuda13x")
        },
        "driver": _nvml(lambda nvml, _: nvml.nvmlSystemGetDriverVersion()),
    }


def state() -> dict[str, Any]:
    """Clocks in MHz, temperature in C, power in W and throttle reasons, as NVML has them now."""

    def read(nvml: Any, device: Any) -> dict[str, Any]:
        return {
            "sm_mhz": nvml.nvmlDeviceGetClockInfo(device, nvml.NVML_CLOCK_SM),
            "memory_mhz": nvml.nvmlDeviceGetClockInfo(device, nvml.NVML_CLOCK_MEM),
            "celsius": nvml.nvmlDeviceGetTemperature(device, nvml.NVML_TEMPERATURE_GPU),
            "watts": nvml.nvmlDeviceGetPowerUsage(device) / 1000,
            "throttle_reasons": hex(nvml.nvmlDeviceGetCurrentClocksThrottleReasons(device)),
        }

    found: dict[str, Any] = _nvml(read)
    return found


def _nvml(read: Callable[[Any, Any], Any]) -> Any:
    """Return what is read by NVML, or why it could not be, as text: a measurement goes on."""
    try:
        import pynvml as nvml

        nvml.nvmlInit()
        try:
            return read(nvml, nvml.nvmlDeviceGetHandleByIndex(cuda.get_current_device().id))
        finally:
            nvml.nvmlShutdown()
    except Exception as error:  # noqa: BLE001 - not installed, no permission, not supported
        return f"not recorded: {type(error).__name__}: {error}"


def _version(package: str) -> str:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return "not installed"
