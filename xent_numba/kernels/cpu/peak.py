"""The peak of arithmetic: fused multiply-adds that wait for nothing but each other.

A thread keeps `CHAINS` chains x -> x x + x in registers, which no other operand needs: as many as
hide a latency of 4 cycles where two are begun in each, as on the processors of today (A. Fog,
*Instruction tables*). From -1/2 a chain goes to 0 as -1/n does, and meets no subnormal number.
"""

from __future__ import annotations

from typing import Any

from numba import njit, prange

from xent_numba.kernels.cpu.bits import EXACT, fma, prefer_full_vectors
from xent_numba.kernels.cpu.caching import kernel
from xent_numba.kernels.cpu.lanes import LINE, load, store

CHAINS = 8
"""Chains of a thread, each of the lanes of a line."""


def flops(links: int, threads: int, dtype: Any) -> int:
    """Operations of a call of `chains`; a fused multiply-add is two."""
    return 2 * links * threads * CHAINS * LINE // dtype.itemsize


@njit(**EXACT)
def continue_chains(lines: Any, links: int) -> None:
    """Make the chains of one thread longer by `links`; `lines` is 1-d, float32 or float64."""
    prefer_full_vectors()
    step = lines.size // CHAINS
    a, b, c, d = load(lines, 0), load(lines, step), load(lines, 2 * step), load(lines, 3 * step)
    e, f = load(lines, 4 * step), load(lines, 5 * step)
    g, h = load(lines, 6 * step), load(lines, 7 * step)
    for _ in range(links):
        a, b, c, d = fma(a, a, a), fma(b, b, b), fma(c, c, c), fma(d, d, d)
        e, f, g, h = fma(e, e, e), fma(f, f, f), fma(g, g, g), fma(h, h, h)
    store(lines, 0, a)
    store(lines, step, b)
    store(lines, 2 * step, c)
    store(lines, 3 * step, d)
    store(lines, 4 * step, e)
    store(lines, 5 * step, f)
    store(lines, 6 * step, g)
    store(lines, 7 * step, h)


@kernel("peak_of_fma", parallel=True)
def chains(lines: Any, links: int) -> None:
    """Continue the chains of every thread.

    Parameters
    ----------
    lines : ndarray of float32 or float64, shape (threads, CHAINS * lanes)
        Where the chains begin and then end; `lanes` numbers fill `LINE` bytes.
    links : int
        Of each chain.
    """
    for thread in prange(lines.shape[0]):
        continue_chains(lines[thread], links)
