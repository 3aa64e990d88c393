"""Who takes part in a comparison: an implementation, on some number of threads, under a label."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

MEMORY_LIMIT = "memory limit"
"""Takes part like an implementation: it moves the bytes and computes next to nothing."""

AGAIN = " (A/A)"
"""Marks the one that takes part twice: what its two rows differ by is what a run cannot tell."""


class Contestant(NamedTuple):
    """One process of a comparison.

    Attributes
    ----------
    label : str
        What its rows are called.
    implementation : str
        Name of an implementation, path of a file that is one, or `MEMORY_LIMIT`.
    threads : int
        Number of threads its library is told to take.
    """

    label: str
    implementation: str
    threads: int

    @classmethod
    def of(cls, text: str, threads: int) -> Contestant:
        """Read ``name``, ``path/to/file.py``, or either with ``@1`` for one thread."""
        implementation, at, own = text.rpartition("@")
        if not (at and own.isdecimal()):
            implementation, own = text, ""
        name = Path(implementation).stem if implementation.endswith(".py") else implementation
        if not own:
            return cls(name, implementation, threads)
        return cls(f"{name}@{own}", implementation, int(own))

    def again(self) -> Contestant:
        """Enter the same once more."""
        return self._replace(label=self.label + AGAIN)
