"""The memory limit: the bytes of an operation, moved with next to no arithmetic.

A pass reads what the operation reads and writes what it writes, once each, in the chunks and on
the threads of the real kernels. Without labels it is a copy; of a reduced loss, a dot product.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import numpy as np
from numba import njit, prange
from numpy import ndarray

from xent_numba.errors import ImplementationUnavailableError
from xent_numba.kernels.cpu import threads
from xent_numba.kernels.cpu.bits import prefer_full_vectors
from xent_numba.kernels.cpu.blocks import chunk_size
from xent_numba.kernels.cpu.caching import kernel


@njit(fastmath=True)
def _move(first: Any, labels: Any, weights: Any, losses: Any, gradients: Any) -> Any:
    prefer_full_vectors()
    total = first.dtype.type(0)
    for i in range(first.size):
        value = first[i] if labels is None else first[i] * first.dtype.type(labels[i])
        if weights is not None:
            value *= weights[i]
        if losses is None:
            total += value
        else:
            losses[i] = value
        if gradients is not None:
            gradients[i] = value
    return total


def _loop(first: Any, labels: Any, weights: Any, losses: Any, gradients: Any) -> Any:
    step = chunk_size(first.size)
    partials = np.empty(-(-first.size // step), first.dtype)
    for c in prange(partials.size):
        start = c * step
        stop = min(start + step, first.size)
        partials[c] = _move(
            first[start:stop],
            None if labels is None else labels[start:stop],
            None if weights is None else weights[start:stop],
            None if losses is None else losses[start:stop],
            None if gradients is None else gradients[start:stop],
        )
    return partials.sum()


_serial = kernel("memory_limit_serial")(_loop)
_parallel = kernel("memory_limit_parallel", parallel=True)(_loop)


def bind(inputs: tuple[ndarray, ...], per_sample: bool, gradient: bool) -> Callable[[], Any]:
    """Bind a pass over `inputs` that writes the arrays the operation would write.

    Parameters
    ----------
    inputs : tuple of ndarray, shape (n,)
        Scores or probabilities, then labels and weights where there are some; contiguous.
    per_sample : bool
        Whether a value is written for each sample; otherwise the values are added up.
    gradient : bool
        Whether a gradient is written.

    Returns
    -------
    callable
        Makes one pass.
    """
    if reason := threads.unavailable():
        raise ImplementationUnavailableError(f"the memory limit cannot be measured here: {reason}")
    first, labels, weights, *_ = (*inputs, None, None)
    return functools.partial(
        threads.run,
        _serial,
        _parallel,
        first.size,
        first,
        labels,
        weights,
        np.empty_like(first) if per_sample else None,
        np.empty_like(first) if gradient else None,
    )
