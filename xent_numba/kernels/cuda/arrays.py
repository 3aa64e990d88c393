"""Taking in arrays that are on a device, wherever they come from.

``__cuda_array_interface__`` says where an array is and what it holds; version 3 also on which
stream it is being written. Which device it is on it does not say: that is asked of
``__dlpack_device__`` (CuPy) or of Numba. A tensor of PyTorch's is asked itself, which takes a
fraction of the time of its interface; it is on PyTorch's current stream. bfloat16 has no code of
NumPy's; ml_dtypes writes ``<V2``. The interface of Numba's own arrays leaves out strides that are
0, and calls an array contiguous that is one value seen as many: its attributes are read instead.

References
----------
CUDA Array Interface, version 3, https://numba.readthedocs.io/en/stable/cuda/cuda_array_interface.html
``__cuda_stream__``, https://nvidia.github.io/cuda-python/cuda-core/latest/interoperability.html
"""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import cache
from typing import Any

import numpy as np

from xent_numba.kernels.cuda import copies, launch
from xent_numba.kernels.cuda.extents import (
    contiguous_strides,
    is_aligned,
    is_contiguous,
    overlaps_itself,
)
from xent_numba.kernels.cuda.passes import Launch, computed_dtype, stored_dtype
from xent_numba.kernels.cuda.refusals import is_no_room, no_room

_CUDA_DEVICES = (2, 13)
"""kDLCUDA and kDLCUDAManaged of DLPack."""
_NUMBERS = {"<f2": "float16", "<V2": "bfloat16", "|b1": "uint8"}
"""Labels that are bool are read as the integers they are stored as."""
_chosen_stream: ContextVar[Any] = ContextVar("stream", default=None)
MOST_SAMPLES = 2**62 // 8
"""An offset in bytes fits into the 64 bits of a kernel's index."""


class DeviceArray:
    """An array on a device, ready to be computed on.

    Attributes
    ----------
    address : int
        Of its first element.
    shape : tuple of int
        Shape.
    strides : tuple of int or None
        In bytes; None if it is contiguous.
    number : str
        Name of the dtype of its elements, among them "bfloat16".
    dtype : numpy.dtype
        In which it is computed with, and which results have.
    itemsize : int
        Bytes of an element.
    size : int
        Number of elements.
    device : int
        Where it is.
    stream : int
        Handle of the stream on which it is written; 0 is the default stream.
    owner : object
        What keeps the memory.
    """

    __slots__ = (
        "address", "device", "dtype", "itemsize", "number", "owner", "shape", "size",
        "stream", "strides",
    )  # fmt: skip

    def __init__(
        self,
        place: tuple[int, int, int],
        number: str,
        shape: tuple[int, ...],
        strides: tuple[int, ...] | None,
        owner: Any,
    ) -> None:
        self.address, self.device, self.stream = place
        self.number = number
        self.dtype, self.itemsize = _described(number)
        self.shape = shape
        self.size = shape[0] if len(shape) == 1 else math.prod(shape)
        self.strides = strides
        self.owner = owner

    @property
    def all_strides(self) -> tuple[int, ...]:
        """Strides in bytes, also where it is contiguous."""
        return self.strides or contiguous_strides(self.shape, self.itemsize)

    def numbers(self, elements: np.ndarray) -> np.ndarray:
        """Return the numbers that elements of the array, copied to the host, stand for."""
        if self.number == "float16":
            return elements.view(np.float16).astype(np.float32)
        if self.number == "bfloat16":
            return (elements.astype(np.uint32) << 16).view(np.float32)
        return elements


@cache
def _described(number: str) -> tuple[np.dtype, int]:
    return computed_dtype(number), stored_dtype(number).itemsize


def adopt(name: str, value: Any) -> DeviceArray:
    """Take in a device array without a copy, unless its elements lie across their alignment.

    Parameters
    ----------
    name : str
        What an error calls it.
    value : object
        With ``__cuda_array_interface__``.

    Raises
    ------
    TypeError, ValueError
        For an array that cannot be read.
    """
    kind = type(value)
    if kind is DeviceArray:
        return value
    taken: Any = kind
    array = taker(taken)(name, value)
    if array.size > MOST_SAMPLES:
        raise ValueError(
            f"{name} has {array.size:,} samples; accepted are at most {MOST_SAMPLES:,}, which a "
            "kernel's index reaches, so pass the samples in parts"
        )
    return array


