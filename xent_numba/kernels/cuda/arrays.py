"""Taking in arrays that are on a device, wherever they come from.

``__cuda_array_interface__`` says where an array is and what it holds; version 3 also on which
stream it is being written. Which device it is on it does not say: that is asked of
``__dlpack_device__`` (PyTorch, CuPy) or of Numba. PyTorch keeps to version 2 and has a current
stream instead. bfloat16 has no code of NumPy's; PyTorch and ml_dtypes both write ``<V2``.

References
----------
CUDA Array Interface, version 3, https://numba.readthedocs.io/en/stable/cuda/cuda_array_interface.html
``__cuda_stream__``, https://nvidia.github.io/cuda-python/cuda-core/latest/interoperability.html
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from contextvars import ContextVar
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import numpy as np
from numba import cuda

from xent_numba.kernels.cuda import grid
from xent_numba.kernels.cuda.access import Column, Encoding

_CUDA_DEVICES = (2, 13)
"""kDLCUDA and kDLCUDAManaged of DLPack."""
_HALVES: dict[str, Encoding] = {"<f2": "float16", "<V2": "bfloat16"}
_BITS = {"|b1": "|u1"}
"""Labels that are bool are read as the integers they are stored as."""
_chosen_stream: ContextVar[Any] = ContextVar("stream", default=None)


@dataclass(frozen=True, slots=True)
class Adopted:
    """A device array of the caller's, ready to be computed on.

    Attributes
    ----------
    column : Column
        Its elements.
    device : int
        Where it is.
    stream : int
        Handle of the stream on which it is written; 0 is the default stream.
    """

    column: Column
    device: int
    stream: int

    @property
    def dtype(self) -> np.dtype:
        """Dtype that is computed in, and that results have."""
        return self.column.dtype

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape."""
        return tuple(self.column.array.shape)

    @property
    def size(self) -> int:
        """Number of elements."""
        return int(self.column.array.size)

    @property
    def __cuda_array_interface__(self) -> dict[str, Any]:
        interface: dict[str, Any] = self.column.array.__cuda_array_interface__
        return interface


def adopt(name: str, value: Any) -> Adopted:
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
    if isinstance(value, Adopted):
        return value
    interface = value.__cuda_array_interface__
    if interface.get("mask") is not None:
        raise TypeError(f"{name} has a mask, which would be ignored; accepted is an array without")
    stream = _stream_of(name, value, interface)
    device = device_of(value)
    encoding = _HALVES.get(interface["typestr"], "plain")
    bits = "<u2" if encoding != "plain" else _BITS.get(interface["typestr"])
    if bits:
        interface = {**interface, "typestr": bits}
    with on_device(device):
        # What is queued on its stream comes first because this package queues behind it.
        seen = _Seen({**interface, "stream": None}, value)
        if is_aligned(interface):
            array = cuda.as_cuda_array(seen, sync=False)
        else:
            array = _gathered(seen, as_stream(stream))
    return Adopted(Column(array, encoding), device, stream)


def device_of(value: Any) -> int:
    """Return the number of the device on which an array is."""
    if dlpack := getattr(value, "__dlpack_device__", None):
        kind, number = dlpack()
        if kind in _CUDA_DEVICES:
            return int(number)
    context = getattr(getattr(value, "gpu_data", None), "context", None)
    device = getattr(context, "device", None) or cuda.get_current_device()
    return int(getattr(device, "id", 0))


def on_device(number: int) -> AbstractContextManager[Any]:
    """Make a device the current one, for the time of a with statement."""
    current = int(getattr(cuda.get_current_device(), "id", 0))
    return nullcontext() if number == current else cuda.gpus[number]


@contextmanager
def computing_on(stream: Any) -> Iterator[None]:
    """Let everything within run on a stream: one with ``__cuda_stream__``, or a handle."""
    token = _chosen_stream.set(stream)
    try:
        yield
    finally:
        _chosen_stream.reset(token)


