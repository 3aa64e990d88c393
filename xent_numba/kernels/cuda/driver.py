"""The CUDA driver, as far as the kernels need it: devices, memory, streams, launches.

Addresses and streams are integers. A kernel is loaded into a library of the driver's, which belongs
to no context, and so runs in whichever is current where its arrays are.

References
----------
CUDA driver API, https://docs.nvidia.com/cuda/cuda-driver-api/
"""

from __future__ import annotations

import ctypes
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import cache
from typing import Any

from cuda.bindings import driver as cu

from xent_numba.kernels.cuda import compiler_cache
from xent_numba.kernels.cuda.refusals import OUT_OF_MEMORY, no_room, refusal
from xent_numba.kernels.cuda.signature import ENTRY, Kernel, offsets, packing

_INVALID_CONTEXT, _NOT_INITIALIZED = 201, 3


def _done(result: tuple[Any, ...]) -> Any:
    """Return what a call of the driver returned; raise if it failed."""
    if result[0] != 0:
        raise _error(result[0])
    return result[1] if len(result) > 1 else None


def _error(code: Any) -> Exception:
    if int(code) == OUT_OF_MEMORY:
        return no_room(*memory_info())
    return refusal(int(code), getattr(code, "name", f"error {int(code)}"))


@cache
def devices() -> int:
    """Return how many devices there are."""
    _done(cu.cuInit(0))
    return int(_done(cu.cuDeviceGetCount()))


@cache
def _primary(device: int) -> Any:
    """Return the context of a device that libraries share; it is kept to the end of the process."""
    devices()
    return _done(cu.cuDevicePrimaryCtxRetain(_done(cu.cuDeviceGet(device))))


def current_device() -> int:
    """Return the device of the current context; without one, that of the first becomes it."""
    error, device = cu.cuCtxGetDevice()
    if error == 0:
        return int(device)
    if int(error) not in (_INVALID_CONTEXT, _NOT_INITIALIZED):
        raise _error(error)
    _done(cu.cuCtxSetCurrent(_primary(0)))
    return 0


@contextmanager
def on_device(device: int) -> Iterator[None]:
    """Make a device the current one, for the time of a with statement."""
    if not enter(device):
        yield
        return
    try:
        yield
    finally:
        leave()


def enter(device: int) -> bool:
    """Make a device the current one, and return whether that has to be undone by `leave`."""
    if current_device() == device:
        return False
    _done(cu.cuCtxPushCurrent(_primary(device)))
    return True


def leave() -> None:
    """Undo an `enter`."""
    _done(cu.cuCtxPopCurrent())


@cache
def capability(device: int) -> tuple[int, int]:
    """Return the compute capability of a device."""
    devices()
    handle = _done(cu.cuDeviceGet(device))
    which = cu.CUdevice_attribute
    major, minor = (
        int(_done(cu.cuDeviceGetAttribute(attribute, handle)))
        for attribute in (
            which.CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR,
            which.CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR,
        )
    )
    return major, minor


def memory_info() -> tuple[int, int]:
    """Return free and total bytes of the current device; zeros where it does not say."""
    error, free, total = cu.cuMemGetInfo()
    return (int(free), int(total)) if error == 0 else (0, 0)


class Memory:
    """Memory of the current device, freed with the last reference to it.

    Attributes
    ----------
    address : int
        Where it is.
    """

    __slots__ = ("_device", "address")

    def __init__(self, size: int) -> None:
        self.address = 0
        self._device = current_device()
        self.address = _allocated(cu.cuMemAlloc, size)

    def __del__(self) -> None:
        # At the end of the process the driver, or this module, may be gone.
        with suppress(Exception):
            if self.address:
                with on_device(self._device):
                    cu.cuMemFree(self.address)


def _allocated(allocate: Callable[..., tuple[Any, ...]], *arguments: int) -> int:
    """Allocate, also while a stream of this thread's is being captured in a graph."""
    relaxed = cu.CUstreamCaptureMode.CU_STREAM_CAPTURE_MODE_RELAXED
    mode = _done(cu.cuThreadExchangeStreamCaptureMode(relaxed))
    try:
        return int(_done(allocate(*arguments)))
    finally:
        cu.cuThreadExchangeStreamCaptureMode(mode)


class Pinned:
    """Memory of the host that devices write to; it lives as long as the process.

    Attributes
    ----------
    address : int
        For host and devices.
    view : ctypes array
        Its bytes.
    """

    __slots__ = ("address", "view")

    def __init__(self, size: int) -> None:
        self.address = _allocated(cu.cuMemHostAlloc, size, cu.CU_MEMHOSTALLOC_PORTABLE)
        self.view = (ctypes.c_char * size).from_address(self.address)


