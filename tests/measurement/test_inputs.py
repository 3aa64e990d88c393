"""The inputs of a case, where every worker reads the same bytes."""

from __future__ import annotations

import subprocess
import sys
from multiprocessing.shared_memory import SharedMemory

import numpy as np
import pytest

from xent_numba.measurement import inputs


def test_all_workers_read_the_same_memory_and_none_can_write_to_it():
    drawn = (np.arange(1000, dtype=np.float32),)
    with inputs.shared(drawn) as (places, _):
        first, second = inputs.Attached(places), inputs.Attached(places)
        np.testing.assert_array_equal(first.arrays[0], drawn[0])
        with pytest.raises(ValueError, match="read-only"):
            first.arrays[0][0] = 1.0
        with pytest.raises(ValueError, match="WRITEABLE"):
            first.arrays[0].flags.writeable = True
        # What is written beneath them shows in both: they are one memory.
        beneath = SharedMemory(places[0].name)
        np.ndarray(1, np.float32, beneath.buf)[:] = 42.0
        beneath.close()
        assert first.arrays[0][0] == second.arrays[0][0] == 42.0
        held = second.arrays[0]
        first.close()
        second.close()
        assert held[0] == 42.0  # still mapped, as long as somebody holds it
        del held
        second.close()
    with pytest.raises(FileNotFoundError):
        inputs.Attached(places)


def test_the_memory_outlives_a_worker_that_ends(tmp_path):
    """The resource tracker of a process of its own would remove what it has attached."""
    code = (
        "import sys\n"
        "from xent_numba.measurement.inputs import Attached, Place\n"
        "print(Attached([Place(sys.argv[1], 'float32', 1000)]).arrays[0][999])\n"
    )
    with inputs.shared((np.arange(1000, dtype=np.float32),)) as (places, _):
        for _ in range(2):
            done = subprocess.run(
                [sys.executable, "-c", code, places[0].name], capture_output=True, text=True
            )
            assert done.stdout == "999.0\n", done.stderr
