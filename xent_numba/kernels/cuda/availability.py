"""Whether kernels can run here, and why not.

Numba is not imported to find out: a kernel that is on disk already does without.
"""

from __future__ import annotations

import importlib.util
import re
from importlib.metadata import PackageNotFoundError, version

from xent_numba.kernels.cuda.passes import SIMULATED

_INSTALL = "pip install 'xent-numba[cuda]'"


def unavailable() -> str | None:
    """Return why no kernel can run here, or None."""
    if SIMULATED:
        from numba import cuda

        if hasattr(cuda, "get_current_device"):
            return None
        return f"Numba's own simulator is older than these kernels; for numba-cuda's, {_INSTALL}"
    if reason := _unfit():
        return reason
    if reason := no_device():
        return reason
    try:
        from cuda.pathfinder import load_nvidia_dynamic_lib

        load_nvidia_dynamic_lib("nvvm")
    except Exception as error:  # noqa: BLE001 - see `no_device`
        return f"NVVM, which compiles for the GPU, is missing ({one_line(error)}); {_INSTALL}"
    return None


def no_device() -> str | None:
    """Return why no device can be reached from here, or None."""
    if SIMULATED:
        return "Numba's CUDA simulator (NUMBA_ENABLE_CUDASIM) has no device"
    if importlib.util.find_spec("cuda") is None:
        return f"cuda-core is not installed; {_INSTALL}"
    try:
        import cuda.pathfinder  # noqa: F401 - the driver is found by it

        from xent_numba.kernels.cuda import driver
    except Exception as error:  # noqa: BLE001 - mismatched versions fail in many ways
        return (
            f"{_versions()} cannot be imported together ({one_line(error)}); for a set that "
            f"can, {_INSTALL}"
        )
    try:
        devices = driver.devices()
    except Exception as error:  # noqa: BLE001 - the driver's errors have no common class
        if "NO_DEVICE" in str(error):
            devices = 0
        elif "DynamicLib" in type(error).__name__:
            return (
                "no CUDA driver was found; on a machine with an NVIDIA GPU install its driver, "
                f"then {_INSTALL}"
            )
        else:
            return (
                f"the CUDA driver does not start ({one_line(error)}); with one that does, "
                f"{_INSTALL}"
            )
    if not devices:
        return f"the CUDA driver finds no device; on a machine with an NVIDIA GPU, {_INSTALL}"
    return None


def _unfit() -> str | None:
    """Return which installed packages do not fit together, or are missing; None if all is well."""
    for module, package in (("numba_cuda", "numba-cuda"), ("cuda", "cuda-core")):
        if importlib.util.find_spec(module) is None:
            return f"{package} is not installed; {_INSTALL}"
    numpy, numba_cuda = version("numpy"), version("numba-cuda")
    if _numbers(numpy) >= (2, 5) and _numbers(numba_cuda) <= (0, 30, 4):
        return (
            f"numba-cuda {numba_cuda} fails at its first compilation with NumPy {numpy}, which "
            f"has no row_stack; numba-cuda 0.30.4 works with NumPy 2.4: {_INSTALL}"
        )
    return None


def _numbers(version: str) -> tuple[int, ...]:
    """Return the leading numbers of a version."""
    return tuple(int(part) for part in re.match(r"[\d.]*", version)[0].split(".") if part)  # type: ignore[index]


def unavailable_for_timing() -> str | None:
    """Return why a time measured here would say nothing of a GPU, or None."""
    if (reason := unavailable()) is not None:
        return reason
    if SIMULATED:
        return "Numba's CUDA simulator (NUMBA_ENABLE_CUDASIM) runs kernels as Python threads"
    return None


def _versions() -> str:
    found = []
    for package in ("numba", "numba-cuda", "cuda-core", "cuda-bindings"):
        try:
            found.append(f"{package} {version(package)}")
        except PackageNotFoundError:
            found.append(f"no {package}")
    return ", ".join(found)


def one_line(error: Exception) -> str:
    """Return what an error says, without its line breaks."""
    return " ".join(str(error).split())
