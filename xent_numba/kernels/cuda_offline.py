"""Compiling the kernels for a GPU that is not there: PTX, and what ptxas makes of it.

`cuda.compile` takes a compute capability, but the functions that a kernel calls are compiled for
the device at hand, which Numba asks its driver for. Here that question is answered without one.
NVVM and ptxas come from NVIDIA's wheels (the extra ``cuda-check``).
"""

from __future__ import annotations

import importlib.util
import re
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
from numba import cuda, float32, float64, from_dtype, int64, types
from numba.cuda import dispatcher

from xent_numba.kernels import cuda_grid
from xent_numba.kernels.losses import sigmoid

HOPPER = (9, 0)


@contextmanager
def assumed(capability: tuple[int, int]) -> Iterator[None]:
    """Let device functions be compiled for a compute capability, whatever the device."""
    asked = dispatcher.get_current_device
    dispatcher.get_current_device = lambda: SimpleNamespace(compute_capability=capability)
    try:
        yield
    finally:
        dispatcher.get_current_device = asked


def ptx_of(kernel: Any, signature: tuple[Any, ...]) -> str:
    """PTX of a kernel for Hopper."""
    with assumed(HOPPER):
        code, _ = cuda.compile_ptx(kernel.py_func, signature, cc=HOPPER)
    return str(code)


def sigmoid_ptx(dtype: str, ndim: int = 1, layout: str = "C") -> str:
    """PTX of the sigmoid of arrays of a dtype."""
    array = types.Array(from_dtype(np.dtype(dtype)), ndim, layout)
    return ptx_of(cuda_grid.map_kernel(sigmoid, ndim), (int64, int64, array, array))


def loss_ptx(
    operation: str,
    dtype: str,
    label_dtype: str,
    *,
    weighted: bool = False,
    divided: bool = False,
    reduced: bool = True,
) -> str:
    """PTX of the pass of a loss over contiguous arrays."""
    values, labels = (from_dtype(np.dtype(t))[::1] for t in (dtype, label_dtype))
    kernel = cuda_grid.loss_kernel(
        operation,
        1,
        compensated=dtype == "float64",
        weighted=weighted,
        with_gradient=operation.endswith("_and_grad"),
        divided=divided,
        reduced=reduced,
    )
    scalar = float32 if dtype == "float32" else float64
    arrays = (values, labels, values, values, values, float64[:, ::1])
    return ptx_of(kernel, (int64, int64, scalar, *arrays))


def ptxas() -> Path | None:
    """NVIDIA's assembler, from its wheel."""
    spec = importlib.util.find_spec("nvidia")
    folders = spec.submodule_search_locations if spec else None
    found = (p for folder in folders or () for p in Path(folder).glob("*/bin/ptxas"))
    return next(found, None)


@dataclass(frozen=True, slots=True)
class Resources:
    """What one thread of a kernel takes, in registers and bytes."""

    registers: int
    stack: int
    spill_stores: int
    spill_loads: int


def resources(ptx: str) -> Resources:
    """Assemble PTX for Hopper and read ptxas' own account."""
    assembler = ptxas()
    if assembler is None:
        raise FileNotFoundError("ptxas is not installed; pip install 'xent-numba[cuda-check]'")
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder, "kernel.ptx")
        source.write_text(ptx)
        account = subprocess.run(  # noqa: S603
            [assembler, "-v", "-arch=sm_90", source, "-o", source.with_suffix(".cubin")],
            check=True,
            capture_output=True,
            text=True,
        ).stderr
    frame = re.search(
        r"(\d+) bytes stack frame, (\d+) bytes spill stores, (\d+) bytes spill loads", account
    )
    registers = re.search(r"Used (\d+) registers", account)
    assert frame
    assert registers
    return Resources(int(registers[1]), *map(int, frame.groups()))