def to_device(target: int, source: int, size: int, stream: int) -> None:
    """Copy from pageable host memory; it may be reused when this returns."""
    _done(cu.cuMemcpyHtoDAsync(target, source, size, stream))
    _done(cu.cuStreamSynchronize(stream))


def to_host(target: int, source: int, size: int, stream: int) -> None:
    """Copy to host memory, and wait until it is there."""
    _done(cu.cuMemcpyDtoHAsync(target, source, size, stream))
    _done(cu.cuStreamSynchronize(stream))


def copy(target: int, source: int, size: int) -> None:
    """Queue a copy from device memory to device memory on the default stream."""
    _done(cu.cuMemcpyDtoDAsync(target, source, size, 0))


def synchronize(stream: int) -> None:
    """Wait until a stream has done everything."""
    _done(cu.cuStreamSynchronize(stream))


class Event:
    """A place in what is queued on the default stream.

    Attributes
    ----------
    handle : object
        The driver's.
    """

    __slots__ = ("handle",)

    def __init__(self) -> None:
        self.handle = _done(cu.cuEventCreate(cu.CUevent_flags.CU_EVENT_DEFAULT))
        _done(cu.cuEventRecord(self.handle, 0))

    def seconds_since(self, start: Event) -> float:
        """Wait until the device is here, and return its time from another event on."""
        _done(cu.cuEventSynchronize(self.handle))
        return float(_done(cu.cuEventElapsedTime(start.handle, self.handle))) / 1000

    def __del__(self) -> None:
        with suppress(Exception):  # as at the end of `Memory`
            cu.cuEventDestroy(self.handle)


def clear(target: int, size: int) -> None:
    """Queue zeros for device memory on the default stream."""
    _done(cu.cuMemsetD8Async(target, 0, size, 0))


def cache_bytes() -> int:
    """Return the size of the last cache before the memory of the current device."""
    handle = _done(cu.cuDeviceGet(current_device()))
    which = cu.CUdevice_attribute.CU_DEVICE_ATTRIBUTE_L2_CACHE_SIZE
    return int(_done(cu.cuDeviceGetAttribute(which, handle)))


def captured(stream: int) -> bool:
    """Whether what is queued on a stream goes into a CUDA graph instead."""
    return bool(stream > 1 and int(_done(cu.cuStreamIsCapturing(stream))) != 0)


def wait_for(stream: int, others: set[int]) -> None:
    """Let a stream wait for what is queued on others; the host waits for nothing."""
    for other in others:
        event = _done(cu.cuEventCreate(cu.CUevent_flags.CU_EVENT_DISABLE_TIMING))
        try:
            _done(cu.cuEventRecord(event, other))
            _done(cu.cuStreamWaitEvent(stream, event, 0))
        finally:
            cu.cuEventDestroy(event)


class _Arguments(threading.local):
    """Where a thread puts the parameters of a launch: the driver copies them while it runs."""

    def __init__(self, places: list[int], size: int) -> None:
        self.bytes = ctypes.create_string_buffer(size)
        start = ctypes.addressof(self.bytes)
        self.pointers = (ctypes.c_void_p * len(places))(*(start + place for place in places))
        self.address = ctypes.addressof(self.pointers)


Launcher = Callable[..., None]


def launcher(kernel: Kernel, device: int) -> Launcher:
    """Return ``f(blocks, threads, stream, *parameters)``, which launches a kernel.

    Arrays are addresses, followed by their shape and strides if the kernel takes any.
    """
    code = compiler_cache.cubin(kernel, capability(device))
    library = _done(cu.cuLibraryLoadData(code, None, None, 0, None, None, 0))
    handle = _done(cu.cuLibraryGetKernel(library, ENTRY.encode()))
    function = cu.CUfunction(int(handle))
    layout = packing(kernel)
    arguments = _Arguments(offsets(layout), layout.size)
    launch, pack_into = cu.cuLaunchKernel, layout.pack_into

    def launched(blocks: int, threads: int, stream: int, *parameters: float) -> None:
        pack_into(arguments.bytes, 0, *parameters)
        places = arguments.address
        (error,) = launch(function, blocks, 1, 1, threads, 1, 1, 0, stream, places, 0)
        if error == _INVALID_CONTEXT and current_device() == device:
            (error,) = launch(function, blocks, 1, 1, threads, 1, 1, 0, stream, places, 0)
        if error != 0:
            raise _error(error)

    return launched
