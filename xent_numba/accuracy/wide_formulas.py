"""A fast reference for every sample of a workload: the stable formulas in a wider format.

float32 results are held against float64, float64 results against `numpy.longdouble`. The formulas
are those of the oracle. Each makes at most one call of exp and one of log or log1p, correct to 3 u
or better in the C libraries in use (u is half a unit in the last place of the wide format), and
four roundings; the derivative of log1p(e) with respect to the relative error of e is at most 1.
Together that is less than 10 u, and `BOUND` allows 16 u. Only the gradient at a soft label cancels:
there the bound holds relative to the larger term.

Where longdouble is 80 bits wide (x86-64 Linux) the bound is 1/128 ULP, where it is 113 bits wide
(AArch64 Linux) it is nothing. Where it is no wider than double (Windows, Apple silicon) it is
16 ULP: a float64 error below that is then told from a right result only on the samples that mpmath
checks.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

import numpy as np
from numpy import ndarray

from xent_numba.operations import Operation

_WIDE: Mapping[np.dtype, type[np.floating]] = MappingProxyType(
    {np.dtype(np.float32): np.float64, np.dtype(np.float64): np.longdouble}
)

#: Largest error of a reference value, in ULP of the format it judges.
BOUND = MappingProxyType(
    {
        dtype.name: 16.0 * 2.0 ** int(np.finfo(dtype).nmant - np.finfo(wide).nmant)
        for dtype, wide in _WIDE.items()
    }
)


def losses(operation: Operation, first: ndarray, labels: ndarray | None = None) -> ndarray:
    """Loss, or sigmoid, of each sample in the wide format.

    Parameters
    ----------
    operation : Operation
        What is computed; of an operation with a gradient, the loss.
    first : ndarray of float32 or float64
        Scores or probabilities.
    labels : ndarray, optional
        Labels, where the operation takes them.

    Returns
    -------
    ndarray
        float64 for float32, longdouble for float64.
    """
    with np.errstate(all="ignore"):
        wide = first.astype(_WIDE[first.dtype])
        if labels is None:
            return _sigmoid(wide)
        positive = _positive_share(operation, labels, wide.dtype)
        if operation.first == "probabilities":
            return np.asarray(
                np.where(positive > 0, -positive * np.log(wide), 0)
                + np.where(positive < 1, (positive - 1) * np.log1p(-wide), 0)
            )
        wrong = np.where(wide > 0, 1 - positive, positive)
        distance = np.abs(wide)
        linear = np.where(wrong > 0, wrong * distance, 0)
        return np.asarray(linear + np.log1p(np.exp(-distance)))


def gradients(operation: Operation, scores: ndarray, labels: ndarray) -> tuple[ndarray, ndarray]:
    """Derivative of the loss of each sample, in the wide format.

    Parameters
    ----------
    operation : Operation
        An operation on scores.
    scores : ndarray of float32 or float64
        Scores.
    labels : ndarray
        Labels.

    Returns
    -------
    gradients, terms : ndarray
        The gradients, and the sum of the magnitudes of the two terms each is the difference of:
        errors are relative to it. With a hard label it is the magnitude of the gradient.
    """
    with np.errstate(all="ignore"):
        wide = scores.astype(_WIDE[scores.dtype])
        positive = _positive_share(operation, labels, wide.dtype)
        up, down = (1 - positive) * _sigmoid(wide), positive * _sigmoid(-wide)
        return up - down, up + down


def _sigmoid(scores: ndarray) -> ndarray:
    e = np.exp(-np.abs(scores))
    return np.asarray(np.where(scores >= 0, 1, e) / (1 + e))


def _positive_share(operation: Operation, labels: ndarray, dtype: np.dtype) -> ndarray:
    assert operation.labels is not None
    negative, positive = operation.labels.hard
    return np.asarray((labels.astype(dtype) - negative) / (positive - negative))
