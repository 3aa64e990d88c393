"""Named inputs, synthetic and real, at any size.

>>> from xent_numba import workloads
>>> from xent_numba.operations import OPERATIONS
>>> sample = workloads.sample("gaussian", 1000, dtype="float32", label_dtype="int8")
>>> scores, labels = sample.arguments(OPERATIONS["logistic_loss"])

A workload is one file here. It defines ``NATIVE_SIZE``, its own number of samples where it has
one, and ``draw(n, rng) -> Draw``. Each has variants: ``gaussian-soft`` has soft labels,
``gaussian-weighted`` weights, ``gaussian-soft-weighted`` both, on the same scores.
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

__all__ = ["SEED", "Sample", "names", "native_size", "sample", "summary", "variants"]

SEED = 2013
_WORKLOADS: Mapping[str, ModuleType] = MappingProxyType(
    {"gaussian": gaussian, "saturated": saturated, "flights": flights}
)
_VARIANTS = ("soft", "weighted", "soft-weighted")
_DTYPES = (np.dtype(np.float32), np.dtype(np.float64))


@dataclass(frozen=True, slots=True)
class Sample:
    """What was drawn from a workload, and the dtypes in which it is handed out.

    Attributes
    ----------
    workload : str
        Name of the workload, or of a variant.
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
    soft : ndarray of float64, shape (n,), or None
        Soft labels in [0, 1], each nearer to its class; None for hard ones.
    weights : ndarray of float64, shape (n,), or None
        Weights, exponentially distributed; None where samples have none.
    """

    workload: str
    scores: ndarray
    positive: ndarray
    dtype: np.dtype
    label_dtype: np.dtype
    metadata: Mapping[str, int] = field(default_factory=dict)
    soft: ndarray | None = None
    weights: ndarray | None = None

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
            Scores or probabilities; where the operation takes labels, these, and the weights of a
            weighted variant, in `dtype`.

        Raises
        ------
        ValueError
            If `label_dtype` cannot hold the labels of the operation, or it takes no soft ones.

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
        weights = () if self.weights is None else (self.weights.astype(self.dtype),)
        if self.soft is None:
            classes = np.array([negative, positive], self.label_dtype)
            return first, classes[self.positive.view(np.uint8)], *weights
        if not operation.labels.soft or self.label_dtype.kind != "f":
            raise ValueError(
                f"workload is {self.workload!r}, whose labels are soft; accepted is an operation "
                "of labels 0/1 and a floating label_dtype, or a workload without soft labels"
            )
        soft = self.soft.astype(self.label_dtype)
        if operation.first == "probabilities":
            # Beside a probability of exactly 0 or 1 any other label has an infinite loss.
            soft = np.where((first == 0) | (first == 1), self.positive, soft).astype(soft.dtype)
        return first, soft, *weights


def names() -> tuple[str, ...]:
    """Return the names of all workloads."""
    return tuple(_WORKLOADS)


def variants() -> tuple[str, ...]:
    """Return the names of the workloads with soft labels, with weights, and with both."""
    return tuple(f"{name}-{variant}" for name in _WORKLOADS for variant in _VARIANTS)


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
        Name of the workload, or of a variant.
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
    rng = np.random.default_rng(seed)
    drawn: Draw = workload.draw(n, rng)
    drawn.scores.flags.writeable = False
    drawn.positive.flags.writeable = False
    soft = weights = None
    if name not in _WORKLOADS:
        # Both for every variant, so that weights are the same with hard and with soft labels.
        soft, weights = np.abs(drawn.positive - rng.random(n) / 2), rng.exponential(size=n)
    return Sample(
        name,
        drawn.scores,
        drawn.positive,
        dtype,
        label_dtype,
        drawn.metadata,
        soft if "-soft" in name else None,
        weights if "-weighted" in name else None,
    )


def _find(name: str) -> ModuleType:
    if name not in (known := (*_WORKLOADS, *variants())):
        raise ValueError(f"workload is {not_one_of(known, name)}")
    return _WORKLOADS[name.partition("-")[0]]


def _sigmoid(s: ndarray) -> ndarray:
    e = np.exp(-np.abs(s))
    return np.asarray(np.where(s >= 0, 1, e) / (1 + e))
