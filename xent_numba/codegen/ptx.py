"""Compiling the kernels for a GPU that is not there: PTX, and the machine code ptxas makes of it.

`cuda.compile` takes a compute capability, but the functions that a kernel calls are compiled for
the device at hand, which Numba asks its driver for. Here that question is answered without one.
NVVM, ptxas and nvdisasm come from NVIDIA's wheels (the extra ``cuda-check``).
"""

from __future__ import annotations

import importlib.util
import re
import subprocess
import tempfile
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
from numba import cuda, float32, float64, from_dtype, int64, types
from numba.cuda import dispatcher

from xent_numba.kernels.cuda import grid

HOPPER = (9, 0)
PASSES: dict[str, dict[str, Any]] = {
    "sigmoids": {"operation": "sigmoid", "reduced": False},
    "sum of cross entropies": {"operation": "binary_cross_entropy", "label_dtype": "int8"},
    "sum of logistic losses": {"operation": "logistic_loss", "label_dtype": "int8"},
    "gradients": {"operation": "logistic_loss_and_grad", "label_dtype": "int8"},
}
"""The passes whose machine code is watched over the history, by what they compute."""


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


@dataclass(frozen=True, slots=True)
class Source:
    """PTX of a kernel, and the registers that ptxas may take, where that is limited."""

    ptx: str
    max_registers: int | None = None


@cache
def pass_ptx(
    operation: str,
    dtype: str,
    label_dtype: str | None = None,
    *,
    weighted: bool = False,
    divided: bool = False,
    reduced: bool = True,
    vector: bool = True,
    ndim: int = 1,
    layout: grid.Layout = grid.LAYOUT,
) -> Source:
    """PTX of a pass over arrays of some dtypes, among them "bfloat16"."""
    half = {"float16", "bfloat16"}
    stored = ["uint16" if name in half else name for name in (dtype, label_dtype or dtype)]
    kind = "C" if ndim == 1 else "A"
    first, labels = (types.Array(from_dtype(np.dtype(name)), ndim, kind) for name in stored)
    wide = float64 if dtype == "float64" else float32
    numbers = types.Array(wide, ndim, kind)
    with_gradient = operation.endswith("_and_grad")
    encodings: list[Any] = [
        name if name in half else "plain" for name in (dtype, label_dtype or dtype)
    ]
    spec = grid.Pass(
        operation,
        ndim,
        vector=vector and ndim == 1,
        encodings=(encodings[0], encodings[1], encodings[0]),
        width=layout.width(np.dtype(stored[0]).itemsize),
        hard=np.dtype(stored[1]).kind in "biu" and encodings[1] == "plain",
        compensated=dtype == "float64",
        weighted=weighted,
        with_gradient=with_gradient,
        divided=divided,
        reduced=reduced,
        layout=layout,
    )
    registers = spec.compiler_options.get("max_registers")
    if label_dtype is None:
        signature: tuple[Any, ...] = (int64, first, numbers)
        return Source(ptx_of(grid.map_kernel(spec), signature), registers)
    # What is left out is the first argument once more, as `grid.launch_pass` has it.
    arrays = (
        first,
        labels,
        first,
        first if reduced else numbers,
        numbers if with_gradient else first,
    )
    signature = (int64, int64, int64, wide, *arrays, float64[:, ::1])
    return Source(ptx_of(grid.pass_kernel(spec), signature), registers)


def samples_of_a_tile(dtype: str) -> int:
    """Samples for which a thread goes once through its main loop."""
    return grid.LAYOUT.groups * grid.LAYOUT.width(np.dtype(dtype).itemsize)


def tool(name: str) -> Path | None:
    """A program of NVIDIA's, from its wheel."""
    spec = importlib.util.find_spec("nvidia")
    folders = spec.submodule_search_locations if spec else None
    found = (p for folder in folders or () for p in Path(folder).glob(f"*/bin/{name}"))
    return next(found, None)


