"""Compiling the kernels for a GPU that is not there: PTX, and the machine code ptxas makes of it.

NVVM, ptxas and nvdisasm come from NVIDIA's wheels (the extra ``cuda-check``).
"""

from __future__ import annotations

import importlib.util
import re
import subprocess
import tempfile
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from xent_numba.kernels.cuda import compiler
from xent_numba.kernels.cuda.passes import LAYOUT, Pass
from xent_numba.kernels.cuda.signature import of_pass

HOPPER = (9, 0)
PASSES: dict[str, dict[str, Any]] = {
    "sigmoids": {"operation": "sigmoid", "reduced": False},
    "sum of cross entropies": {"operation": "binary_cross_entropy", "label_dtype": "int8"},
    "sum of logistic losses": {"operation": "logistic_loss", "label_dtype": "int8"},
    "gradients": {"operation": "logistic_loss_and_grad", "label_dtype": "int8"},
}
"""The passes whose machine code is watched over the history, by what they compute."""


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
    **dealt: Any,
) -> Source:
    """PTX of a pass over arrays of some dtypes, among them "bfloat16".

    How samples are dealt out is said by ``vector``, ``strided`` and ``layout`` of `Pass`.
    """
    spec = Pass(
        operation,
        (dtype, label_dtype or "", dtype if weighted else ""),
        losses=not reduced,
        gradients=operation.endswith("_and_grad"),
        divisor="size" if divided else "",
        **({"vector": not dealt.get("strided")} | dealt),
    )
    kernel = of_pass(spec, maps=label_dtype is None)
    return Source(compiler.ptx(kernel, HOPPER), kernel.most_registers)


def samples_of_a_tile(dtype: str) -> int:
    """Samples for which a thread goes once through its main loop."""
    return LAYOUT.groups * LAYOUT.width(np.dtype(dtype).itemsize)


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
    def loads(self) -> Counter[str]:
        """How often each kind of load from global memory stands in the main loop."""
        return Counter(name for name in self.main_loop if name.startswith("LDG"))


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
