"""What a sweep counts, in a form that can be added up: chunk by chunk, process by process."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Self

import numpy as np
from numpy import ndarray

#: Errors are counted in steps of 1/64 ULP up to 4 ULP, beyond that by powers of two.
STEPS, FINE = 64, 256


class Grade(IntEnum):
    """How good a result is, from the best to the worst."""

    ONE = 0
    "Within 1 ULP."
    FOUR = 1
    "Within 4 ULP."
    HUNDRED = 2
    "Within 100 ULP."
    POOR = 3
    "Beyond 100 ULP, with some digits right."
    LOST = 4
    "Wrong by half the true value or more, and by more than 1 ULP: no digit is right."
    INFINITE = 5
    "Infinite where the true value is not, or the other way round."
    NAN = 6
    "NaN where the true value is a number, or an exception."


@dataclass(frozen=True, slots=True)
class ErrorSummary:
    """Errors of finite results in ULP, summed up.

    Attributes
    ----------
    count : int
        Number of results that were looked at.
    correctly_rounded : int
        Number of those that were the float nearest to the true value.
    max_ulp : float
        The largest error.
    worst : str
        The input where it is, as a hexadecimal float; empty if there is none.
    percentile_999 : float
        The error that 99.9 % of the results do not exceed, rounded up to a step of the histogram.
    """

    count: int = 0
    correctly_rounded: int = 0
    max_ulp: float = 0.0
    worst: str = ""
    percentile_999: float = 0.0


@dataclass(slots=True)
class Errors:
    """Errors of finite results in ULP, as they are counted.

    Attributes
    ----------
    count, correctly_rounded, max_ulp, worst
        As of `ErrorSummary`.
    histogram : dict of int to int
        Number of results by size of the error, see `percentile`.
    """

    count: int = 0
    correctly_rounded: int = 0
    max_ulp: float = 0.0
    worst: str = ""
    histogram: dict[int, int] = field(default_factory=dict)

    def merge(self, other: Self, *, shares: bool = True) -> None:
        """Add what was counted elsewhere; without `shares`, the largest error alone."""
        if not self.worst or (other.worst and other.max_ulp > self.max_ulp):
            self.max_ulp, self.worst = other.max_ulp, other.worst
        if not shares:
            return
        self.count += other.count
        self.correctly_rounded += other.correctly_rounded
        for step, number in other.histogram.items():
            self.histogram[step] = self.histogram.get(step, 0) + number

    def percentile(self, share: float) -> float:
        """The error that a share of the results does not exceed, rounded up to a step."""
        seen = 0
        for step in sorted(self.histogram):
            seen += self.histogram[step]
            if seen >= share * self.count:
                edge = (step + 1) / STEPS if step < FINE else math.ldexp(1.0, step - FINE)
                return min(edge, self.max_ulp)
        return 0.0

    def summary(self) -> ErrorSummary:
        """What is kept of it."""
        return ErrorSummary(
            self.count, self.correctly_rounded, self.max_ulp, self.worst, self.percentile(0.999)
        )


@dataclass(slots=True)
class Violations:
    """Results that break a rule.

    Attributes
    ----------
    count : int
        Number of them.
    example : str
        The input of the first one, as a hexadecimal float; empty if there is none.
    """

    count: int = 0
    example: str = ""

    def add(self, inputs: ndarray, broken: ndarray) -> None:
        """Count inputs for which the rule is broken."""
        if number := int(np.count_nonzero(broken)):
            self.example = self.example or float(inputs[int(broken.argmax())]).hex()
            self.count += number

    def merge(self, other: Self) -> None:
        """Add what was counted elsewhere."""
        self.example = self.example or other.example
        self.count += other.count


@dataclass(slots=True)
class ErrorCounts:
    """What is counted about one quantity; see `sweep.Quantity`.

    Attributes
    ----------
    normal, subnormal : Errors
        Of results whose true value, rounded, is a normal number or zero; and of those whose true
        value is subnormal or underflows.
    nonfinite : Violations
        Results that are infinite or NaN where the true value, rounded, is not, or the other way
        round.
    sign : Violations
        Losses and sigmoids that are negative or -0.0.
    monotonicity : Violations
        Steps in the wrong direction from one input to the next.
    symmetry : Violations
        1 - g(s) and g(-s) more than 1 ULP of 1 apart; a loss, or the magnitude of a gradient, that
        changes its bits when score and label are mirrored.
    decided : int
        Results of which mpmath decided whether they are correctly rounded.
    grades : dict of int to int
        The worst `Grade` in each sixteenth of an octave of the inputs, see `counting.band_starts`;
        those of negative inputs under the complement of their number.
    """

    normal: Errors = field(default_factory=Errors)
    subnormal: Errors = field(default_factory=Errors)
    nonfinite: Violations = field(default_factory=Violations)
    sign: Violations = field(default_factory=Violations)
    monotonicity: Violations = field(default_factory=Violations)
    symmetry: Violations = field(default_factory=Violations)
    decided: int = 0
    grades: dict[int, int] = field(default_factory=dict)

    def merge(self, other: Self, *, shares: bool = True) -> None:
        """Add what was counted elsewhere.

        Parameters
        ----------
        other : ErrorCounts
            Of other inputs.
        shares : bool, default True
            Whether counts and shares of results go on to say something: not so of inputs that
            were chosen for their errors.
        """
        self.normal.merge(other.normal, shares=shares)
        self.subnormal.merge(other.subnormal, shares=shares)
        for name in ("nonfinite", "sign", "monotonicity", "symmetry"):
            getattr(self, name).merge(getattr(other, name))
        self.decided += other.decided
        for where, grade in other.grades.items():
            self.grades[where] = max(grade, self.grades.get(where, grade))

    @property
    def results(self) -> int:
        """Number of results that were looked at."""
        return self.normal.count + self.subnormal.count

    @property
    def max_ulp(self) -> float:
        """The largest error; infinite where a non-finite result, or a sign, is wrong."""
        if self.nonfinite.count or self.sign.count:
            return math.inf
        return max(self.normal.max_ulp, self.subnormal.max_ulp)
