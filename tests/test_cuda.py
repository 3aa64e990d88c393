"""numba_cuda where there is no GPU: in the simulator, and saying why it cannot run.

The simulator runs the kernels as Python threads and their arithmetic as the compiled code of the
CPU. It shows that every sample is reached once, checked, and added; how a device rounds it cannot.
It must be switched on before Numba is imported, hence a process of its own.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from xent_numba import ImplementationUnavailableError, registry, sigmoid

HERE = Path(__file__).parent


def run_simulated(*arguments: str) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {"NUMBA_ENABLE_CUDASIM": "1", "XENT_REQUIRE": "numba_cuda"}
    return subprocess.run(
        [sys.executable, "-m", *arguments],
        env=environment,
        cwd=HERE.parent,
        capture_output=True,
        text=True,
    )


@pytest.mark.parametrize(
    "selection",
    [
        ("test_edge_cases.py", "numba_cuda and not sizes"),
        ("simulated_cuda.py", ""),
    ],
    ids=lambda selection: selection[0],
)
def test_in_the_simulator(selection):
    file, names = selection
    result = run_simulated("pytest", "-q", "-p", "no:cacheprovider", str(HERE / file), "-k", names)
    assert result.returncode == 0, result.stdout[-5000:] + result.stderr[-2000:]
    assert " passed" in result.stdout
    assert "skipped" not in result.stdout


def has_gpu() -> bool:
    return registry.get("numba_cuda").unavailable() is None


@pytest.mark.skipif("has_gpu()", reason="this machine has a GPU")
def test_a_machine_without_gpu_is_told_why():
    reason = registry.get("numba_cuda").unavailable()
    assert reason
    assert "\n" not in reason
    assert "driver" in reason
    assert "pip install 'xent-numba[cuda]'" in reason
    assert registry.get("numba_cuda").module.unavailable_for_timing() == reason
    with pytest.raises(ImplementationUnavailableError, match="driver"):
        sigmoid([0.0], implementation="numba_cuda")


def test_importing_the_package_and_the_file_leaves_cuda_alone():
    code = (
        "import sys, xent_numba; xent_numba.implementations()['numba_cuda'].summary;"
        "found = [m for m in sys.modules if m == 'numba.cuda.cudadrv.driver'];"
        "assert not found, found"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
