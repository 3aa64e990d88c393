"""What a sweep finds out, in a form that can be added up: chunk by chunk, process by process."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass, field, fields
from enum import IntEnum
from typing import Any, Self

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


@dataclass(slots=True)
class Errors:
    """ULP errors of finite results.

    Attributes
    ----------
    count : int
        How many results were looked at.
    correctly_rounded : int
        How many were the float nearest to the true value.
    max_ulp : float
        The largest error.
    worst : str
        Where it is, as a hexadecimal float; empty if there is none.
    histogram : Counter
        Results by size of the error, see `percentile`.
    """

    count: int = 0
    correctly_rounded: int = 0
    max_ulp: float = 0.0
    worst: str = ""
    histogram: Counter[int] = field(default_factory=Counter)

    def merge(self, other: Self, *, shares: bool = True) -> None:
        """Add what was counted elsewhere; without `shares`, the largest error alone."""
        if not self.worst or (other.worst and other.max_ulp > self.max_ulp):
            self.max_ulp, self.worst = other.max_ulp, other.worst
        if not shares:
            return
        self.count += other.count
        self.correctly_rounded += other.correctly_rounded
        self.histogram.update(other.histogram)

    def percentile(self, share: float) -> float:
        """The error that so large a share of the results does not exceed, rounded up to a step."""
        seen = 0
        for step in sorted(self.histogram):
            seen += self.histogram[step]
            if seen >= share * self.count:
                edge = (step + 1) / STEPS if step < FINE else math.ldexp(1.0, step - FINE)
                return min(edge, self.max_ulp)
        return 0.0


@dataclass(slots=True)
class Violations:
    """Results that break a rule.

    Attributes
    ----------
    count : int
        How many do.
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
class Findings:
    """All that is found out about one operation of one implementation, for one label.

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
        The worst `Grade` in each sixteenth of an octave of the inputs, see `tally.band_starts`;
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
        """Add what was found elsewhere.

        Parameters
        ----------
        other : Findings
            Of other inputs.
        shares : bool, default True
            Whether counts and shares of results go on to say something: not so of inputs that
            were chosen for their errors.
        """
        self.normal.merge(other.normal, shares=shares)
        self.subnormal.merge(other.subnormal, shares=shares)
        for name in _VIOLATIONS:
            getattr(self, name).merge(getattr(other, name))
        self.decided += other.decided
        for where, grade in other.grades.items():
            self.grades[where] = max(grade, self.grades.get(where, grade))

    @property
    def max_ulp(self) -> float:
        """The largest error; infinite where a non-finite result, or a sign, is wrong."""
        if self.nonfinite.count or self.sign.count:
            return math.inf
        return max(self.normal.max_ulp, self.subnormal.max_ulp)

    def to_json(self) -> dict[str, Any]:
        """Everything, as what JSON can hold; grades as runs of first, last and grade."""
        document: dict[str, Any] = {
            name: {f.name: getattr(part, f.name) for f in fields(part)}
            for name in ("normal", "subnormal", *_VIOLATIONS)
            for part in [getattr(self, name)]
        }
        return {**document, "decided": self.decided, "grades": _runs(self.grades)}

    @classmethod
    def from_json(cls, document: dict[str, Any]) -> Self:
        """Read back what `to_json` wrote."""
        parts: dict[str, Any] = {}
        for name in ("normal", "subnormal"):
            counts = {int(k): n for k, n in document[name]["histogram"].items()}
            parts[name] = Errors(**{**document[name], "histogram": Counter(counts)})
        for name in _VIOLATIONS:
            parts[name] = Violations(**document[name])
        grades = {w: g for first, last, g in document["grades"] for w in range(first, last + 1)}
        return cls(**parts, decided=document["decided"], grades=grades)


_VIOLATIONS = ("nonfinite", "sign", "monotonicity", "symmetry")


def _runs(grades: dict[int, int]) -> list[list[int]]:
    runs: list[list[int]] = []
    for where in sorted(grades):
        grade = grades[where]
        if runs and runs[-1][1] == where - 1 and runs[-1][2] == grade:
            runs[-1][1] = where
        else:
            runs.append([where, where, grade])
    return runs
