"""What a sweep finds out, in a form that can be added up: chunk by chunk, process by process."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass, field, fields
from typing import Any, Self

import numpy as np
from numpy import ndarray

#: Errors are counted in steps of 1/64 ULP up to 4 ULP, beyond that by powers of two.
_STEPS, _FINE = 64, 256


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

    def add(self, inputs: ndarray, error: ndarray, right: ndarray) -> None:
        """Count results, given their inputs, errors, and whether each is the nearest float."""
        if not error.size:
            return
        self.count += error.size
        self.correctly_rounded += int(np.count_nonzero(right))
        peak = int(error.argmax())
        if not self.worst or error[peak] > self.max_ulp:
            self.max_ulp, self.worst = float(error[peak]), float(inputs[peak]).hex()
        fine = np.bincount(np.minimum(error * _STEPS, _FINE).astype(np.intp), minlength=_FINE + 1)
        self.histogram.update({i: int(n) for i, n in enumerate(fine[:_FINE]) if n})
        if fine[_FINE]:
            octave = np.frexp(error[error * _STEPS >= _FINE])[1]
            self.histogram.update((_FINE + octave).tolist())

    def merge(self, other: Self) -> None:
        """Add what another process counted."""
        if not self.worst or (other.worst and other.max_ulp > self.max_ulp):
            self.max_ulp, self.worst = other.max_ulp, other.worst
        self.count += other.count
        self.correctly_rounded += other.correctly_rounded
        self.histogram.update(other.histogram)

    def percentile(self, share: float) -> float:
        """The error that so large a share of the results does not exceed, rounded up to a step."""
        seen = 0
        for step in sorted(self.histogram):
            seen += self.histogram[step]
            if seen >= share * self.count:
                edge = (step + 1) / _STEPS if step < _FINE else math.ldexp(1.0, step - _FINE)
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
        """Add what another process counted."""
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
        1 - g(s) and g(-s) more than 1 ULP of 1 apart; a loss that changes its bits when score and
        label are mirrored.
    """

    normal: Errors = field(default_factory=Errors)
    subnormal: Errors = field(default_factory=Errors)
    nonfinite: Violations = field(default_factory=Violations)
    sign: Violations = field(default_factory=Violations)
    monotonicity: Violations = field(default_factory=Violations)
    symmetry: Violations = field(default_factory=Violations)

    def merge(self, other: Self) -> None:
        """Add what another process found."""
        for part in fields(self):
            getattr(self, part.name).merge(getattr(other, part.name))

    @property
    def max_ulp(self) -> float:
        """The largest error; infinite where a non-finite result, or a sign, is wrong."""
        if self.nonfinite.count or self.sign.count:
            return math.inf
        return max(self.normal.max_ulp, self.subnormal.max_ulp)

    def to_json(self) -> dict[str, Any]:
        """Everything, as what JSON can hold."""
        return {
            part.name: {f.name: getattr(value, f.name) for f in fields(value)}
            for part in fields(self)
            for value in [getattr(self, part.name)]
        }

    @classmethod
    def from_json(cls, document: dict[str, Any]) -> Self:
        """Read back what `to_json` wrote."""
        parts: dict[str, Any] = {}
        for name, values in document.items():
            if "histogram" in values:
                counts = Counter({int(k): n for k, n in values["histogram"].items()})
                parts[name] = Errors(**{**values, "histogram": counts})
            else:
                parts[name] = Violations(**values)
        return cls(**parts)
