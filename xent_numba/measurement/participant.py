"""Who takes part in a comparison: an implementation, on some number of threads, under a label."""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, NamedTuple

import xent_numba
from xent_numba.measurement.worker import Program
from xent_numba.results.machine import thread_variables

MEMORY_LIMIT = "memory limit"
"""Takes part like an implementation: it moves the bytes and computes next to nothing."""
DEVICE_LIMIT = "memory limit (cuda)"
"""The same for a GPU: the driver copies, on the device, so that as many bytes are moved."""
LIMITS = (MEMORY_LIMIT, DEVICE_LIMIT)

AGAIN = " (A/A)"
"""Marks the A/A control, which takes part twice: what its rows differ by a run cannot tell."""

PREPARE_TIMEOUT = 300.0

Status = Literal["ok", "partly", "wrong", "unavailable", "n/a", "crashed"]

_COMMANDS = Path(__file__).with_name("implementation.py")


class Participant(NamedTuple):
    """One process of a comparison.

    Attributes
    ----------
    label : str
        What its rows are called.
    implementation : str
        Name of an implementation, path of a file that is one, or one of `LIMITS`.
    threads : int
        Number of threads its library is told to take.
    """

    label: str
    implementation: str
    threads: int

    @classmethod
    def of(cls, text: str, threads: int) -> Participant:
        """Read ``name``, ``path/to/file.py``, or either with ``@1`` for one thread."""
        implementation, at, own = text.rpartition("@")
        if not (at and own.isdecimal()):
            implementation, own = text, ""
        name = Path(implementation).stem if implementation.endswith(".py") else implementation
        if not own:
            return cls(name, implementation, threads)
        return cls(f"{name}@{own}", implementation, int(own))

    def again(self) -> Participant:
        """Enter the same once more."""
        return self._replace(label=self.label + AGAIN)

    def program(self, timeout: float = PREPARE_TIMEOUT) -> Program:
        """What its worker runs: this Python, with the modules that this process can import.

        ``XENT_PYTHON_NAME`` names another for the implementation ``name``, which has the modules of
        its own and this package, and finds shared libraries in the ``lib`` beside its ``bin``.
        """
        variables = thread_variables(self.threads)
        python = os.environ.get(f"XENT_PYTHON_{self.implementation.upper()}")
        if python:
            variables["PYTHONPATH"] = str(Path(xent_numba.__file__).parents[1])
            variables["LD_LIBRARY_PATH"] = str(Path(python).parents[1] / "lib")
        else:
            variables["PYTHONPATH"] = os.pathsep.join(path or os.curdir for path in sys.path)
        return Program(
            _COMMANDS, (self.implementation,), python or sys.executable, variables, timeout=timeout
        )


@dataclass(frozen=True, slots=True)
class Preparation:
    """What is known of an implementation before it is timed on a case.

    Attributes
    ----------
    status : {"ok", "partly", "wrong", "unavailable", "n/a", "crashed"}
        Whether it can be timed. Partly ok is a reduced loss that is right although single samples
        are not, where the implementation declares that they are not.
    reason : str
        Why not, or why only partly.
    max_ulp, max_ulp_gradient : float or None
        Its largest errors per sample; None where they are not finite or were not measured.
    first_call_seconds : float or None
        The first call in the process: binding, compiling or loading from a cache, and running.
    """

    status: Status
    reason: str = ""
    max_ulp: float | None = None
    max_ulp_gradient: float | None = None
    first_call_seconds: float | None = None

    @property
    def timed(self) -> bool:
        """Whether there is a right result to be timed."""
        return self.status in ("ok", "partly")


def check_file(path: Path) -> None:
    """Raise `ValueError` unless a user's file can be an implementation.

    The file is not imported.
    """
    if not path.is_file():
        raise ValueError(f"{str(path)!r}; accepted is a name, or a file that exists")
    if (Path(xent_numba.__file__).parent / "implementations" / path.name).exists():
        raise ValueError(f"{str(path)!r}; accepted is a name that the package has not taken")
