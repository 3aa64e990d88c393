"""What a run of the gate found, and what its exit status is."""

from __future__ import annotations

from dataclasses import dataclass, field

from xent_numba.gate.decision import Finding, Verdict
from xent_numba.gate.exact import Value
from xent_numba.gate.project import Revision
from xent_numba.results.store import Kind

OK, REGRESSION, ERROR, UNKNOWN = range(4)
"""Exit statuses: no regression; one at least; an error; with --strict, no conclusion."""


@dataclass(frozen=True, slots=True)
class Timing:
    """A benchmark that was timed.

    Attributes
    ----------
    benchmark : str
        Its name, with the parameters.
    finding : Finding
        The conclusion.
    baseline, candidate : float
        Seconds of a call, or the value that a benchmark measures itself; the median over pairs.
    unit : str
        Of both.
    """

    benchmark: str
    finding: Finding
    baseline: float
    candidate: float
    unit: str = "s"

    @property
    def is_worse(self) -> bool:
        """Whether that is so beyond doubt."""
        return self.finding.verdict is Verdict.SLOWER


@dataclass(frozen=True, slots=True)
class Outcome:
    """All that a run found.

    Attributes
    ----------
    exact : bool
        Whether values were counted, not timed.
    sides : dict of str to Revision
        By side, what was asked for, and its commit.
    threshold : float
        The change that matters.
    timings : list of Timing
        Benchmarks that were timed.
    values : list of Value
        Benchmarks that were counted.
    left_out : dict of str to str
        Benchmarks that could not be compared, and why.
    broken : list of str
        Those of them that fail on the candidate alone.
    unknown : list of str
        Those of them that fail on both sides.
    packages : dict of str to dict of str to str
        Those with other versions on one side than on the other.
    others : list of float
        Share of all CPUs that other programs used during each pair.
    seconds : dict of str to float
        What building and measuring took.
    thresholds : dict of str to float
        By benchmark, where another change matters.
    accepted : dict of str to str
        Those that got slower or worse, and why that is accepted.
    untouched : list of str
        Benchmarks that the change does not touch, which were left out as was asked.
    doubts : dict of str to str
        What was compared, or because of which file all was, since nobody knows, and why.
    """

    exact: bool
    sides: dict[str, Revision]
    threshold: float
    timings: list[Timing]
    values: list[Value]
    left_out: dict[str, str]
    broken: list[str]
    unknown: list[str]
    packages: dict[str, dict[str, str]]
    others: list[float]
    seconds: dict[str, float]
    thresholds: dict[str, float] = field(default_factory=dict)
    accepted: dict[str, str] = field(default_factory=dict)
    untouched: list[str] = field(default_factory=list)
    doubts: dict[str, str] = field(default_factory=dict)

    @property
    def regressions(self) -> list[str]:
        """Names of the benchmarks that got slower or worse, and of which that is not accepted."""
        worse = [t.benchmark for t in self.timings if t.is_worse]
        worse += [v.benchmark for v in self.values if v.verdict is Verdict.WORSE]
        return [name for name in worse if name not in self.accepted]

    @property
    def inconclusive(self) -> list[str]:
        """Names of the benchmarks of which nothing can be said."""
        return [t.benchmark for t in self.timings if t.finding.verdict is Verdict.INCONCLUSIVE]

    def status(self, *, strict: bool) -> int:
        """Exit status.

        Parameters
        ----------
        strict : bool
            Whether something inconclusive is no success, or something that neither side can run.

        Returns
        -------
        int
            The first that applies of REGRESSION, ERROR (nothing was compared although something
            is touched, or a benchmark fails on the candidate alone), UNKNOWN, OK.
        """
        if self.regressions:
            return REGRESSION
        if self.broken or not (self.timings or self.values or self.untouched):
            return ERROR
        return UNKNOWN if strict and (self.inconclusive or self.unknown) else OK


OUTCOME = Kind("gate", 2, Outcome)
"""How an outcome is kept."""
