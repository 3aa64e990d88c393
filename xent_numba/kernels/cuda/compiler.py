"""From a kernel to machine code, by numba-cuda and NVIDIA's linker; for any GPU, with none at hand.

numba-cuda compiles the functions that a kernel calls for the device at hand, which it asks its
driver for. Here that question is answered without one, and nothing of CUDA is started.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any

from numba import cuda, from_dtype, types
from numba.cuda import dispatcher

from xent_numba.kernels.cuda import grid
from xent_numba.kernels.cuda.passes import computed_dtype, stored_dtype
from xent_numba.kernels.cuda.signature import ENTRY, Kernel, Parameter

_lock = threading.Lock()


def _type_of(parameter: Parameter, strided: int) -> Any:
    if parameter.kind == "int":
        return types.int64
    if parameter.kind == "value":
        return from_dtype(computed_dtype(parameter.number))
    pointer = types.CPointer(from_dtype(stored_dtype(parameter.number)))
    if parameter.kind == "array" and strided:
        lengths = types.UniTuple(types.int64, strided)
        return types.Tuple((pointer, lengths, lengths))
    return pointer


def signature_of(kernel: Kernel) -> tuple[Any, ...]:
    """Return the types of the parameters."""
    return tuple(
        _type_of(parameter, kernel.strided)
        if isinstance(parameter, Parameter)
        else types.Tuple([_type_of(one, kernel.strided) for one in parameter])
        for parameter in kernel.parameters
    )


@contextmanager
def assumed(capability: tuple[int, int]) -> Iterator[None]:
    """Let device functions be compiled for a compute capability, whatever the device."""
    with _lock:
        asked = dispatcher.get_current_device
        dispatcher.get_current_device = lambda: SimpleNamespace(compute_capability=capability)
        try:
            yield
        finally:
            dispatcher.get_current_device = asked


def compiled(function: Any, signature: tuple[Any, ...], capability: tuple[int, int]) -> str:
    """Return the PTX of a function as a kernel."""
    with assumed(capability):
        code, _ = cuda.compile_ptx(function, signature, cc=capability)
    text = str(code)
    entry = re.search(r"\.visible \.entry (\w+)\(", text)
    if entry is None:
        raise RuntimeError("numba-cuda compiled a kernel to PTX without an entry")
    return text.replace(entry[1], ENTRY)


def ptx(kernel: Kernel, capability: tuple[int, int]) -> str:
    """Return the PTX of a kernel for a compute capability."""
    return compiled(grid.function_of(kernel), signature_of(kernel), capability)


def cubin(kernel: Kernel, capability: tuple[int, int]) -> bytes:
    """Return the machine code of a kernel for a compute capability."""
    from cuda.core import Program, ProgramOptions

    options = ProgramOptions(
        arch="sm_{}{}".format(*capability), max_register_count=kernel.most_registers
    )
    return bytes(Program(ptx(kernel, capability), "ptx", options).compile("cubin").code)