def adopt_output(name: str, value: Any) -> DeviceArray:
    """Take in a device array that is to be written; see `adopt`.

    Raises
    ------
    TypeError, ValueError
        For an array that cannot be written as it is.
    """
    if type(value) is DeviceArray:
        return value
    array = adopt(name, value)
    if not hasattr(value, "requires_grad") and value.__cuda_array_interface__["data"][1]:
        raise ValueError(f"{name} is read-only; accepted is a writable array")
    if array.owner is not value:
        raise ValueError(
            f"{name} has elements that lie across their alignment; accepted is an address and "
            "strides that are multiples of the item size"
        )
    if array.strides is not None and overlaps_itself(array):
        raise ValueError(
            f"{name} has elements that share memory with each other (strides {array.strides}); "
            "accepted is an array whose elements are distinct"
        )
    return array


@cache
def taker(kind: Any) -> Callable[[str, Any], DeviceArray]:
    """Return the function that takes in arrays of a type."""
    torch = sys.modules.get("torch")
    tensor = getattr(torch, "Tensor", None)
    return _tensors(torch) if tensor is not None and issubclass(kind, tensor) else _of_interface


def _tensors(torch: Any) -> Callable[[str, Any], DeviceArray]:
    """Return the function that takes in tensors."""
    names = (
        "float16", "bfloat16", "float32", "float64", "int8", "uint8", "int16", "int32", "int64",
    )  # fmt: skip
    numbers = {getattr(torch, name): name for name in names}
    numbers[torch.bool] = "uint8"
    strided, raw = torch.strided, getattr(torch._C, "_cuda_getCurrentRawStream", None)

    def stream_of(device: int) -> int:
        return raw(device) if raw else torch.cuda.current_stream(device).cuda_stream

    def take(name: str, tensor: Any) -> DeviceArray:
        if tensor.requires_grad:
            raise TypeError(
                f"{name} is a tensor that requires grad, which nothing here records; accepted is "
                "its .detach()"
            )
        number = numbers.get(tensor.dtype)
        if not tensor.is_cuda or tensor.layout is not strided or number is None or tensor.is_neg():
            raise TypeError(
                f"{name} is a tensor of {tensor.dtype} on {tensor.device}, {tensor.layout}; "
                "accepted is a strided tensor of real numbers on a CUDA device"
            )
        device = tensor.get_device()
        shape = tuple(tensor.shape)
        strides = None
        if not tensor.is_contiguous():
            size = tensor.element_size()
            strides = tuple(step * size for step in tensor.stride())
        place = tensor.data_ptr(), device, stream_of(device)
        return DeviceArray(place, number, shape, strides, tensor)

    return take


def _of_interface(name: str, value: Any) -> DeviceArray:
    """Take in an array by its interface."""
    interface = value.__cuda_array_interface__
    if interface.get("mask") is not None:
        raise TypeError(f"{name} has a mask, which would be ignored; accepted is an array without")
    library = type(value).__module__.partition(".")[0]
    place = interface["data"][0], device_of(value), _stream_of(name, library, interface)
    code = interface["typestr"]
    number = _NUMBERS.get(code) or str(np.dtype(code))
    shape, strides = tuple(interface["shape"]), interface.get("strides")
    if library == "numba" and hasattr(value, "strides"):
        strides = value.strides
    size = np.dtype(code).itemsize
    if strides is not None and is_contiguous(shape, strides, size):
        strides = None
    array = DeviceArray(place, number, shape, strides and tuple(strides), value)
    return array if is_aligned(array) else _gathered(array)


def device_of(value: Any) -> int:
    """Return the number of the device on which an array is."""
    if dlpack := getattr(value, "__dlpack_device__", None):
        kind, number = dlpack()
        if kind in _CUDA_DEVICES:
            return int(number)
    context = getattr(getattr(value, "gpu_data", None), "context", None)
    device = getattr(context, "device", None)
    return launch.machine.current_device() if device is None else int(device.id)


@contextmanager
def computing_on(stream: Any) -> Iterator[None]:
    """Let everything within run on a stream: one with ``__cuda_stream__``, or a handle."""
    token = _chosen_stream.set(stream)
    try:
        yield
    finally:
        _chosen_stream.reset(token)


def stream_is_chosen() -> bool:
    """Whether this is within a with statement of `computing_on`."""
    return _chosen_stream.get() is not None


def join_streams(arrays: Iterable[DeviceArray]) -> int:
    """Return the stream to compute on, which waits for what is queued on those of all arrays.

    It is the stream of `computing_on`, else that of the first array.
    """
    first, *others = arrays
    chosen = _chosen_stream.get()
    handle = first.stream if chosen is None else _checked(chosen, first.device)
    for other in others:
        if other.stream != handle:
            break
    else:
        if first.stream == handle:
            return handle
    launch.machine.wait_for(handle, {array.stream for array in (first, *others)} - {handle})
    return handle


