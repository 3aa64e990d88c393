"""Edge cases: the inputs on which formulas and kernels break, and what they are called.

Where a number stands alone it is one of these thresholds: 16.6 and 36.7, where 1 + e^-s rounds to
1 in float32 and float64; 88.7 and 709.8, where e^s overflows; 87.3 and 708.4, where e^-s becomes
subnormal; 103.9 and 745.2, where it rounds to zero.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy import ndarray

from xent_numba.operations import Operation

#: Around what a vector, a thread block, a block of samples and several blocks hold.
SIZES = (0, 1, 2, 255, 256, 257, 4095, 4097, 10007)
#: Of the first ones 1 - y is exact; of the others below one half it is not.
SOFT_LABELS = (0.0625, 0.25, 0.5, 0.75, 1 - 2.0**-24, 1e-10, 0.1, 0.4155281, 0.7, 0.9)

_MAGNITUDES = (
    1e-8, 0.3, 0.5, 1.0, 16.6, 17.5, 25.0, 36.7, 37.5, 87.3, 88.7, 88.8, 100.0, 103.9, 104.0, 232.8,
    708.4, 709.7, 709.8, 740.0, 745.1, 745.2, 1000.0, 1e20,
)  # fmt: skip
_PROBABILITIES = (1e-30, 1e-8, 1.3e-3, 0.013, 0.25, 0.5, 0.75, 0.99, 0.999)


@dataclass(frozen=True, slots=True)
class Edge:
    """Edge cases of one operation in one dtype, as parallel arrays.

    Attributes
    ----------
    first : ndarray
        Scores or probabilities, exactly representable in the dtype.
    labels : ndarray of the same dtype, or None
        Labels, where the operation takes them: all of them with every value of `first`.
    """

    first: ndarray
    labels: ndarray | None

    @property
    def arguments(self) -> tuple[ndarray, ...]:
        """Positional arguments of the operation."""
        return (self.first,) if self.labels is None else (self.first, self.labels)

    @property
    def rows(self) -> list[tuple[float, float | None]]:
        """Score or probability, and label, of each case."""
        labels = [None] * len(self.first) if self.labels is None else self.labels.tolist()
        return list(zip(self.first.tolist(), labels, strict=True))


def edge_cases(operation: Operation, dtype: np.dtype, *, soft: bool = False) -> Edge:
    """Every edge value with every label.

    Parameters
    ----------
    operation : Operation
        Says whether scores or probabilities, and which labels.
    dtype : numpy.dtype
        float32 or float64.
    soft : bool, default False
        Soft labels in the place of the two hard ones.

    Returns
    -------
    Edge
        For probabilities: 0 and 1, their neighbours, subnormals. For scores: both zeros,
        subnormals, thresholds, the largest numbers, infinities and NaN, of both signs.
    """
    first = probabilities(dtype) if operation.first == "probabilities" else scores(dtype)
    if operation.labels is None:
        return Edge(first, None)
    labels = np.array(SOFT_LABELS if soft else operation.labels.hard, dtype)
    return Edge(np.tile(first, len(labels)), np.repeat(labels, len(first)))


def scores(dtype: np.dtype) -> ndarray:
    """Edge scores, from -inf to +inf, then NaN."""
    magnitudes = np.concatenate(
        [_tiny(dtype), np.array([*_MAGNITUDES, np.finfo(dtype).max, np.inf], dtype)]
    )
    return np.concatenate([-magnitudes[::-1], magnitudes, np.array([np.nan], dtype)])


def probabilities(dtype: np.dtype) -> ndarray:
    """Edge probabilities, from 0 to 1."""
    one = np.ones(1, dtype)
    below_one = [np.nextafter(one, 0), one - 16 * np.finfo(dtype).eps, one - dtype.type(1e-4)]
    return np.sort(np.concatenate([_tiny(dtype), np.array(_PROBABILITIES, dtype), *below_one, one]))


def _tiny(dtype: np.dtype) -> ndarray:
    info = np.finfo(dtype)
    smallest, normal = info.smallest_subnormal, info.smallest_normal
    below = np.nextafter(normal, 0 * normal)
    return np.array([0, smallest, 3 * smallest, normal / 2, below, normal, info.eps / 3], dtype)
