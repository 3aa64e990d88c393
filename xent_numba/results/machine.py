"""What a time was measured on, and with which versions."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import re
import shutil
import subprocess
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

PACKAGES = (
    "xent-numba",
    "numba",
    "llvmlite",
    "numpy",
    "scipy",
    "scikit-learn",
    "numexpr",
    "torch",
    "jax",
    "numba-cuda",
)
THREAD_VARIABLES = (
    "NUMBA_NUM_THREADS",
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "NUMEXPR_NUM_THREADS",
    "NPROC",
)
"""All that the libraries read when they start."""

_CPU = Path("/sys/devices/system/cpu")


@dataclass(frozen=True, slots=True)
class Machine:
    """Processor, memory, graphics processor, system and versions.

    Attributes
    ----------
    cpu, architecture : str
        Name of the processor, and its kind; empty where it is not known, as all text here.
    cores, cpus, usable_cpus : int or None
        Physical cores, logical ones, and those that this process may run on.
    affinity : list of int or None
        Which these are; None where the system does not tell.
    caches : dict of str to str
        Size by level.
    memory_bytes : int or None
        Of the whole machine.
    huge_pages, governor : str or None
        As Linux tells them.
    turbo : bool or None
        Whether it is on.
    gpu : str or None
        Name and driver; None if there is none.
    system, python : str
        Of the operating system and of the interpreter.
    versions : dict of str to str
        Of this package, and of those that compute.
    """

    cpu: str = ""
    architecture: str = ""
    cores: int | None = None
    cpus: int | None = None
    usable_cpus: int | None = None
    affinity: list[int] | None = None
    caches: dict[str, str] = field(default_factory=dict)
    memory_bytes: int | None = None
    huge_pages: str | None = None
    governor: str | None = None
    turbo: bool | None = None
    gpu: str | None = None
    system: str = ""
    python: str = ""
    versions: dict[str, str] = field(default_factory=dict)


def describe() -> Machine:
    """Describe this machine; what cannot be read here, or not without psutil, is empty or None."""
    try:
        import psutil
    except ModuleNotFoundError:
        cores, memory = None, None
    else:
        cores, memory = psutil.cpu_count(logical=False), psutil.virtual_memory().total
    return Machine(
        cpu=_processor(),
        architecture=platform.machine(),
        cores=cores,
        cpus=os.cpu_count(),
        usable_cpus=usable_cpus(),
        affinity=affinity(),
        caches=_caches(),
        memory_bytes=memory,
        huge_pages=_read(Path("/sys/kernel/mm/transparent_hugepage/enabled")),
        governor=_read(_CPU / "cpu0/cpufreq/scaling_governor"),
        turbo=_turbo(),
        gpu=_gpu(),
        system=platform.platform(),
        python=platform.python_version(),
        versions=versions(),
    )


def fingerprint() -> dict[str, Any]:
    """Return `describe` as a dictionary."""
    return asdict(describe())


def versions() -> dict[str, str]:
    """Version of this package and of the installed ones that compute."""
    found = {}
    for package in PACKAGES:
        try:
            found[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def thread_variables(threads: int) -> dict[str, str]:
    """Environment variables that tell each library the same number of threads."""
    return dict.fromkeys(THREAD_VARIABLES, str(threads))


def usable_cpus() -> int:
    """Return the number of CPUs this process may run on."""
    return len(affinity() or ()) or os.cpu_count() or 1


def affinity() -> list[int] | None:
    """Return the CPUs this process, and what it starts, may run on; None where it is not told."""
    if not hasattr(os, "sched_getaffinity"):  # not on macOS and Windows
        return None
    return sorted(os.sched_getaffinity(0))


def activity() -> dict[str, float]:
    """Load of the last minute, and seconds since boot that others took from this machine."""
    import psutil

    return {
        "load": psutil.getloadavg()[0],
        "steal_seconds": float(getattr(psutil.cpu_times(), "steal", 0.0)),
    }


def commit() -> dict[str, Any]:
    """Commit of the checkout this package is imported from; empty if it is in none."""
    folder = Path(__file__).parents[2]
    root = _run("git", "-C", str(folder), "rev-parse", "--show-toplevel")
    # An installed package may lie in a virtual environment inside of somebody's checkout.
    if root is None or Path(root).resolve() != folder.resolve():
        return {}
    # Reports are what is made: those of the part before do not change what makes the next.
    what = ("--porcelain", "--untracked-files=no", "--", ".", ":(exclude)reports")
    changes = _run("git", "-C", str(folder), "status", *what)
    return {
        "commit": _run("git", "-C", str(folder), "rev-parse", "HEAD"),
        "modified": bool(changes),
    }


def _processor() -> str:
    """Name of the processor, as its maker writes it where the system tells."""
    if named := re.search(r"^model name\s*: (.+)$", _read(Path("/proc/cpuinfo")) or "", re.M):
        return named[1].strip()
    if platform.system() == "Darwin":
        return _run("sysctl", "-n", "machdep.cpu.brand_string") or ""
    return platform.processor()


def _caches() -> dict[str, str]:
    found = {}
    for index in sorted(_CPU.glob("cpu0/cache/index*")):
        kind = {"Data": "d", "Instruction": "i"}.get(_read(index / "type") or "", "")
        found[f"L{_read(index / 'level')}{kind}"] = _read(index / "size") or "unknown"
    return found


def _turbo() -> bool | None:
    if (off := _read(_CPU / "intel_pstate/no_turbo")) is not None:
        return off == "0"
    if (on := _read(_CPU / "cpufreq/boost")) is not None:
        return on == "1"
    return None


def _gpu() -> str | None:
    return _run("nvidia-smi", "--query-gpu=name,driver_version", "--format=csv,noheader")


def _read(path: Path) -> str | None:
    try:
        return path.read_text().strip()
    except OSError:
        return None


def _run(program: str, *arguments: str) -> str | None:
    """Output of a program; None if it is missing or fails."""
    if (found := shutil.which(program)) is None:
        return None
    done = subprocess.run(  # noqa: S603 - the arguments are constants and our own path
        [found, *arguments], capture_output=True, text=True, check=False, timeout=30
    )
    return done.stdout.strip() if done.returncode == 0 else None
