"""What is true, and how much is allowed, for each of the samples that a kernel is judged on."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy import ndarray

from xent_numba.accuracy import oracle, reference
from xent_numba.accuracy.reference import BOUND_ULP, Pairs
from xent_numba.accuracy.tolerance import DIVISOR_ULP, REDUCED_RTOL, WEIGHT_ULP, Kind, Tolerance
from xent_numba.accuracy.ulp import Truth
from xent_numba.operations import Operation

_CHUNK = 1 << 16
#: Losses are added as this many binary orders less, where their sum is beyond a double.
_HEADROOM = 64


@dataclass(frozen=True, slots=True)
class Samples:
    """Arguments of an operation, and what is true and allowed for each sample.

    Attributes
    ----------
    operation : Operation
        What is computed.
    first : ndarray of float32 or float64, shape (n,)
        Scores or probabilities.
    labels, weights : ndarray or None, shape (n,)
        Labels, where the operation takes them, and weights.
    tolerance : Tolerance
        Error allowed of a sample that has no weight.
    excused : ndarray of bool, shape (n,)
        Samples that may be wrong.
    """

    operation: Operation
    first: ndarray
    labels: ndarray | None
    weights: ndarray | None
    tolerance: Tolerance
    excused: ndarray

    @property
    def size(self) -> int:
        """Number of samples."""
        return self.first.size

    @property
    def dtype(self) -> np.dtype:
        """The dtype of the results."""
        return self.first.dtype

    @property
    def arguments(self) -> tuple[ndarray, ...]:
        """Positional arguments of the operation."""
        return (self.first,) if self.labels is None else (self.first, self.labels)

    def __getitem__(self, key: Any) -> Samples:
        return replace(
            self,
            first=self.first[key],
            labels=None if self.labels is None else self.labels[key],
            weights=None if self.weights is None else self.weights[key],
            excused=self.excused[key],
        )

    def chunks(self) -> Iterator[slice]:
        """Pieces whose true values fit a cache."""
        for start in range(0, self.size, _CHUNK):
            yield slice(start, start + _CHUNK)

    def scaled(self) -> Samples:
        """The same, with weights near 1: a mean does not depend on their scale."""
        if self.weights is None or not self.weights.any():
            return self
        _, exponent = np.frexp(self.weights.max())
        return replace(self, weights=np.ldexp(self.weights.astype(np.float64), -exponent))

    def truth(self, kind: Kind, divisor: float = 1.0) -> tuple[Truth, ndarray]:
        """True values by the reference, and the error allowed for each in ULP."""
        values, terms = self._values(kind)
        truth = scale = values.truth(self.dtype)
        if terms is not values:
            scale = terms.truth(self.dtype)
        limit = self.tolerance.limits(kind, self._soft()) + BOUND_ULP[self.dtype.name]
        factors = np.ones(self.size)
        if self.weights is not None or divisor != 1.0:
            weights = factors if self.weights is None else self.weights.astype(np.float64)
            factors = weights / divisor
            truth = values.times(weights, divisor).truth(self.dtype)
        # An error of the bare value grows with the weight: by what a bare ULP is now worth.
        with np.errstate(over="ignore"):
            allowed = np.ldexp(limit * factors, scale.exponent - truth.exponent)
        if self.weights is not None:
            allowed += WEIGHT_ULP
        if divisor != 1.0:
            allowed += DIVISOR_ULP
            if self.weights is not None:
                allowed += REDUCED_RTOL[self.dtype.name] * 2 / np.finfo(self.dtype).eps
        allowed[self.excused] = np.inf
        return truth, allowed

    def _soft(self) -> ndarray:
        """Whether labels are neither of the hard ones."""
        if self.labels is None or self.operation.labels is None:
            return np.zeros(self.size, bool)
        return np.asarray(~np.isin(self.labels, self.operation.labels.hard))

    def _values(self, kind: Kind) -> tuple[Pairs, Pairs]:
        """True values, and what their errors are relative to."""
        if kind == "gradient":
            assert self.labels is not None
            return reference.gradients(self.operation, self.first, self.labels)
        values = reference.samples(self.operation, self.first, self.labels)
        return values, values

    def exact(self, kind: Kind) -> Truth:
        """True values by mpmath."""
        evaluate = oracle.exact_gradient if kind == "gradient" else oracle.exact
        columns = [array.tolist() for array in self.arguments]
        values = [evaluate(self.operation, *row) for row in zip(*columns, strict=True)]
        if self.weights is not None:
            values = [v * w for v, w in zip(values, self.weights.tolist(), strict=True)]
        return Truth.from_exact(values, self.dtype)

    def total(self, divisor: float = 1.0) -> float:
        """The sum of the true losses over `divisor`, rounded last."""
        for less in (0, _HEADROOM):
            try:
                total = math.fsum(
                    part for chunk in self.chunks() for part in self[chunk]._sum(less)
                )
            except OverflowError:
                continue
            with np.errstate(over="ignore"):
                return float(self.dtype.type(np.ldexp(total / divisor, less)))
        return math.inf

    def _sum(self, less: int) -> tuple[float, ...]:
        """The sum of the true losses times 2^-less, as two doubles."""
        losses, _ = self._values("loss")
        if self.weights is not None:
            losses = losses.times(self.weights)
        heads, tails = replace(losses, exponents=losses.exponents + less).doubles()
        return math.fsum(heads.tolist()), math.fsum(tails.tolist())