def join_streams(arrays: Iterable[Adopted]) -> Any:
    """Return the stream to compute on, which waits for what is queued on those of all arrays.

    It is the stream of `computing_on`, else that of the first array.
    """
    first, *others = arrays
    chosen = _chosen_stream.get()
    if chosen is None:
        handle = first.stream
    else:
        handle = handle_of(chosen)
        number = _device_of_stream(chosen)
        if number is not None and number != first.device:
            raise ValueError(
                f"stream is one of device {number}; accepted is a stream of device "
                f"{first.device}, where the arrays are"
            )
    stream = as_stream(handle)
    for other in {array.stream for array in (first, *others)} - {handle}:
        event = cuda.event()
        event.record(as_stream(other))
        event.wait(stream)
    return stream


def as_stream(handle: int) -> Any:
    """Return Numba's stream for a handle."""
    return cuda.external_stream(handle) if handle else 0


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


def to_device(array: np.ndarray) -> Column:
    """Copy a host array to the current device."""
    if array.dtype == np.bool_:
        array = array.view(np.uint8)
    return Column(reserve(lambda: cuda.to_device(np.ascontiguousarray(array).reshape(array.shape))))


def empty(shape: tuple[int, ...], dtype: np.dtype, stream: Any) -> Any:
    """Return a new device array with arbitrary contents."""
    return reserve(lambda: cuda.device_array(shape, dtype, stream=stream))


def reserve(make: Any) -> Any:
    """Return what `make` returns; MemoryError where the device has no room for it."""
    try:
        return make()
    except Exception as error:  # the driver's errors have no common class over Numba's versions
        if "OUT_OF_MEMORY" not in str(error):
            raise
        free, total = cuda.current_context().get_memory_info()
        raise MemoryError(
            f"the device has {free:,} of its {total:,} bytes free, too few for the arrays of this "
            "call; accepted are smaller ones, or the samples in parts"
        ) from None


def is_aligned(interface: dict[str, Any]) -> bool:
    """Whether every element starts on a multiple of its size, as a GPU needs it to."""
    size = np.dtype(interface["typestr"]).itemsize
    strides = interface.get("strides") or ()
    return not any(step % size for step in (interface["data"][0], *strides))


@dataclass(frozen=True, slots=True)
class _Seen:
    """An array seen otherwise than its owner sees it."""

    __cuda_array_interface__: dict[str, Any]
    owner: Any


def _gathered(seen: _Seen, stream: Any) -> Any:
    """Return a contiguous copy, made byte by byte."""
    interface = seen.__cuda_array_interface__
    dtype, shape = np.dtype(interface["typestr"]), interface["shape"]
    strides = interface.get("strides") or _contiguous(shape, dtype.itemsize)
    of_bytes = {"typestr": "|u1", "shape": (*shape, dtype.itemsize)}
    source = _Seen({**interface, **of_bytes, "strides": (*strides, 1)}, seen.owner)
    copied = empty((*shape, dtype.itemsize), np.dtype(np.uint8), stream)
    grid.copy(cuda.as_cuda_array(source, sync=False), copied, grid.Launch(stream=stream))
    return copied.reshape(-1).view(dtype).reshape(shape)


def _contiguous(shape: tuple[int, ...], itemsize: int) -> tuple[int, ...]:
    lengths = np.cumprod([1, *reversed(shape[1:])])[: len(shape)]
    return tuple(int(length) * itemsize for length in reversed(lengths))


def _stream_of(name: str, value: Any, interface: dict[str, Any]) -> int:
    library = type(value).__module__.partition(".")[0]
    if (handle := interface.get("stream")) is not None:
        if handle == 0 and library != "numba":  # which calls its default stream so
            raise ValueError(
                f"{name} names stream 0, which the CUDA Array Interface leaves undefined; accepted "
                "is 1 for the legacy default stream, 2 for that of the thread, a handle, or None"
            )
        return int(handle)
    if library == "torch":
        return handle_of(sys.modules["torch"].cuda.current_stream(device_of(value)))
    return 0


def _device_of_stream(stream: Any) -> int | None:
    """Return the device of a stream of PyTorch's or CuPy's; None where it does not say."""
    for name in ("device_index", "device_id"):
        if isinstance(number := getattr(stream, name, None), int) and number >= 0:
            return number
    return None


def shadow(value: Any) -> np.ndarray:
    """Return a NumPy array with the address and strides of a device array, never to be read."""
    interface = {"version": 3, **value.__cuda_array_interface__}
    interface.pop("stream", None)
    if 0 in interface["shape"]:
        return np.empty(interface["shape"], interface["typestr"])
    return np.asarray(SimpleNamespace(__array_interface__=interface))
