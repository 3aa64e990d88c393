"""Where a result comes from: command, commit, machine, versions and time."""

from __future__ import annotations

import datetime
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from xent_numba.results import machine
from xent_numba.results.machine import Machine


def commit() -> tuple[str | None, bool]:
    """Commit of the checkout this package is imported from, None if it is in none; and modified."""
    folder = Path(__file__).parents[2]
    root = machine.output_of("git", "-C", str(folder), "rev-parse", "--show-toplevel")
    # An installed package may lie in a virtual environment inside of somebody's checkout.
    if root is None or Path(root).resolve() != folder.resolve():
        return None, False
    # Reports are what is made: those of the part before do not change what makes the next.
    what = ("--porcelain", "--untracked-files=no", "--", ".", ":(exclude)reports")
    changes = machine.output_of("git", "-C", str(folder), "status", *what)
    return machine.output_of("git", "-C", str(folder), "rev-parse", "HEAD"), bool(changes)


@dataclass(frozen=True, slots=True)
class Provenance:
    """What a reader needs to know of a run in order to repeat it.

    Attributes
    ----------
    command : str
        What was typed.
    started : str
        When, in UTC, ISO 8601; empty where it was not kept.
    commit : str or None
        Of the checkout that this package is imported from; None if it is in none.
    modified : bool
        Whether tracked files other than reports differ from it.
    machine : Machine
        What it ran on, with which versions.
    """

    command: str
    started: str
    commit: str | None
    modified: bool
    machine: Machine

    @classmethod
    def now(cls, command: str) -> Self:
        """Return that of a run that starts now; asks the system for about a second.

        Parameters
        ----------
        command : str
            What was typed.
        """
        started = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
        return cls(command, started, *commit(), machine.describe())

    @property
    def revision(self) -> str:
        """The first digits of the commit, and whether it was modified; for people."""
        if self.commit is None:
            return "no commit"
        return self.commit[:10] + (" (modified)" if self.modified else "")

    def __str__(self) -> str:
        """Say all of it in one sentence."""
        here = self.machine
        parts = [
            here.cpu or here.architecture,
            here.gpu or "no GPU",
            here.system,
            f"Python {here.python}" if here.python else "",
            *(f"{name} {version}" for name, version in here.versions.items()),
        ]
        when = f"{self.started}, by" if self.started else "By"
        return f"{', '.join(filter(None, parts))}. {when} `{self.command}` at {self.revision}."
