"""What `driver` is, in Numba's simulator: one device, whose memory is the host's.

There are no streams, and nothing is ever to be waited for. A kernel gets NumPy arrays in the place
of addresses.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any

import numpy as np
from numba import cuda
from numba.cuda.simulator.cudadrv.devicearray import FakeCUDAArray

from xent_numba.kernels.cuda import grid
from xent_numba.kernels.cuda.passes import computed_dtype, stored_dtype
from xent_numba.kernels.cuda.signature import Kernel, Parameter


def devices() -> int:
    """See `driver`."""
    return 1


def current_device() -> int:
    """See `driver`."""
    return 0


@contextmanager
def on_device(device: int) -> Iterator[None]:
    """See `driver`."""
    yield


def enter(device: int) -> bool:
    """See `driver`."""
    return False


def leave() -> None:
    """See `driver`."""


def memory_info() -> tuple[int, int]:
    """See `driver`."""
    return 0, 0


class Memory:
    """See `driver`."""

    def __init__(self, size: int) -> None:
        self._bytes = np.empty(size, np.uint8)
        self.address = int(self._bytes.ctypes.data)


class Pinned:
    """See `driver`."""

    def __init__(self, size: int) -> None:
        self.view = (ctypes.c_char * size)()
        self.address = ctypes.addressof(self.view)


def to_device(target: int, source: int, size: int, stream: int) -> None:
    """See `driver`."""
    ctypes.memmove(target, source, size)


to_host = to_device


def synchronize(stream: int) -> None:
    """See `driver`."""


def captured(stream: int) -> bool:
    """See `driver`."""
    return False


def wait_for(stream: int, others: set[int]) -> None:
    """See `driver`."""


def launcher(kernel: Kernel, device: int) -> Callable[..., None]:
    """See `driver`."""
    function = cuda.jit(grid.function_of(kernel))
    # A map and a copy say how many samples there are first, as does the cut of a pass.
    fold = kernel.kind == "fold"

    def launched(blocks: int, threads: int, stream: int, *parameters: float) -> None:
        values = iter(parameters)
        size = int(parameters[2 if fold else 0])

        def taken(parameter: Parameter) -> Any:
            value = next(values)
            if parameter.kind in ("int", "value"):
                number = (
                    parameter.number
                    if parameter.kind == "int"
                    else computed_dtype(parameter.number)
                )
                return np.dtype(number).type(value)
            dtype = stored_dtype(parameter.number)
            if parameter.kind == "array" and kernel.strided:
                lengths = [int(next(values)) for _ in range(2 * kernel.strided)]
                shape, strides = lengths[: kernel.strided], lengths[kernel.strided :]
                return _array(int(value), dtype, tuple(shape), tuple(strides))
            return _array(int(value), dtype, (parameter.length or size,), None)

        function[blocks, threads](
            *(
                taken(parameter)
                if isinstance(parameter, Parameter)
                else tuple(taken(one) for one in parameter)
                for parameter in kernel.parameters
            )
        )

    return launched


def _array(
    address: int, dtype: np.dtype, shape: tuple[int, ...], strides: tuple[int, ...] | None
) -> FakeCUDAArray:
    """Return what lies at an address, as an array that keeps nothing alive and is not copied."""
    interface = {
        "version": 3,
        "typestr": dtype.str,
        "data": (address, False),
        "shape": shape,
        "strides": strides,
    }
    return FakeCUDAArray(np.asarray(SimpleNamespace(__array_interface__=interface)))
