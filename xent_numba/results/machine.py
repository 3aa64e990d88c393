"""What a time was measured on, and with which versions."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import re
import shutil
import subprocess
from dataclasses import dataclass, field
from pathlib import Path

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
    "onnxruntime",
    "polars",
    "duckdb",
    "numba-cuda",
)
THREAD_VARIABLES = (
    "NUMBA_NUM_THREADS",
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "NUMEXPR_NUM_THREADS",
    "POLARS_MAX_THREADS",
    "NPROC",
)
"""All that the libraries read when they start."""

_UNKNOWN = "unknown"
_CPU = Path("/sys/devices/system/cpu")


@dataclass(frozen=True, slots=True)
class Machine:
    """Processor, memory, graphics processor, system and versions.

    Attributes
    ----------
    cpu, architecture : str
        Name of the processor, and its kind; empty where it is not known, as all text here.
    cores, cpus, usable_cpus : int or None
        Physical cores, logical ones, and as many as this process may keep busy.
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

    def told(self) -> dict[str, str]:
        """Say by name what people ask of a machine besides its processor."""
        size = self.memory_bytes
        return {
            "caches": ", ".join(f"{level} {size}" for level, size in self.caches.items())
            or _UNKNOWN,
            "memory": _UNKNOWN if size is None else f"{size / 2**30:.1f} GiB",
            "huge pages": self.huge_pages or _UNKNOWN,
            "governor": self.governor or _UNKNOWN,
            "turbo": {True: "on", False: "off", None: _UNKNOWN}[self.turbo],
            "GPU": self.gpu or "none",
            "system": self.system,
            "Python": self.python,
        }


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
    """Return the number of CPUs this process may run on, and may keep busy all the time."""
    count = len(affinity() or ()) or os.cpu_count() or 1
    quota = cpu_quota()
    # More threads than that would be stopped again and again, all at once.
    return count if quota is None else max(1, min(count, int(quota)))


def cpu_quota(
    groups: Path = Path("/proc/self/cgroup"), mount: Path = Path("/sys/fs/cgroup")
) -> float | None:
    """CPUs' worth of time that Linux gives the control group of this process, as of a container.

    Parameters
    ----------
    groups : pathlib.Path
        Where the system names the groups that this process is in.
    mount : pathlib.Path
        Where it shows them.

    Returns
    -------
    float or None
        The least of the group and those above it; None where there is no limit.
    """
    found = []
    for line in (_read(groups) or "").splitlines():
        _, controllers, path = line.split(":", 2)
        if not controllers or "cpu" in controllers.split(","):
            top = mount / controllers
            here = top / path.lstrip("/")
            found += [_quota(x) for x in (here, *here.parents) if x.is_relative_to(top)]
    return min((quota for quota in found if quota is not None), default=None)


def _quota(group: Path) -> float | None:
    # Version 2 has both numbers in a file, version 1 each in its own; -1 or "max" is no limit.
    both = (_read(group / "cpu.max") or "").split() or [
        _read(group / f"cpu.cfs_{what}_us") or "" for what in ("quota", "period")
    ]
    return int(both[0]) / int(both[1]) if all(map(str.isdecimal, both)) else None


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


def output_of(program: str, *arguments: str) -> str | None:
    """Return what a program prints; None if it is missing or fails."""
    if (found := shutil.which(program)) is None:
        return None
    done = subprocess.run(  # noqa: S603 - the arguments are constants and our own path
        [found, *arguments], capture_output=True, text=True, check=False, timeout=30
    )
    return done.stdout.strip() if done.returncode == 0 else None


def _processor() -> str:
    """Name of the processor, as its maker writes it where the system tells."""
    if named := re.search(r"^model name\s*: (.+)$", _read(Path("/proc/cpuinfo")) or "", re.M):
        return named[1].strip()
    if platform.system() == "Darwin":
        return output_of("sysctl", "-n", "machdep.cpu.brand_string") or ""
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
    return output_of("nvidia-smi", "--query-gpu=name,driver_version", "--format=csv,noheader")


def _read(path: Path) -> str | None:
    try:
        return path.read_text().strip()
    except OSError:
        return None
