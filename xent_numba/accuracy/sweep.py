"""How far an implementation is from the truth over the whole floating-point range.

All operations of an implementation that take the same inputs are swept together, for every label
and both signs of a score: the true values of one piece of magnitudes serve them all.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy import ndarray

import xent_numba
from xent_numba.accuracy import oracle, reference
from xent_numba.accuracy.counting import ErrorCounter
from xent_numba.accuracy.error_counts import ErrorCounts
from xent_numba.accuracy.plans import Plan
from xent_numba.accuracy.reference import Curve, Curves
from xent_numba.accuracy.ulp import Truth
from xent_numba.operations import OPERATIONS, Operation


@dataclass(frozen=True, slots=True)
class Quantity:
    """One result of one operation of one implementation, for one label.

    Attributes
    ----------
    implementation, operation : str
        Names.
    dtype : {"float32", "float64"}
        dtype of the scores or probabilities.
    label : float or None
        The label of every sample; None where the operation takes none.
    result : {"loss", "gradient"}
        Which of the results; the sigmoid counts as a loss.
    """

    implementation: str
    operation: str
    dtype: str
    label: float | None = None
    result: str = "loss"

    @property
    def entry(self) -> Operation:
        """The operation."""
        return OPERATIONS[self.operation]

    @property
    def _positive(self) -> bool:
        labels = self.entry.labels
        return labels is not None and self.label == labels.hard[1]

    @property
    def rises(self) -> bool:
        """Whether the result, or the magnitude of the gradient, rises with the input."""
        return not self._positive

    @property
    def mirrored(self) -> Quantity:
        """The quantity with the same results at minus the inputs."""
        labels = self.entry.labels
        other = None if labels is None else sum(labels.hard) - (self.label or 0.0)
        return Quantity(self.implementation, self.operation, self.dtype, other, self.result)

    def truth(self, curves: Curves, *, negative: bool) -> Curve:
        """What it should make of a piece of inputs, or of minus those; of a gradient, |dL/ds|."""
        if self.entry.first == "probabilities":
            return curves.right if self._positive else curves.wrong
        right_side = self._positive != negative
        if self.result == "loss" and self.label is not None:
            return curves.right if right_side else curves.wrong
        # g(s), and the magnitude of the gradient, which is g(-m) of the margin m.
        curve = curves.low if right_side else curves.high
        assert curve is not None
        return curve

    def exact(self, signed: float, got: np.floating) -> tuple[float, bool]:
        """Error of one result in ULP, and whether it is the nearest float, from mpmath."""
        if self.result == "loss":
            value = oracle.exact(self.entry, signed, self.label)
        else:
            value = abs(oracle.exact_gradient(self.entry, signed, self.label))
        truth = Truth.from_exact([value], got.dtype)
        return float(truth.error(np.array([got]))[0]), bool(truth.nearest[0] == got)

    def counter(self) -> ErrorCounter:
        """A counter of its errors."""
        is_loss = self.result == "loss"
        return ErrorCounter(self.dtype, self.exact, rises=self.rises, signed=is_loss)


@dataclass(frozen=True, slots=True)
class Sweep:
    """What is swept together.

    Attributes
    ----------
    implementation : str
        Name.
    dtype : {"float32", "float64"}
        dtype of the inputs.
    operations : tuple of str
        Operations that take the same first argument.
    """

    implementation: str
    dtype: str
    operations: tuple[str, ...]

    @property
    def first(self) -> Literal["scores", "probabilities"]:
        """What the operations take."""
        return OPERATIONS[self.operations[0]].first

    @property
    def signs(self) -> tuple[bool, ...]:
        """Whether inputs are negative, for every sign there is."""
        return (False, True) if self.first == "scores" else (False,)

    def quantities(self) -> list[Quantity]:
        """Every operation, label and result."""
        return [
            Quantity(self.implementation, operation, self.dtype, label, result)
            for operation in self.operations
            for entry in [OPERATIONS[operation]]
            for label in (entry.labels.hard if entry.labels else (None,))
            for result in ("loss", "gradient")[: 1 + entry.gradient]
        ]

    @property
    def name(self) -> str:
        """In words, and in the name of a folder."""
        what = self.operations[0] if len(self.operations) == 1 else self.first
        return f"{self.implementation}-{what}-{self.dtype}"

    def curves(self, magnitudes: ndarray) -> Curves:
        """The true values of all functions."""
        if self.first == "scores":
            return reference.of_scores(magnitudes)
        return reference.of_probabilities(magnitudes)

    def compute(self, inputs: ndarray) -> dict[Quantity, ndarray]:
        """What the implementation makes of inputs; of a gradient, the magnitude."""
        computed: dict[Quantity, ndarray] = {}
        asked = itertools.groupby(self.quantities(), lambda one: (one.entry, one.label))
        for (operation, label), quantities in asked:
            results = _call(self.implementation, operation, inputs, label)
            for quantity, result in zip(quantities, results, strict=True):
                falls = quantity.result == "gradient" and not quantity.rises
                computed[quantity] = -result if falls else result
        return computed


def _call(
    implementation: str, operation: Operation, inputs: ndarray, label: float | None
) -> tuple[ndarray, ...]:
    """Results for inputs that all have one label; NaN where the implementation raises."""
    function = getattr(xent_numba, operation.name)
    try:
        if label is None:
            return (np.asarray(function(inputs, implementation=implementation)),)
        labels = np.full_like(inputs, label)
        result = function(inputs, labels, reduction="none", implementation=implementation)
        return tuple(map(np.asarray, result)) if operation.gradient else (np.asarray(result),)
    except (ArithmeticError, ValueError):
        if inputs.size == 1:
            return (np.full_like(inputs, np.nan),) * (1 + operation.gradient)
        halves = (
            _call(implementation, operation, half, label) for half in np.array_split(inputs, 2)
        )
        return tuple(np.concatenate(parts) for parts in zip(*halves, strict=True))


def inspect(sweep: Sweep, plan: Plan, chunk: int) -> dict[Quantity, ErrorCounts]:
    """Hold the results for the inputs of a chunk to the truth.

    Parameters
    ----------
    sweep : Sweep
        What computes.
    plan : Plan
        Says on which inputs.
    chunk : int
        Which of them.

    Returns
    -------
    dict of Quantity to ErrorCounts
        For every quantity of the sweep.
    """
    counters = {quantity: quantity.counter() for quantity in sweep.quantities()}
    last = _before(sweep, plan.lead(chunk))
    for magnitudes in plan.pieces(chunk):
        curves = sweep.curves(magnitudes)
        sides = {n: sweep.compute(-magnitudes if n else magnitudes) for n in sweep.signs}
        for quantity, counter in counters.items():
            for negative, side in sides.items():
                got, truth = side[quantity], quantity.truth(curves, negative=negative)
                counter.add(magnitudes, got, truth, negative=negative)
                counter.step(magnitudes, got, last.get((quantity, negative)), negative=negative)
                last[quantity, negative] = got[-1]
            if len(sides) == 2:
                here, there = sides[False][quantity], sides[True][quantity.mirrored]
                counter.mirror(magnitudes, _asymmetric(quantity, here, there))
    return {quantity: counter.counts() for quantity, counter in counters.items()}


def _before(sweep: Sweep, lead: ndarray | None) -> dict[tuple[Quantity, bool], Any]:
    """The results for the last input before those of a chunk, if these go on from it."""
    if lead is None:
        return {}
    return {
        (quantity, negative): got[-1]
        for negative in sweep.signs
        for quantity, got in sweep.compute(-lead if negative else lead).items()
    }


def _asymmetric(quantity: Quantity, here: ndarray, there: ndarray) -> ndarray:
    """Where results at an input and at minus the input, for the other label, are not mirrored."""
    if quantity.label is None:
        # 1 - g(s) is exact for g(s) >= 1/2.
        apart = np.abs((here.astype(np.float64) - 1) + there)
        return np.asarray(apart > np.finfo(here.dtype).eps)
    unequal = here != there
    if unequal.any():
        unequal &= ~(np.isnan(here) & np.isnan(there))
    return np.asarray(unequal)


def total(parts: Iterable[ErrorCounts]) -> ErrorCounts:
    """Add up what was counted in chunks."""
    result = ErrorCounts()
    for part in parts:
        result.merge(part)
    return result
