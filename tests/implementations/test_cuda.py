"""numba_cuda where there is no GPU: in the simulator, and saying why it cannot run.

The simulator runs the kernels as Python threads and their arithmetic as the compiled code of the
CPU. It shows that every sample is reached once, checked, and added; how a device rounds it cannot.
It must be switched on before Numba is imported, hence a process of its own.
"""

from __future__ import annotations

import ctypes
import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from xent_numba import ImplementationUnavailableError, registry, sigmoid
from xent_numba.kernels.cuda import availability

HERE = Path(__file__).parent
TESTS = HERE.parent


def run_simulated(*arguments: str) -> subprocess.CompletedProcess[str]:
    # A plugin is imported before the settings say where tests find their modules.
    found = os.pathsep.join(filter(None, (str(TESTS), os.environ.get("PYTHONPATH"))))
    environment = os.environ | {
        "NUMBA_ENABLE_CUDASIM": "1",
        "PYTHONPATH": found,
        "XENT_REQUIRE": "numba_cuda",
    }
    return subprocess.run(
        [sys.executable, "-m", *arguments],
        env=environment,
        cwd=TESTS.parent,
        capture_output=True,
        text=True,
    )


@pytest.mark.slow
@pytest.mark.parametrize(
    "selection",
    [
        ("accuracy/test_edge_cases.py", "numba_cuda"),
        ("simulated_cuda.py", ""),
        ("simulated_arrays.py", ""),
        ("simulated_chunks.py", ""),
        ("simulated_tensors.py", ""),
        ("simulated_tuning.py", ""),
    ],
    ids=lambda selection: selection[0],
)
def test_in_the_simulator(selection):
    file, names = selection
    plugins = "-p", "no:cacheprovider", "-p", "patient_blocks"
    result = run_simulated("pytest", "-q", *plugins, str(TESTS / file), "-k", names)
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


@pytest.mark.skipif("has_gpu()", reason="this machine has a GPU")
@pytest.mark.parametrize(("required", "outcome"), [("numba_cuda", "error"), ("", "skipped")])
def test_a_missing_gpu_is_a_failure_where_it_is_required(required, outcome, monkeypatch):
    monkeypatch.setenv("XENT_REQUIRE", required)
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-m", "gpu"]
    tests = f"{HERE / 'test_cuda_device.py'}::test_a_sum_has_the_same_bits_every_time"
    result = subprocess.run([*command, tests], capture_output=True, text=True, cwd=TESTS.parent)
    assert f"1 {outcome}" in result.stdout
    assert "no CUDA driver" in result.stdout


def fails(error):
    def raises(*arguments):
        raise error

    return raises


@pytest.fixture
def found(offline, monkeypatch):
    """What `unavailable` says for what it finds: a driver, devices, NVVM."""
    from cuda import pathfinder

    from xent_numba.kernels.cuda import driver

    module = registry.get("numba_cuda").module

    def said(devices=lambda: 1, nvvm=lambda name: None):
        monkeypatch.setattr(driver, "devices", devices)
        monkeypatch.setattr(pathfinder, "load_nvidia_dynamic_lib", nvvm)
        return module.unavailable()

    return said


class DynamicLibNotFoundError(RuntimeError):
    """As cuda.pathfinder has one."""


def test_every_reason_is_said_with_the_line_that_installs_what_is_missing(found, monkeypatch):
    """No driver, one that does not start, no device, no NVVM, packages that do not fit."""
    assert found() is None
    broken = RuntimeError("CUDA_ERROR_SYSTEM_NOT_READY\nsee the log")
    reasons = [
        found(fails(DynamicLibNotFoundError("libcuda.so.1"))),
        found(fails(broken)),
        found(lambda: 0),
        found(fails(RuntimeError("the CUDA driver refuses this call (CUDA_ERROR_NO_DEVICE)"))),
        found(nvvm=fails(OSError("libnvvm.so: not found"))),
    ]
    monkeypatch.setitem(sys.modules, "cuda.pathfinder", None)
    reasons.append(registry.get("numba_cuda").module.unavailable())
    words = (
        "no CUDA driver",
        "does not start",
        "no device",
        "no device",
        "NVVM",
        "cannot be imported together",
    )
    for reason, word in zip(reasons, words, strict=True):
        assert word in reason
        assert "pip install 'xent-numba[cuda]'" in reason
        assert "\n" not in reason


@pytest.mark.parametrize(
    ("numba_cuda", "numpy", "fits"),
    [
        ("0.30.4", "2.5.2", False),
        ("0.30.4", "2.5.0rc1", False),
        ("0.22.0", "3.0.0", False),
        ("0.30.4", "2.4.6", True),
        ("0.31.0", "2.5.2", True),
    ],
)
def test_a_pair_that_fails_at_its_first_compilation_is_said(
    found, monkeypatch, numba_cuda, numpy, fits
):
    versions = {"numba-cuda": numba_cuda, "numpy": numpy}
    monkeypatch.setattr(availability, "version", versions.__getitem__)
    reason = found()
    assert (reason is None) == fits
    if not fits:
        assert (
            f"numba-cuda {numba_cuda} fails at its first compilation with NumPy {numpy}" in reason
        )
        assert "numba-cuda 0.30.4 works with NumPy 2.4: pip install 'xent-numba[cuda]'" in reason


@pytest.mark.usefixtures("without_packages")
def test_what_is_not_installed_is_said():
    assert registry.get("numba_cuda").unavailable() == (
        "numba-cuda is not installed; pip install 'xent-numba[cuda]'"
    )


def test_what_numba_calls_contiguous_is_not_believed(offline):
    """Its interface leaves out strides that are 0: an array would be read beyond its end."""
    from numba.cuda.cudadrv.devicearray import DeviceNDArray

    from xent_numba.kernels.cuda import arrays

    def seen(shape, strides):
        at = SimpleNamespace(
            device_ctypes_pointer=ctypes.c_void_p(4096),
            context=SimpleNamespace(device=SimpleNamespace(id=0)),
        )
        array = DeviceNDArray(shape, strides, np.float32, gpu_data=at)
        assert array.__cuda_array_interface__["strides"] is None
        return arrays.adopt("scores", array).strides

    assert seen((2**31 + 5,), (0,)) == (0,)
    assert seen((50, 4), (4, 0)) == (4, 0)
    assert seen((4, 50), (0, 4)) == (0, 4)
    assert seen((4, 50), (200, 4)) is None


def test_a_kernel_on_disk_needs_no_numba():
    """Its import would take longer than the first call of a process may."""
    code = (
        "import sys; from xent_numba.implementations import numba_cuda;"
        "from xent_numba.kernels.cuda import arrays, compiler_cache, driver, launch, short;"
        "compiler_cache.source();"
        "found = [m for m in sys.modules if m.partition('.')[0] in ('numba', 'llvmlite')];"
        "assert not found, found"
    )
    pytest.importorskip("cuda.bindings")
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert result.returncode == 0, result.stderr


def test_importing_the_package_and_the_file_leaves_cuda_alone():
    code = (
        "import sys, xent_numba; xent_numba.implementations()['numba_cuda'].summary;"
        "found = [m for m in sys.modules if m == 'numba.cuda.cudadrv.driver'];"
        "assert not found, found"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
