"""A loop that is shared makes every iteration once, whoever shares it."""

import subprocess
import sys

import numpy as np
import pytest

from tests.layers import LAYERS, run
from xent_numba.kernels.cpu import threads
from xent_numba.kernels.cpu.bits import exact
from xent_numba.kernels.cpu.caching import kernel
from xent_numba.kernels.cpu.teams import ALONE, share


@exact
def iteration(i, made, weight, nothing, tens):
    made[i] += weight
    tens[i] = 10 * i


@kernel("shared_in_a_test")
def shared(made, weight, tens, team):
    share(made.size, iteration, (made, weight, None, tens), team)


@pytest.mark.parametrize("size", [0, 1, 2, 3, 255, 1001])
@pytest.mark.parametrize("team", [lambda: ALONE, threads.team])
def test_every_iteration_is_made_once(size, team):
    made, tens = np.zeros(size), np.zeros(size, np.int32)
    shared(made, 1.5, tens, team())
    shared(made, 1.5, tens, team())
    assert (made == 3).all()
    assert (tens == 10 * np.arange(size)).all()


ITERATIONS = """
from tests.kernels.cpu.test_teams import shared
from xent_numba.kernels.cpu import threads
made, tens = np.zeros(10_007), np.zeros(10_007)
numba.set_num_threads(%d)
shared(made, 1.0, tens, threads.team())
print(numba.threading_layer(), threads.team()[1], (made == 1).all())
"""


@LAYERS
@pytest.mark.parametrize("count", [1, 3])
def test_the_threads_are_those_that_numba_is_told(layer, count):
    found = run(ITERATIONS % count, NUMBA_THREADING_LAYER=layer, NUMBA_NUM_THREADS="3")
    assert found.split() == [layer, str(count), "True"]


@pytest.mark.slow
def test_no_thread_is_started_to_compile_or_to_load():
    code = """
import numpy as np, numba, xent_numba
for n in (2, 5000):
    xent_numba.logistic_loss(np.ones(n), np.ones(n))
    xent_numba.sigmoid(np.ones(n))
try:
    print(numba.threading_layer())
except ValueError:
    print("none")
"""
    for _ in range(2):
        done = subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, check=True
        )
        assert done.stdout.split() == ["none"]
