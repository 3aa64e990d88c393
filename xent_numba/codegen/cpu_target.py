"""What Numba makes of this machine: asked of compiled code, since settings can change it."""

from __future__ import annotations

import re
from typing import Any

import llvmlite.binding
import numba
import numpy as np
from numba import njit

from xent_numba.kernels.cpu import threads
from xent_numba.kernels.cpu.bits import prefer_full_vectors

# The widest register that the code of a loop names; the first pattern that is found counts.
_REGISTERS = (
    (512, re.compile(r"\bzmm\d")),
    (256, re.compile(r"\bymm\d")),
    (128, re.compile(r"\bxmm\d+.*\bxmm\d|\bv\d+\.(4s|2d)")),
)


@njit
def _double(values: Any) -> None:
    prefer_full_vectors()
    for i in range(values.size):
        values[i] *= 2


def simd_bits() -> int | None:
    """Width in bits of the vector registers that a compiled loop uses; None if there is none."""
    if threads.unavailable():
        return None
    _double(np.ones(1, np.float32))
    (code,) = _double.inspect_asm().values()
    return next((bits for bits, pattern in _REGISTERS if pattern.search(code)), None)


def describe() -> dict[str, Any]:
    """Describe what Numba compiles for and runs on: SIMD width, threads, threading layer."""
    reason = threads.unavailable()
    return {
        "simd_bits": simd_bits(),
        # Asking for the number starts the layer, which has no name before.
        "threads": 0 if reason else numba.get_num_threads(),
        "threading_layer": f"none: {reason}" if reason else numba.threading_layer(),
        "cpu": numba.config.CPU_NAME or llvmlite.binding.get_host_cpu_name(),
    }