def _checked(stream: Any, device: int) -> int:
    """Return the handle of a chosen stream; raise if it is one of another device."""
    number = _device_of_stream(stream)
    if number is not None and number != device:
        raise ValueError(
            f"stream is one of device {number}; accepted is a stream of device {device}, where "
            "the arrays are"
        )
    return handle_of(stream)


def handle_of(stream: Any) -> int:
    """Return the handle of a stream with ``__cuda_stream__``, or of a handle."""
    if isinstance(stream, int):
        return stream
    if not hasattr(stream, "__cuda_stream__"):
        raise TypeError(
            f"stream is a {type(stream).__name__}; accepted is an object with __cuda_stream__, or "
            "a handle as an int"
        )
    protocol = stream.__cuda_stream__
    _, handle = protocol() if callable(protocol) else protocol
    return int(handle)


def to_device(array: np.ndarray) -> DeviceArray:
    """Copy a host array to the current device."""
    whole = np.ascontiguousarray(array)
    copied = room_for(array.shape, "uint8" if array.dtype == np.bool_ else str(array.dtype))
    if whole.size:
        launch.machine.to_device(copied.address, whole.ctypes.data, whole.nbytes, copied.stream)
    return copied


def room_for(shape: tuple[int, ...], number: str, stream: int = 0) -> DeviceArray:
    """Return a new array on the current device, with arbitrary contents."""
    size = math.prod(shape) * stored_dtype(number).itemsize
    memory = launch.machine.Memory(max(size, 1))
    place = memory.address, launch.machine.current_device(), stream
    return DeviceArray(place, number, shape, None, memory)


def empty_like(first: DeviceArray, stream: int) -> Any:
    """Return a new array of the caller's library, to be written on a stream.

    PyTorch and CuPy keep memory that has been freed for the stream that used it; Numba's own array
    is what all others get.

    Raises
    ------
    MemoryError
        Where the device has no room for it.
    """
    makers = {"torch": _empty_tensor, "cupy": _empty_of_cupy}
    make = makers.get(type(first.owner).__module__.partition(".")[0], _empty_of_numba)
    try:
        return make(first, stream)
    except Exception as error:
        if is_no_room(error):
            raise no_room(*launch.machine.memory_info()) from None
        raise


def _empty_tensor(first: DeviceArray, stream: int) -> Any:
    torch = sys.modules["torch"]
    device = first.owner.device
    made = torch.empty(first.shape, dtype=getattr(torch, str(first.dtype)), device=device)
    if stream != first.stream:
        made.record_stream(torch.cuda.ExternalStream(stream, device))
    return made


def _empty_of_cupy(first: DeviceArray, stream: int) -> Any:
    cupy = sys.modules["cupy"]
    with cupy.cuda.Device(first.device), cupy.cuda.ExternalStream(stream):
        return cupy.empty(first.shape, first.dtype)


def _empty_of_numba(first: DeviceArray, stream: int) -> Any:
    from numba import cuda

    where = cuda.external_stream(stream) if stream else 0
    return cuda.device_array(first.shape, first.dtype, stream=where)


def _gathered(array: DeviceArray) -> DeviceArray:
    """Return a contiguous copy, made byte by byte."""
    with launch.machine.on_device(array.device):
        copied = room_for(array.shape, array.number, array.stream)
        place = array.address, array.device, array.stream
        shape, strides = (*array.shape, array.itemsize), (*array.all_strides, 1)
        of_bytes = DeviceArray(place, "uint8", shape, strides, array)
        copies.gather(of_bytes, copied.address, Launch(array.stream))
    return copied


def _stream_of(name: str, library: str, interface: dict[str, Any]) -> int:
    handle = interface.get("stream")
    if handle is None:
        return 0
    if handle == 0 and library != "numba":  # which calls its default stream so
        raise ValueError(
            f"{name} names stream 0, which the CUDA Array Interface leaves undefined; accepted "
            "is 1 for the legacy default stream, 2 for that of the thread, a handle, or None"
        )
    return int(handle)


def _device_of_stream(stream: Any) -> int | None:
    """Return the device of a stream of PyTorch's or CuPy's; None where it does not say."""
    for name in ("device_index", "device_id"):
        if isinstance(number := getattr(stream, name, None), int) and number >= 0:
            return number
    return None
