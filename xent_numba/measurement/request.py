"""What one asks for when one compares: from names and sizes follow cases and participants."""

from __future__ import annotations

import dataclasses
import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass

from xent_numba import registry
from xent_numba.measurement.case import Case
from xent_numba.measurement.compare import Plan
from xent_numba.measurement.participant import Participant
from xent_numba.measurement.suite import SUBJECT, Entries
from xent_numba.operations import Reduction
from xent_numba.results import machine

DEFAULT_BASELINE = "numpy_stable"
BUDGET = 60.0


@dataclass(frozen=True, slots=True)
class Request:
    """Every combination of what is named; a single name or size need not stand in a list.

    Attributes
    ----------
    operations, workloads, dtypes : sequence of str
        Their names.
    sizes : sequence of int or None
        Numbers of samples; None is the workload's own.
    label_dtype : str or None
        dtype of the labels; None is that of the scores.
    reduction : {"none", "sum", "mean"}
        What is returned of the losses.
    implementations : sequence of str
        Names, or paths of files, each with ``@1`` after it for one thread; empty for all.
    baseline : str
        What a speed-up divides by, which takes part too.
    threads : int
        For every library; 0 for all CPUs.
    budget : float or None
        Seconds for all but the first case, which is measured in any case; what is not reached is
        named. None is no limit: all is measured, `BUDGET` seconds of judging and rounds at least.
    processes : int
        How many times each participant starts anew.
    """

    operations: Sequence[str] = ("sigmoid", "binary_cross_entropy", "logistic_loss")
    workloads: Sequence[str] = ("flights",)
    dtypes: Sequence[str] = ("float32", "float64")
    sizes: Sequence[int | None] = (None,)
    label_dtype: str | None = None
    reduction: Reduction = "sum"
    implementations: Sequence[str] = ()
    baseline: str = DEFAULT_BASELINE
    threads: int = 0
    budget: float | None = None
    processes: int = 1

    def __post_init__(self) -> None:
        """Put what stands alone into a list."""
        for name in ("operations", "workloads", "dtypes", "sizes", "implementations"):
            if isinstance(alone := getattr(self, name), str | int):
                object.__setattr__(self, name, (alone,))

    def cases(self) -> list[Case]:
        """What is measured; `ValueError` or `ModuleNotFoundError` for what cannot be drawn."""
        several = itertools.product(self.operations, self.workloads, self.sizes, self.dtypes)
        cases = [Case.of(*one, self.label_dtype, self.reduction) for one in several]
        for case in dict.fromkeys(dataclasses.replace(case, size=1) for case in cases):
            case.arguments()
        return list(dict.fromkeys(cases))

    def participants(self) -> tuple[list[Participant], Participant]:
        """Who takes part, and who of them is the baseline."""
        threads = self.threads or machine.usable_cpus()
        asked = self.implementations or list(registry.names())
        baseline = Participant.of(self.baseline, threads)
        several = [Participant.of(text, threads) for text in asked]
        return list(dict.fromkeys((*several, baseline))), baseline

    def resolve(self) -> tuple[Entries, Plan]:
        """Return what `compare.compare` takes."""
        several, baseline = self.participants()
        labels = [one.label for one in several]
        control = SUBJECT if SUBJECT in labels else labels[0]
        seconds, limit = self.budget or BUDGET, self.budget or math.inf
        plan = Plan(baseline.label, control, seconds, self.processes, limit)
        return dict.fromkeys(self.cases(), several), plan
