"""What is concluded from pairs: rates of false alarms and of slowdowns found, by simulation."""

from __future__ import annotations

import collections
import math

import numpy as np
import pytest
from scipy import stats
from scipy.stats import mstats

from xent_numba.gate import decision
from xent_numba.gate.decision import Verdict, decide, settled

THRESHOLD = 0.05
THRESHOLDS = collections.defaultdict(lambda: THRESHOLD)
RUNS = 1000


def pairs(rng, size, noise):
    """Log ratios of pairs that do not differ."""
    values = rng.normal(0, 0.01, size)
    if noise == "as measured":
        # One pair in seven is off by ten per cent or more.
        values *= np.where(rng.random(size) < 0.15, 12, 1)
    return values


def conclude(values, alpha=decision.ALPHA):
    """Verdicts of a run, by benchmark."""
    found = decide({str(i): row for i, row in enumerate(values)}, THRESHOLDS, alpha)
    return [finding.verdict for finding in found.values()]


def alarms(verdicts):
    return sum(verdict in (Verdict.SLOWER, Verdict.FASTER) for verdict in verdicts)


def at_most(count, runs, rate):
    """Whether a count is what a rate explains, up to three standard deviations."""
    return count <= runs * rate + 3 * math.sqrt(runs * rate * (1 - rate))


@pytest.mark.parametrize("noise", ["normal", "as measured"])
@pytest.mark.parametrize("benchmarks", [1, 8, 20])
def test_at_most_one_run_in_a_hundred_is_a_false_alarm(noise, benchmarks):
    """Noise is so much larger than the threshold that nothing but the interval holds it back."""
    rng = np.random.default_rng(5)
    size = (benchmarks, decision.MIN_PAIRS)
    # Half of them spread four times as far, which is not what shrinking assumes.
    scale = 20 * np.where(rng.random((RUNS, benchmarks, 1)) < 0.5, 4, 1)
    wrong = sum(alarms(conclude(one * pairs(rng, size, noise))) > 0 for one in scale)
    assert at_most(wrong, RUNS, decision.PROMISE)


def test_without_a_correction_there_are_too_many():
    """What the test above would say."""
    rng = np.random.default_rng(5)
    values = (20 * pairs(rng, (8, decision.MIN_PAIRS), "normal") for _ in range(RUNS))
    wrong = sum(alarms(conclude(v, 8 * decision.PROMISE)) > 0 for v in values)
    assert not at_most(wrong, RUNS, decision.PROMISE)


@pytest.mark.parametrize("benchmarks", [1, 4])
def test_stopping_early_costs_no_false_alarms_and_finds_the_threshold(benchmarks):
    """Pairs are taken until `settled`, which may look after each, as in a run."""
    rng = np.random.default_rng(6)
    runs, most = 400, 60
    wrong = found = 0
    for _ in range(runs):
        values = pairs(rng, (benchmarks, most), "as measured")
        count = next(
            n
            for n in range(decision.MIN_PAIRS, most + 1)
            if n == most or settled({str(i): row[:n] for i, row in enumerate(values)}, THRESHOLDS)
        )
        wrong += alarms(conclude(values[:, :count])) > 0
        values[0] += math.log1p(THRESHOLD)
        found += conclude(values[:, :count])[0] is Verdict.SLOWER
    assert at_most(wrong, runs, decision.PROMISE)
    assert at_most(runs - found, runs, 1 - decision.POWER)


def test_what_is_detectable_is_detected():
    """Of slowdowns of the size that `detectable` names, POWER are found."""
    rng = np.random.default_rng(7)
    size = 1, 20
    named = [
        decide({"one": 2 * pairs(rng, size, "normal")[0]}, THRESHOLDS)["one"].detectable
        for _ in range(200)
    ]
    slowdown = math.log1p(float(np.median(named)))
    found = sum(
        conclude(2 * pairs(rng, size, "normal") + slowdown) == [Verdict.SLOWER] for _ in range(RUNS)
    )
    assert found / RUNS == pytest.approx(decision.POWER, abs=0.04)


