"""What a worker of the gate obeys that times a command: any program, of the sources of one side.

Started by its path, with the command line as argument and in the variable `SOURCES` the folder that
it is run in; needs the standard library and nothing else.
"""

from __future__ import annotations

import os
import shlex
import subprocess
import time
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

SOURCES = "XENT_NUMBA_SOURCES"

GOAL_SECONDS = 0.01
"""What runs in less is run more than once for a sample."""


class Commands:
    """One benchmark, which is the command."""

    def __init__(self, line: str) -> None:
        self.line = line

    def discover(self) -> dict[str, Any]:
        """The one that there is."""
        what = {"kind": "time", "unit": "s", "better": "lower", "timeout": 0.0}
        return {"benchmarks": [{"name": self.line, "place": "", **what}], "unimportable": {}}

    def packages(self) -> dict[str, str]:
        """None that are known of."""
        return {}

    def loaded_from(self, folder: str) -> bool:
        """Nothing else than what lies in the folder is run."""
        return True

    def open(self, place: str) -> None:
        """Nothing is set up."""

    def sampler(self, place: str) -> tuple[Callable[[int], float], dict[str, Any]]:
        """Return what times a number of runs."""
        return self._sample, {"goal": GOAL_SECONDS}

    def close(self) -> None:
        """Nothing is torn down."""

    def _sample(self, number: int) -> float:
        command = shlex.split(self.line)
        started = time.perf_counter()
        for _ in range(number):
            done = subprocess.run(  # noqa: S603 - what the user asks for
                command, cwd=os.environ[SOURCES], capture_output=True, text=True, check=False
            )
            if done.returncode:
                said = next(reversed(f"{done.stdout}{done.stderr}".split("\n")[:-1]), "")
                raise RuntimeError(f"exit status {done.returncode}: {said}")
        return time.perf_counter() - started
