"""Whether what was timed is right: asked after the clock, on inputs that nobody has seen before.

A call that agreed with the oracle once may have kept its result, or know when it is timed. So each
takes one more turn, like all others, over new samples in the same memory; what the last call of it
returned is judged here, in a process that has run no line of the implementation.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from typing import Any, NamedTuple, Self

import numpy as np
from numpy import ndarray

from xent_numba.accuracy.judge import disagreement
from xent_numba.accuracy.samples import Samples
from xent_numba.accuracy.tolerance import ALLOWED, REDUCED_RTOL, Kind, Tolerance
from xent_numba.measurement.case import DRAWN, Case
from xent_numba.measurement.inputs import Laid

LOOKED_AT = 512
"""Single results that are held to the truth; a sum is held to that of all samples."""

_FEWEST = 4096


class Repeated(NamedTuple):
    """A case that holds samples as often as they fit.

    Attributes
    ----------
    case : Case
        What is computed of them.
    samples : Samples
        Those that are repeated.
    """

    case: Case
    samples: Samples

    @classmethod
    def of(cls, case: Case, drawn: Sequence[ndarray]) -> Self:
        """Take scores or probabilities, then labels and weights where there are some."""
        first, labels, weights, *_ = (*drawn, None, None)
        tolerance, nobody = Tolerance(ALLOWED, ALLOWED), np.zeros(first.shape, bool)
        return cls(case, Samples(case.table_entry, first, labels, weights, tolerance, nobody))

    def total(self) -> float:
        """The reduced loss."""
        whole, rest = divmod(self.case.size, self.samples.size)
        total = whole * self.samples.total() + (self.samples[:rest].total() if rest else 0.0)
        return float(np.dtype(self.case.dtype).type(total / self.divisor()))

    def divisor(self) -> float:
        """What divides the losses and gradients: for a mean their number, or the sum of weights."""
        weights = self.samples.weights
        if self.case.reduction != "mean" or weights is None:
            return float(self.case.size if self.case.reduction == "mean" else 1)
        whole, rest = divmod(self.case.size, weights.size)
        return whole * math.fsum(weights) + math.fsum(weights[:rest])


class Recheck:
    """New samples of a case, half of them where others were, laid where the workers read theirs.

    Parameters
    ----------
    case : Case
        What was timed.
    laid : Laid
        Its inputs.
    """

    def __init__(self, case: Case, laid: Laid) -> None:
        # No seed: what can be known before can be looked up.
        chance = np.random.default_rng()
        wider = dataclasses.replace(case, size=max(_FEWEST, min(case.size, DRAWN)))
        several = wider.arguments()
        drawn = min(case.size, DRAWN)
        taken = np.where(
            chance.random(drawn) < (0.5 if drawn > 1 else 1.0),
            chance.integers(0, wider.size, drawn),
            np.arange(drawn),
        )
        for place, array in zip(laid.arrays, several, strict=True):
            for start in range(0, case.size, DRAWN):
                place[start : start + DRAWN] = array[taken][: case.size - start]
        repeated = Repeated.of(case, [array[taken] for array in several])
        self.case, self.samples = repeated
        self.indices = np.sort(chance.integers(0, case.size, min(LOOKED_AT, case.size)))
        self.extra = int(chance.integers(1, 5))
        self.total = math.nan if case.reduction == "none" else repeated.total()
        self._divisor = repeated.divisor()

    def reason(self, kept: dict[str, Any], whole: bool) -> str:
        """Why what a worker kept is wrong; empty if it is not.

        Parameters
        ----------
        kept : dict
            What `implementation.Commands.kept` answers.
        whole : bool
            Whether single samples are right too, and not their sum alone.
        """
        got = kept["reduced"]
        if self.case.reduction != "none" and not self._near(got):
            return f"the {self.case.reduction} is {got!r} and should be {self.total!r}"
        kinds: tuple[Kind, ...] = ("loss", "gradient")
        for kind in kinds if whole else ():
            if kind in kept:
                values = np.array(kept[kind], self.case.dtype)
                divisor = self._divisor if kind == "gradient" else 1.0
                if said := disagreement(self._looked_at(), kind, values, divisor):
                    return said
        return ""

    def _near(self, got: Any) -> bool:
        if not isinstance(got, float):
            return False
        if math.isnan(self.total):
            return math.isnan(got)
        # Twice: what rounds may round once more for each doubling of the size.
        rtol = 2 * REDUCED_RTOL[self.case.dtype]
        slack = self.case.size * float(np.finfo(self.case.dtype).smallest_subnormal)
        return math.isclose(got, self.total, rel_tol=rtol, abs_tol=(1 + ALLOWED) * slack)

    def _looked_at(self) -> Samples:
        return self.samples[self.indices % self.samples.size]


def parts(case: Case, result: Any) -> dict[str, Any]:
    """What a call returned, as arrays: a reduced loss, or one of each sample, and the gradient."""
    several = result if case.table_entry.gradient else (result,)
    named = dict(zip(("loss", "gradient"), several, strict=False))
    reduced = named.pop("loss") if case.reduction != "none" else None
    return {"reduced": reduced, **named}