@pytest.mark.parametrize(("benchmarks", "alone", "together"), [(20, 0.65, 0.8), (54, 0.5, 0.7)])
def test_benchmarks_that_spread_alike_need_fewer_pairs(monkeypatch, benchmarks, alone, together):
    """Of ten pairs with 1.2 % of noise and one outlier in seven, how many find 5 %."""

    def power():
        rng = np.random.default_rng(9)
        found = 0
        for _ in range(RUNS // 5):
            values = 1.2 * pairs(rng, (benchmarks, decision.MIN_PAIRS), "as measured")
            values[:5] += math.log1p(THRESHOLD)
            found += sum(verdict is Verdict.SLOWER for verdict in conclude(values)[:5])
        return found / RUNS

    assert power() > together
    monkeypatch.setattr(decision, "moderated", lambda variances, freedom: (variances, freedom))
    assert power() < alone


def spread(mean, error):
    """Pairs with a mean, and an interval of some 5 errors to either side."""
    return mean + error * np.tile([-1.0, 1.0], 10)


@pytest.mark.parametrize(
    ("mean", "error", "verdict"),
    [
        (0.05, 0.01, Verdict.SLOWER),
        (-0.05, 0.01, Verdict.FASTER),
        (0.0, 0.01, Verdict.SAME),
        (0.0, 0.2, Verdict.INCONCLUSIVE),
        # Certainly slower, but by less than half of the threshold.
        (0.02, 0.001, Verdict.SAME),
        # More than the threshold, but not certain.
        (0.2, 0.5, Verdict.INCONCLUSIVE),
    ],
)
def test_verdicts(mean, error, verdict):
    assert conclude([spread(mean, error)]) == [verdict]


def test_the_interval_is_yuens():
    """Against SciPy's winsorized error, which divides by n where Yuen has n - 1 and h - 1."""
    values = np.random.default_rng(8).standard_t(2, 20)
    found = decide({"one": values}, THRESHOLDS)["one"]
    n, h = 20, 12
    error = mstats.trimmed_stde(values, limits=(0.2, 0.2)) * math.sqrt(
        (n - 1) / n * (h / n) ** 2 * n**2 / (h * (h - 1))
    )
    half = stats.t.ppf(1 - decision.ALPHA / 2, h - 1) * error
    middle = stats.trim_mean(values, 0.2)
    assert math.log(found.ratio.value) == pytest.approx(middle)
    assert math.log(found.ratio.high) == pytest.approx(middle + half)
    assert math.log(found.ratio.low) == pytest.approx(middle - half)


def test_pairs_without_spread():
    found = decide({"same": [0.0] * 10, "slower": [0.1] * 10}, THRESHOLDS)
    assert [f.verdict for f in found.values()] == [Verdict.SAME, Verdict.SLOWER]
    assert found["slower"].ratio.value == pytest.approx(math.exp(0.1))


def test_a_benchmark_is_held_to_more_where_there_are_more():
    """Holm: the clearest is tested at ALPHA / m, and the rest at what is left once it is found."""
    clear, near = spread(0.5, 0.01), spread(0.04, 0.024)
    alone = decide({"near": near}, THRESHOLDS)["near"]
    crowd = decide({"near": near, **{str(i): spread(0, 0.1) for i in range(50)}}, THRESHOLDS)[
        "near"
    ]
    helped = decide({"near": near, "clear": clear}, THRESHOLDS)["near"]
    assert alone.verdict is Verdict.SLOWER
    assert crowd.verdict is Verdict.INCONCLUSIVE
    assert helped.ratio == alone.ratio
    assert crowd.ratio.high - crowd.ratio.low > alone.ratio.high - alone.ratio.low


def test_a_run_goes_on_until_it_has_pairs_enough():
    still = [0.0] * decision.MIN_PAIRS
    assert settled({"one": still}, THRESHOLDS)
    assert not settled({"one": still[1:]}, THRESHOLDS)
    assert not settled({"one": still, "other": spread(0, 0.2)}, THRESHOLDS)
    # The mean has no say.
    assert settled({"one": spread(0.4, 0.001)}, THRESHOLDS)


def test_a_benchmark_may_have_a_threshold_of_its_own():
    values = {"one": spread(0.05, 0.01), "other": spread(0.05, 0.01)}
    found = decide(values, {"one": 0.05, "other": 0.2})
    assert [one.verdict for one in found.values()] == [Verdict.SLOWER, Verdict.SAME]
    wide = {"one": spread(0, 0.001), "other": spread(0, 0.05)}
    assert settled(wide, {"one": 0.05, "other": 0.2})
    assert not settled(wide, {"one": 0.05, "other": 0.05})
