"""What the driver's answers become: where a context has died, every call says so."""

from __future__ import annotations

import re
from pathlib import Path
from types import SimpleNamespace

import pytest

import xent_numba
from xent_numba.kernels.cuda.refusals import refusal

ILLEGAL_ADDRESS = 700


@pytest.fixture
def dead(offline, monkeypatch):
    """The driver of a process in which an earlier call has read where nothing is."""
    from cuda.bindings import driver as cu

    from xent_numba.kernels.cuda import driver

    answer = cu.CUresult(ILLEGAL_ADDRESS)
    asked = []

    class Driver(SimpleNamespace):
        def __getattr__(self, name):
            if not name.startswith("cu"):
                return getattr(cu, name)

            def call(*arguments):
                asked.append(name)
                return (answer,) if name == "cuLaunchKernel" else (answer, 0)

            return call

    monkeypatch.setattr(driver, "cu", Driver())
    return driver, asked


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("current_device", ()),
        ("enter", (0,)),
        ("Memory", (8,)),
        ("Pinned", (8,)),
        ("to_device", (0, 0, 8, 0)),
        ("to_host", (0, 0, 8, 0)),
        ("copy", (0, 0, 8)),
        ("synchronize", (0,)),
        ("captured", (64,)),
        ("wait_for", (0, {64})),
    ],
)
def test_after_a_context_died_every_call_says_to_restart(dead, name, arguments):
    driver, asked = dead
    with pytest.raises(RuntimeError, match=r"an earlier call \(CUDA_ERROR_ILLEGAL_ADDRESS\).*rest"):
        getattr(driver, name)(*arguments)
    assert asked


def test_after_a_context_died_a_launch_says_to_restart(dead, monkeypatch):
    from xent_numba.kernels.cuda.signature import Kernel

    driver, _ = dead
    broken = driver.cu
    working = SimpleNamespace(
        cuLibraryLoadData=lambda *arguments: (0, 1),
        cuLibraryGetKernel=lambda *arguments: (0, 1),
        CUfunction=int,
        cuLaunchKernel=broken.cuLaunchKernel,
    )
    monkeypatch.setattr(driver, "cu", working)
    monkeypatch.setattr(driver, "capability", lambda device: (9, 0))
    monkeypatch.setattr(driver.compiler_cache, "cubin", lambda *arguments: b"")
    launch = driver.launcher(Kernel("fold", ("float32",)), 0)
    with pytest.raises(RuntimeError, match="restart the process"):
        launch(1, 32, 0, *range(6))


@pytest.mark.parametrize("number", [700, 709, 719])
def test_errors_that_kill_a_context_are_told_from_others(number):
    assert "restart the process" in str(refusal(number, "CUDA_ERROR"))
    assert "restart" not in str(refusal(1, "CUDA_ERROR_INVALID_VALUE"))
    assert "CUDA graph" in str(refusal(900, "CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED"))


def test_what_depends_on_llvmlite_is_in_one_file():
    """Another compiler than numba-cuda has other words for it; what runs on the host stays."""
    folder = Path(xent_numba.__file__).parent / "kernels" / "cuda"
    named = re.compile(r"^\s*(from|import) (llvmlite|numba\.core)|import.*\bintrinsic\b", re.M)
    users = {path.name for path in folder.glob("*.py") if named.search(path.read_text())}
    assert users == {"intrinsics.py", "exchange.py"}
