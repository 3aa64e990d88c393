"""Named inputs, synthetic and real, at any size.

>>> from xent_numba import workloads
>>> from xent_numba.operations import OPERATIONS
>>> sample = workloads.sample("gaussian", 1000, dtype="float32", label_dtype="int8")
>>> scores, labels = sample.arguments(OPERATIONS["logistic_loss"])

A workload is one file here. It defines ``NATIVE_SIZE``, its own number of samples where it has
one, and ``draw(n, rng) -> Draw``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType, ModuleType

import numpy as np
from numpy import ndarray
from numpy.typing import DTypeLike

from xent_numba.errors import not_one_of
from xent_numba.host_arrays import LABEL_DTYPES
from xent_numba.operations import Operation
from xent_numba.workloads import flights, gaussian, saturated
from xent_numba.workloads.draw import Draw

__all__ = ["SEED", "Sample", "names", "native_size", "sample", "summary"]

SEED = 2013
_WORKLOADS: Mapping[str, ModuleType] = MappingProxyType(
    {"gaussian": gaussian, "saturated": saturated, "flights": flights}
)
_DTYPES = (np.dtype(np.float32), np.dtype(np.float64))


@dataclass(frozen=True, slots=True)
class Sample:
    """What was drawn from a workload, and the dtypes in which it is handed out.

    Attributes
    ----------
    workload : str
        Name of the workload.
    scores : ndarray of float64, shape (n,)
        Scores before rounding to `dtype`; read-only.
    positive : ndarray of bool, shape (n,)
        Whether a sample is of the class 1; read-only.
    dtype : numpy.dtype
        dtype of the scores or probabilities handed out.
    label_dtype : numpy.dtype
        dtype of the labels handed out.
    metadata : mapping of str to int
        What the workload counted while it was built.
    """

    workload: str
    scores: ndarray
    positive: ndarray
    dtype: np.dtype
    label_dtype: np.dtype
    metadata: Mapping[str, int] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.scores)

    def arguments(self, operation: Operation) -> tuple[ndarray, ...]:
        """Make the positional arguments of an operation, as new contiguous arrays.

        Parameters
        ----------
        operation : Operation
            Says whether it takes scores or probabilities, and labels of which set.

        Returns
        -------
        tuple of ndarray
            Scores or probabilities, then the labels where the operation takes them.

        Raises
        ------
        ValueError
            If `label_dtype` cannot hold the labels of the operation.

        Notes
        -----
        Probabilities are g(s) of the float64 scores and are rounded once. Where g(s) rounds to
        exactly 0 or 1 they are exactly 0 or 1, and the loss of the wrong label is infinite.
        """
        first = self.scores if operation.first == "scores" else _sigmoid(self.scores)
        first = first.astype(self.dtype)
        if operation.labels is None:
            return (first,)
        negative, positive = operation.labels.hard
        if negative < 0 and self.label_dtype.kind in "bu":
            raise ValueError(
                f"label_dtype is {self.label_dtype}, which cannot hold the labels "
                f"{operation.labels.description} of {operation.name}; accepted is a signed dtype"
            )
        classes = np.array([negative, positive], self.label_dtype)
        return first, classes[self.positive.view(np.uint8)]


def names() -> tuple[str, ...]:
    """Return the names of all workloads."""
    return tuple(_WORKLOADS)


def native_size(name: str) -> int | None:
    """Return the number of samples a workload has; None where any number is drawn."""
    size: int | None = _find(name).NATIVE_SIZE
    return size


def summary(name: str) -> str:
    """Say in one line what a workload is."""
    return (_find(name).__doc__ or "").partition("\n")[0]


def sample(
    name: str,
    n: int,
    dtype: DTypeLike = np.float64,
    label_dtype: DTypeLike | None = None,
    seed: int = SEED,
) -> Sample:
    """Draw from a workload; the same arguments always give the same sample.

    Parameters
    ----------
    name : str
        Name of the workload.
    n : int
        Number of samples, >= 0. For a workload with a size of its own, that size gives all of it
        in its own order, a smaller one a random part, and a larger one repeats it.
    dtype : float32 or float64, default float64
        dtype of the scores or probabilities.
    label_dtype : dtype, optional
        dtype of the labels, one that the operations accept; `dtype` if not given.
    seed : int, optional
        Seed of the random numbers.

    Returns
    -------
    Sample
        The data, from which `Sample.arguments` makes those of an operation.

    Raises
    ------
    ValueError
        For an argument that is not accepted.
    ModuleNotFoundError
        If the workload needs a package that is not installed.
    """
    workload = _find(name)
    if n < 0:
        raise ValueError(f"n is {n}; accepted is a number of samples >= 0")
    dtype = np.dtype(dtype)
    if dtype not in _DTYPES:
        raise ValueError(f"dtype is {dtype}; accepted are {', '.join(map(str, _DTYPES))}")
    label_dtype = dtype if label_dtype is None else np.dtype(label_dtype)
    if label_dtype not in LABEL_DTYPES:
        accepted = ", ".join(map(str, LABEL_DTYPES))
        raise ValueError(f"label_dtype is {label_dtype}; accepted are {accepted}")
    drawn: Draw = workload.draw(n, np.random.default_rng(seed))
    drawn.scores.flags.writeable = False
    drawn.positive.flags.writeable = False
    return Sample(name, drawn.scores, drawn.positive, dtype, label_dtype, drawn.metadata)


def _find(name: str) -> ModuleType:
    if name not in _WORKLOADS:
        raise ValueError(f"workload is {not_one_of(_WORKLOADS, name)}")
    return _WORKLOADS[name]


def _sigmoid(s: ndarray) -> ndarray:
    e = np.exp(-np.abs(s))
    return np.asarray(np.where(s >= 0, 1, e) / (1 + e))
