"""A suite of pytest-benchmark is compared in the same pairs, benchmark by benchmark."""

from __future__ import annotations

import math
import sys

import pytest

from xent_numba import cli
from xent_numba.gate import GateError, gate
from xent_numba.gate.pairs import Limits
from xent_numba.gate.project import SuiteProject

SUITE = """
import pytest
import tiny


@pytest.mark.parametrize("n", [1, 2])
def test_work(benchmark, n):
    benchmark(tiny.work, n)


def test_pedantic(benchmark):
    assert benchmark.pedantic(tiny.count, rounds=5, iterations=10) == 3


def test_that_times_nothing():
    raise AssertionError("it is not run")
"""
WORK = "def work(n=20_000):\n    spend(n * 1e-8)\n"
SLEEPS = "def work(n=20_000):\n    __import__('time').sleep(n * {seconds})\n"
NAMES = {"tests.test_speed.test_work[1]", "tests.test_speed.test_work[2]"}
LINE = "tests -p pytest_benchmark.plugin --benchmark-min-rounds=3 --benchmark-max-time=0.001"


@pytest.fixture
def suite(tiny, monkeypatch, tmp_path_factory):
    """The project with a suite of pytest-benchmark in the place of that of asv."""
    pytest.importorskip("pytest_benchmark", reason="pytest-benchmark is not installed")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
    monkeypatch.delenv("PYTEST_ADDOPTS", raising=False)
    # In a worker of xdist pytest-benchmark measures nothing.
    monkeypatch.delenv("PYTEST_XDIST_WORKER", raising=False)
    # Those of this suite take longer to load than what is tested.
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")
    (tiny.folder / "asv.conf.json").unlink()
    (tiny.folder / "tests").mkdir()
    (tiny.folder / "tests" / "test_speed.py").write_text(SUITE)
    tiny.edit(WORK, SLEEPS.format(seconds=0.002))
    tiny.commit()
    return tiny


def run(suite, patterns=(), line=LINE):
    limits = Limits(budget=0.06, least=2, least_seconds=math.inf)
    request = gate.Request("HEAD", None, False, patterns, limits, sys.executable, patience=None)
    return gate.run(SuiteProject(suite.folder, line), request)


@pytest.mark.slow
def test_each_benchmark_is_compared_and_one_that_fails_is_an_error(suite):
    suite.edit("sleep(n * 0.002)", "sleep(0.002 if n == 1 else 0.02)")
    suite.edit("return 3", "return 4")
    found = run(suite)
    names = {timing.benchmark: timing.finding.ratio.value for timing in found.timings}
    assert names.keys() == NAMES
    assert names["tests.test_speed.test_work[2]"] > 3
    assert names["tests.test_speed.test_work[1]"] < 2
    assert found.broken == ["tests.test_speed.test_pedantic"]
    why = found.left_out["tests.test_speed.test_pedantic"]
    assert "candidate could not run: RuntimeError: assert 4 == 3" in why
    assert suite.git("status", "--porcelain") == "M tiny.py"


def test_a_module_that_cannot_be_imported_takes_its_benchmarks_with_it_and_is_an_error(suite):
    (suite.folder / "tests" / "test_other.py").write_text(SUITE.replace("work", "play"))
    suite.edit("width = 256", "play = work")
    suite.commit()
    suite.edit("play = work", "raise ImportError('no more')")
    with pytest.raises(GateError, match="share no benchmarks") as error:
        run(suite, ("nothing",))
    assert "play" not in str(error.value)
    found = run(suite, (r"work\[1",))
    assert found.status(strict=False) == 2
    assert "could not import tests.test_speed: ImportError: no more" in " ".join(
        found.left_out.values()
    )


def test_arguments_that_pytest_refuses_are_said(suite):
    suite.edit("return 3", "return 4")
    with pytest.raises(GateError, match="pytest does not accept '--nonsense'"):
        run(suite, line="--nonsense")


def test_it_is_one_or_the_other(tiny, capsys):
    assert cli.main(["gate", "HEAD", "--pytest", "tests", "--exact"]) == 2
    assert "--pytest is given with --exact; accepted is either" in capsys.readouterr().err
