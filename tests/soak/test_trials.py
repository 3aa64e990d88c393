"""Many callers, processes of every kind, guard pages, no leak, very many samples, interruptions.

Each has a short form, for every run of the suite, and a long one, for ``pytest -m soak``.
"""

from __future__ import annotations

import os
import random
import sys

import hypothesis
import psutil
import pytest
import test_any_call

REPORT = "reliability"
pytestmark = pytest.mark.slow
LAYERS = pytest.mark.parametrize("layer", ["omp", "workqueue", "tbb"])
UNIX = pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
LINUX = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")


def short_and_long(names: str, short: tuple[int, ...], long: tuple[int, ...]):
    marked = pytest.param(*long, id="long", marks=pytest.mark.soak)
    return pytest.mark.parametrize(names, [pytest.param(*short, id="short"), marked])


def bits_alone(trial, kinds: int) -> list[str]:
    """What calls give on one thread."""
    return trial("in_threads", kinds, 0, timeout=600, NUMBA_NUM_THREADS="1")["right"]


@LAYERS
@short_and_long("kinds, seconds", (6, 1), (12, 60))
def test_threads(trial, keep, layer, kinds, seconds):
    figures = trial(
        "in_threads", kinds, seconds, timeout=600 + seconds, NUMBA_THREADING_LAYER=layer,
        NUMBA_NUM_THREADS="4",
    )  # fmt: skip
    assert figures.pop("right") == bits_alone(trial, kinds)
    assert figures["wrong"] == 0
    assert figures["least"] > 0
    keep(f"threads_{layer}", figures | {"seconds": seconds})


@UNIX
@LAYERS
@short_and_long("kinds, forks", (2, 3), (6, 65))
def test_processes(trial, keep, layer, kinds, forks):
    figures = trial(
        "in_processes", kinds, forks, timeout=600, NUMBA_THREADING_LAYER=layer,
        NUMBA_NUM_THREADS="4",
    )  # fmt: skip
    assert figures.pop("right") == bits_alone(trial, kinds)
    assert figures["wrong"] == 0
    assert figures["forks_right"] == forks
    keep(f"processes_{layer}", figures)


@UNIX
@short_and_long("offsets, dtypes", (1, 1), (64, 2))
def test_guard_pages(trial, keep, offsets, dtypes):
    """From every place within a cache line: 64 distances of an item or a byte from a guard."""
    figures = trial("beside_guards", offsets, dtypes, timeout=1700, NUMBA_NUM_THREADS="2")
    assert figures["wrong"] == 0
    assert figures["trials"] > 900 * offsets * dtypes
    keep("guard_pages", figures)


@LINUX
@short_and_long("calls", (20_000,), (1_000_000,))
def test_no_leak(trial, keep, calls):
    figures = trial("leaks", calls, timeout=1700)
    assert figures["grown_bytes"] < 2**20
    keep("leaks", figures)


@LINUX
@short_and_long("power", (20,), (31,))
def test_many_samples(trial, keep, power):
    if psutil.virtual_memory().available < 2 ** (power + 2):
        pytest.skip("needs memory for 2^31 int8 labels, at the most, and what the pages take")
    figures = trial("many_samples", power, timeout=600)
    assert figures["relative_error"] < 2**-24
    assert figures["named"]
    keep("many_samples", figures)


@UNIX
@short_and_long("moments, commands", (4, 1), (20, 4))
def test_interruptions(trial, keep, moments, commands):
    figures = trial("interruptions", moments, commands, timeout=1700)
    assert figures["wrong"] == 0
    assert figures["processes left"] == 0
    keep("interruptions", figures)


@pytest.mark.soak
@pytest.mark.parametrize("half", ["first", "second"])
def test_any_of_many_calls(keep, half):
    """What `test_any_call` tries, on many more draws, and with other kernels.

    There are more of them than can be compiled in the time: each run takes some at random.
    """
    calls = faults = 0
    chosen = random.sample(test_any_call.KINDS, 3)

    @hypothesis.given(test_any_call.calls())
    @hypothesis.settings(
        max_examples=int(os.environ.get("XENT_EXAMPLES", "100000")) // 2,
        derandomize=False,
        database=None,
        suppress_health_check=list(hypothesis.HealthCheck),
    )
    def each(drawn):
        nonlocal calls, faults
        calls, faults = calls + 1, faults + bool(drawn.faults)
        compiled = test_any_call.compiled_already(drawn) or drawn.kind in chosen
        test_any_call.holds(drawn, test_any_call.NAMES[: 1 + compiled])

    each()
    keep(f"any_call_{half}", {"calls": calls, "of them with a fault": faults, "wrong": 0})
