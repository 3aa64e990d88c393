"""The memory limit: the bytes of an operation, moved with next to no arithmetic.

A pass reads what the operation reads and writes what it writes, once each, in the chunks and on
the threads of the real kernels. Without labels it is a copy; of a reduced loss, a dot product.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import numpy as np
from numba import njit
from numpy import ndarray

from xent_numba.errors import ImplementationUnavailableError
from xent_numba.kernels.cpu import threads
from xent_numba.kernels.cpu.bits import exact, prefer_full_vectors
from xent_numba.kernels.cpu.blocks import chunk_size
from xent_numba.kernels.cpu.caching import kernel
from xent_numba.kernels.cpu.memory import window
from xent_numba.kernels.cpu.teams import share


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


@exact
def _iteration(c: int, step: int, arrays: Any, partials: Any) -> None:
    first, labels, weights, losses, gradients = arrays
    start = c * step
    stop = min(start + step, first.size)
    partials[c] = _move(
        window(first, start, stop),
        window(labels, start, stop),
        window(weights, start, stop),
        window(losses, start, stop),
        window(gradients, start, stop),
    )


@kernel("memory_limit", nogil=True)
def _whole(
    first: Any, labels: Any, weights: Any, losses: Any, gradients: Any, team: tuple[int, int]
) -> Any:
    step = chunk_size(first.size)
    partials = np.empty(-(-first.size // step), first.dtype)
    arrays = first, labels, weights, losses, gradients
    share(partials.size, _iteration, (step, arrays, partials), team)
    return partials.sum()


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
        _whole,
        first.size,
        first,
        labels,
        weights,
        np.empty_like(first) if per_sample else None,
        np.empty_like(first) if gradient else None,
    )