def missing() -> str | None:
    """Why nothing can be compiled for a GPU that is not there, or None."""
    for name in ("ptxas", "nvdisasm"):
        if tool(name) is None:
            return f"{name} is not installed; pip install 'xent-numba[cuda-check]'"
    try:
        pass_ptx("sigmoid", "float32", reduced=False)
    except Exception as error:  # noqa: BLE001 - a missing NVVM shows in many ways
        reason = str(error).partition("\n")[0]
        return f"NVVM does not work ({reason}); pip install 'xent-numba[cuda-check]'"
    return None


@dataclass(frozen=True, slots=True)
class Compiled:
    """What ptxas makes of a kernel for Hopper.

    Attributes
    ----------
    registers : int
        Of a thread.
    local_bytes : int
        Of a thread's stack frame in local memory, spilled registers included.
    blocks : tuple of tuple of str
        Machine instructions, by their names, of each stretch without a jump in or out.
    """

    registers: int
    local_bytes: int
    blocks: tuple[tuple[str, ...], ...]

    @property
    def main_loop(self) -> tuple[str, ...]:
        """The stretch that reads a full tile: the one with the most loads."""
        return max(self.blocks, key=lambda block: sum(name.startswith("LDG") for name in block))

    @property
    def instructions(self) -> int:
        """Of the whole kernel."""
        return sum(map(len, self.blocks))

    @property
    def double_instructions(self) -> int:
        """Instructions of the main loop for the unit of double precision."""
        return sum(name.startswith(("DADD", "DMUL", "DFMA", "DSETP")) for name in self.main_loop)

    @property
    def bytes_ahead(self) -> int:
        """Bytes that a thread has asked for in the main loop before it computes with the first."""
        total = 0
        for name in self.main_loop:
            if name.startswith("LDG"):
                total += _BYTES.get(name.rpartition(".")[2], 4)
            elif _ARITHMETIC.match(name):
                break
        return total

    @property
    def loads(self) -> Counter[str]:
        """How often each kind of load from global memory stands in the main loop."""
        return Counter(name for name in self.main_loop if name.startswith("LDG"))


_BYTES = {"U8": 1, "S8": 1, "U16": 2, "S16": 2, "64": 8, "128": 16}
_ARITHMETIC = re.compile(r"[FD](?:FMA|ADD|MUL|MNMX|SETP)|HADD2|MUFU")


@cache
def assembled(kernel: Source) -> Compiled:
    """Assemble PTX for Hopper, and take the result apart."""
    limit = (f"-maxrregcount={kernel.max_registers}",) if kernel.max_registers else ()
    with tempfile.TemporaryDirectory() as folder:
        source, binary = Path(folder, "kernel.ptx"), Path(folder, "kernel.cubin")
        source.write_text(kernel.ptx)
        account = _run("ptxas", "-v", "-arch=sm_90", *limit, source, "-o", binary)
        listing = _run("nvdisasm", "-c", binary)
    frame = re.search(r"(\d+) bytes stack frame, (\d+) bytes spill stores", account)
    registers = re.search(r"Used (\d+) registers", account)
    assert frame
    assert registers
    return Compiled(int(registers[1]), sum(map(int, frame.groups())), tuple(_stretches(listing)))


def _run(name: str, *arguments: str | Path) -> str:
    program = tool(name)
    if program is None:
        raise FileNotFoundError(f"{name} is not installed; pip install 'xent-numba[cuda-check]'")
    done = subprocess.run(  # noqa: S603 - NVIDIA's own program
        [program, *arguments], check=True, capture_output=True, text=True
    )
    return done.stdout + done.stderr


_INSTRUCTION = re.compile(r"/\*[0-9a-f]{4,}\*/\s+(?:@!?U?P\w+\s+)?([A-Z][\w.]*)")
_JUMPS = ("BRA", "EXIT", "CALL", "RET", "BRX", "JMP")


def _stretches(listing: str) -> Iterator[tuple[str, ...]]:
    stretch: list[str] = []
    for line in listing.splitlines():
        if line.startswith(".L_"):
            yield tuple(stretch)
            stretch = []
        elif instruction := _INSTRUCTION.search(line):
            stretch.append(instruction[1])
            if instruction[1].startswith(_JUMPS):
                yield tuple(stretch)
                stretch = []
    yield tuple(stretch)
