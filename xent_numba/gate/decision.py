r"""What is concluded from pairs of processes.

A process keeps a speed of its own for as long as it lives, so however many samples it gives, they
are one observation. A pair, one fresh process of each side, gives one number for each benchmark:
the logarithm d of the candidate's time over the baseline's. Most pairs agree within a per cent or
two; one in seven, on a machine shared with others, is off by ten or fifty. So the mean is a trimmed
one: of n pairs the g = [0.2 n] smallest and largest are left out, and the interval is Yuen's [1]_
[2]_,

.. math:: \bar d_t \pm t_{1-\alpha_i/2,\, h-1} \, s_w \sqrt{(n-1) / (h(h-1))}, \quad h = n - 2g,

where s_w is the standard deviation with the ones left out set to the next that are not. Of
pairs simulated so, ten find a change of 5 % in 96 % of runs; with Student's t on the plain mean it
is 58 %. Where there are many benchmarks their variances are shrunk towards one another, and the
degrees of freedom h - 1 become more (see `moderation`).

Levels are Holm's [3]_: of m benchmarks the one with the smallest p-value is tested at ALPHA / m,
the next at ALPHA / (m - 1), until one is not rejected, at whose level the rest are shown. So the
probability of a single false alarm in a run is at most ALPHA, whatever depends on what. With few
normal pairs the t distribution gives the trimmed mean's tails too light, by up to a factor of 1.6,
and shrunk variances, where they differ in another way than is assumed, by up to one of 3, which is
why ALPHA is a third of the 1 % that is promised. A test simulates both.

With threshold T a benchmark is SLOWER or FASTER if its interval excludes 1 and its change is more
than T / 2: less is significant only where there are many pairs, and then it is no news. A change
of T may so be underestimated by half of it. It is SAME if the interval lies within 1/(1 + T) and
1 + T, else INCONCLUSIVE.

What is detectable is the slowdown that passes both conditions with probability POWER, given the
measured spread. A run ends when that is at most T for all benchmarks, or its time is spent: the
decision to stop looks at spreads and never at means, so means may be tested as if n were fixed
[4]_.

References
----------
.. [1] K. K. Yuen, "The two-sample trimmed t for unequal population variances", Biometrika 61,
   1974; here with one sample.
.. [2] R. R. Wilcox, "Introduction to Robust Estimation and Hypothesis Testing", 5th ed., 2021,
   section 4.3.
.. [3] S. Holm, "A simple sequentially rejective multiple test procedure", Scand. J. Statist. 6,
   1979.
.. [4] C. Stein, "A two-sample test for a linear hypothesis whose power is independent of the
   variance", Ann. Math. Statist. 16, 1945.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from scipy.special import stdtr, stdtrit

from xent_numba.gate.moderation import moderated
from xent_numba.measurement.statistics import Interval

PROMISE = 0.01
"""Of runs without a difference, how many may say FASTER or SLOWER of anything."""

ALPHA = PROMISE / 3
POWER = 0.95
TRIM = 0.2
MIN_PAIRS = 10
"""Two of them at each end are left out; fewer could be all of one kind by accident."""


class Verdict(StrEnum):
    """What is said of a benchmark: of one that is timed, or of one that is counted."""

    SLOWER = "SLOWER"
    FASTER = "FASTER"
    SAME = "SAME"
    INCONCLUSIVE = "INCONCLUSIVE"
    WORSE = "WORSE"
    BETTER = "BETTER"
    EQUAL = "EQUAL"


@dataclass(frozen=True, slots=True)
class Finding:
    """What is concluded about one benchmark.

    Attributes
    ----------
    ratio : Interval
        The candidate's time over the baseline's, with its interval at the corrected level.
    detectable : float
        The smallest slowdown that would have been found with probability `POWER`; 0.05 is 5 %.
    pairs : int
        Pairs of processes.
    verdict : Verdict
        The conclusion.
    """

    ratio: Interval
    detectable: float
    pairs: int
    verdict: Verdict


@dataclass(frozen=True, slots=True)
class _Estimate:
    mean: float
    error: float
    freedom: float
    pairs: int

    @classmethod
    def of_all(cls, log_ratios: Mapping[str, Sequence[float]]) -> dict[str, _Estimate]:
        """Estimates of all benchmarks, whose variances know of one another."""
        alone = {name: cls._of(values) for name, values in log_ratios.items()}
        variances = np.array([one.error**2 for one in alone.values()])
        freedom = np.array([one.freedom for one in alone.values()])
        shared = zip(alone.items(), *moderated(variances, freedom), strict=True)
        return {
            name: cls(one.mean, math.sqrt(variance), float(more), one.pairs)
            for (name, one), variance, more in shared
        }

    @classmethod
    def _of(cls, log_ratios: Sequence[float]) -> _Estimate:
        values = np.sort(log_ratios)
        n = len(values)
        g = int(TRIM * n)
        h = n - 2 * g
        winsorized = np.clip(values, values[g], values[n - g - 1])
        error = np.std(winsorized, ddof=1) * math.sqrt((n - 1) / (h * (h - 1)))
        return cls(float(np.mean(values[g : n - g])), float(error), float(h - 1), n)

    def p_value(self) -> float:
        if self.error == 0:
            return 1.0 if self.mean == 0 else 0.0
        return 2 * float(stdtr(self.freedom, -abs(self.mean) / self.error))

    def half_width(self, level: float) -> float:
        return float(stdtrit(self.freedom, 1 - level / 2)) * self.error

    def detectable(self, level: float, threshold: float) -> float:
        bar = max(self.half_width(level), math.log1p(threshold) / 2)
        return math.expm1(bar + float(stdtrit(self.freedom, POWER)) * self.error)


def decide(
    log_ratios: Mapping[str, Sequence[float]],
    thresholds: Mapping[str, float],
    alpha: float = ALPHA,
) -> dict[str, Finding]:
    """Conclude on all benchmarks of a run.

    Parameters
    ----------
    log_ratios : mapping of str to sequence of float
        By benchmark, log of the candidate's time over the baseline's, one for each of at least two
        pairs.
    thresholds : mapping of str to float
        By benchmark, the change that matters; 0.05 is 5 %.
    alpha : float
        The level of all tests together.

    Returns
    -------
    dict of str to Finding
        By benchmark, in the order given.
    """
    estimates = _Estimate.of_all(log_ratios)
    p_values = {name: estimate.p_value() for name, estimate in estimates.items()}
    left = len(estimates)
    rejected = True
    levels = {}
    for name in sorted(estimates, key=p_values.__getitem__):
        levels[name] = alpha / left
        rejected = rejected and p_values[name] <= levels[name]
        left -= rejected
    return {
        name: _conclude(estimate, levels[name], alpha / len(estimates), thresholds[name])
        for name, estimate in estimates.items()
    }


def settled(
    log_ratios: Mapping[str, Sequence[float]],
    thresholds: Mapping[str, float],
    least: int = MIN_PAIRS,
) -> bool:
    """Whether spreads, and they alone, say that slowdowns of the thresholds would be found."""
    if any(len(values) < least for values in log_ratios.values()):
        return False
    level = ALPHA / max(1, len(log_ratios))
    every = _Estimate.of_all(log_ratios)
    wanted = {name: thresholds[name] for name in every}
    return all(one.detectable(level, wanted[name]) <= wanted[name] for name, one in every.items())


def _conclude(estimate: _Estimate, level: float, strictest: float, threshold: float) -> Finding:
    half = estimate.half_width(level)
    low, high = estimate.mean - half, estimate.mean + half
    limit = math.log1p(threshold)
    if low > 0 and estimate.mean > limit / 2:
        verdict = Verdict.SLOWER
    elif high < 0 and estimate.mean < -limit / 2:
        verdict = Verdict.FASTER
    elif -limit <= low and high <= limit:
        verdict = Verdict.SAME
    else:
        verdict = Verdict.INCONCLUSIVE
    return Finding(
        Interval(*map(math.exp, (estimate.mean, low, high))),
        estimate.detectable(strictest, threshold),
        estimate.pairs,
        verdict,
    )
