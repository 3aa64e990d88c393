"""What asv times or measures otherwise than by calls is compared in pairs, or counted."""

from __future__ import annotations

import math
import sys

import pytest

from xent_numba.gate import gate, tables
from xent_numba.gate.pairs import Limits
from xent_numba.gate.project import Project

MEASURES = "\nseconds, rate, size, delay = 0.5, 400.0, 20_000_000, 0.02\n"

BENCHMARKS = """
import tiny


def track_lap():
    return tiny.seconds


def track_speed():
    return tiny.rate


def track_broken():
    return tiny.seconds - 0.5


def timeraw_delay():
    return "import time, tiny; time.sleep(tiny.delay)"


class Peak:
    def peakmem_work(self):
        return bytearray(tiny.size).count(1)


class Cached:
    def setup_cache(self):
        return 1

    def peakmem_cached(self, one):
        return one


def mem_list():
    return list(range(tiny.size // 1_000_000))


track_lap.unit = "Seconds (lower is better)"
track_speed.unit = "it/s"
track_broken.unit = "s"
"""


@pytest.fixture
def measures(tiny):
    tiny.package.write_text(tiny.package.read_text() + MEASURES)
    tiny.benchmarks.write_text(BENCHMARKS)
    tiny.commit()
    return tiny


def run(tiny, *patterns, exact=False):
    limits = Limits(budget=0.06, least=6, least_seconds=math.inf)
    request = gate.Request("HEAD", None, exact, patterns, limits, sys.executable, patience=None)
    found = gate.run(Project(tiny.folder), request)
    return found, {t.benchmark: t for t in found.timings}


def test_times_and_rates_that_a_benchmark_takes_itself_are_compared_in_pairs(measures):
    measures.edit("0.5, 400.0", "1.0, 800.0")
    measures.benchmarks.write_text(BENCHMARKS.replace("tiny.seconds - 0.5", "0.0"))
    found, timings = run(measures, "track_")
    assert found.regressions == ["all.track_lap"]
    assert timings["all.track_lap"].finding.ratio.value == pytest.approx(2)
    # Twice as many a second is half the time.
    assert timings["all.track_speed"].finding.ratio.value == pytest.approx(0.5)
    assert timings["all.track_speed"].finding.verdict == "FASTER"
    assert "ValueError: it returned 0.0" in found.left_out["all.track_broken"]
    page = tables.markdown(found)
    assert "| `all.track_lap` | 0.5 Seconds | 1 Seconds | +100.0% |" in page
    assert "| `all.track_speed` | 400 it/s | 800 it/s | -50.0% |" in page


@pytest.mark.slow
def test_what_runs_in_a_process_of_its_own_is_timed_there(measures):
    measures.edit("20_000_000, 0.02", "20_000_000, 0.08")
    _, timings = run(measures, "timeraw_")
    assert timings["all.timeraw_delay"].finding.verdict == "SLOWER"
    assert timings["all.timeraw_delay"].baseline >= 0.02


@pytest.mark.slow
def test_peaks_of_memory_are_compared_in_processes_that_do_nothing_else(measures):
    measures.edit("20_000_000", "200_000_000")
    found, timings = run(measures, "peakmem_")
    (name,) = timings
    added = timings[name].candidate - timings[name].baseline
    assert added == pytest.approx(180e6, rel=0.05)
    assert timings[name].finding.verdict == "SLOWER"
    assert " MB |" in tables.markdown(found)
    assert "the peak of its setup_cache" in found.left_out["all.Cached.peakmem_cached"]


def test_the_size_of_an_object_is_counted(measures):
    pytest.importorskip("pympler")
    measures.edit("20_000_000", "40_000_000")
    found, _ = run(measures, exact=True)
    assert found.regressions == ["all.mem_list"]
