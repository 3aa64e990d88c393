"""What cannot compute here says so, whatever the size."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numba
import pytest
from layers import PRELUDE, run

import xent_numba

ROOT = str(Path(xent_numba.__file__).parents[1])
UNAVAILABLE = {
    "nothing is compiled": {"NUMBA_DISABLE_JIT": "1"},
    "an unknown layer": {"NUMBA_THREADING_LAYER": "none"},
    "a layer that is not installed": {"NUMBA_THREADING_LAYER": "safe"},
}


@pytest.mark.parametrize("reason", UNAVAILABLE)
def test_what_cannot_compute_says_so_at_any_size(reason):
    output = run(
        """
        for size in (0, 1, 2000, 100_000):
            scores, labels = np.zeros(size), np.ones(size, np.int8)
            for name in ("auto", "numba_parallel", "numba_simple"):
                for call in (
                    lambda: xn.sigmoid(scores, implementation=name),
                    lambda: xn.logistic_loss(scores, labels, reduction="sum", implementation=name),
                ):
                    try: call()
                    except xn.ImplementationUnavailableError as error: print("NUMBA_" in str(error))
        """,
        before="import sys; sys.modules['numba.np.ufunc.tbbpool'] = None" + PRELUDE,
        **UNAVAILABLE[reason],
    )
    assert output.split() == ["True"] * 24


def test_a_call_while_the_first_is_importing_is_refused_and_not_remembered():
    output = run(
        """
        import pathlib, tempfile
        from xent_numba import registry
        folder = tempfile.mkdtemp()
        pathlib.Path(folder, "half.py").write_text(
            "from xent_numba import registry\\n"
            "try: registry.get('half')\\n"
            "except Exception as error: print(type(error).__name__)\\n"
            "from xent_numba.implementations.naive import sigmoid\\n"
        )
        registry.search_path().append(folder)
        print(len(registry.get("half").operations))
        """
    )
    assert output.split() == ["ImplementationUnavailableError", "1"]


def test_simulator_of_numba_without_numba_cuda_says_so():
    """Without site, numba-cuda does not take the place of numba.cuda."""
    packages = str(Path(numba.__file__).parents[1])
    code = f"""
import sys
sys.path.append({packages!r})
import numpy as np
import xent_numba
for size in (1, 3000):
    try:
        xent_numba.logistic_loss(np.zeros(size), np.ones(size), implementation="numba_cuda")
    except xent_numba.ImplementationUnavailableError as error:
        print("xent-numba[cuda]" in str(error))
"""
    done = subprocess.run(
        [sys.executable, "-S", "-c", code],
        env={**os.environ, "NUMBA_ENABLE_CUDASIM": "1", "PYTHONPATH": ROOT},
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    assert done.stdout.split() == ["True", "True"]
