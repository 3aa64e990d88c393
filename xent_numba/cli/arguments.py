"""How the text of an argument is read, and what is said of one that is not accepted."""

from __future__ import annotations

import argparse
import math
import os
import re
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, TypeVar

from xent_numba import registry
from xent_numba.errors import not_one_of
from xent_numba.measurement.suite import log_spaced
from xent_numba.results import machine

T = TypeVar("T")

ALL = "all"
DTYPES = ("float32", "float64")
MAX_SIZE = 2**30
FACTOR = 4

PATHS = ("FILE", "FOLDER", "RUN")
COMPLETED = {"bash": "_shtab_compgen_files", "zsh": "_files", "tcsh": "f"}
"""What shtab is told of an argument that is a path, which is its `FILE`."""


def option(
    parser: argparse.ArgumentParser,
    flag: str,
    read: Callable[[str], object],
    metavar: str,
    text: str,
    **more: Any,
) -> None:
    """Add an option with a value; `text` is its help, where a percent sign means itself."""
    if isinstance(read, one_of):
        more["choices"] = read.names
    text = text.replace("%", "%%")
    added: Any = parser.add_argument(flag, type=read, metavar=metavar, help=text, **more)
    if metavar in PATHS:
        added.complete = COMPLETED


def several(
    parser: argparse.ArgumentParser, flag: str, read: Callable[[str], object], text: str
) -> None:
    """Add an option that may be given again."""
    metavar = flag[2:].upper()
    option(parser, flag, read, metavar, f"{text}; may be given again", action="append")


def files(parser: argparse.ArgumentParser, **purposes: str) -> None:
    """Add options that name a file to write."""
    for name, what in purposes.items():
        option(parser, f"--{name}", output_file, "FILE", f"write {what}")


def expand(given: list[str] | None, every: Iterable[str], default: Sequence[str]) -> list[str]:
    """Return the names that were asked for: all of them for `ALL`."""
    if given is None:
        return list(default)
    return list(every) if ALL in given else given


class one_of:  # noqa: N801 - called like the other readers
    """The reader of a name, one of those that are `accepted`."""

    def __init__(self, accepted: Iterable[str]) -> None:
        self.names = list(accepted)

    def __call__(self, text: str) -> str:
        """Read it."""
        if text in self.names:
            return text
        raise argparse.ArgumentTypeError(not_one_of(self.names, text))


def participant(text: str) -> str:
    """Read a name or a path, with the number of threads after an @ if it has one of its own."""
    name, at, threads = text.rpartition("@")
    if at:
        whole(1, machine.usable_cpus())(threads)
    implementation(name if at else text)
    return text


def implementation(text: str) -> str:
    """Read the name of an implementation, or the path of a file that is one."""
    if not text.endswith(".py"):
        return one_of(registry.names())(text)
    from xent_numba.measurement.participant import check_file

    try:
        check_file(Path(text))
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None
    return text


def _checked(
    convert: Callable[[str], T], accepts: Callable[[T], bool], accepted: str
) -> Callable[[str], T]:
    """Return a reader that says what is accepted of what is not."""

    def read(text: str) -> T:
        try:
            value = convert(text)
        except ValueError:
            pass
        else:
            if accepts(value):
                return value
        raise argparse.ArgumentTypeError(f"{text!r}; accepted is {accepted}")

    return read


def whole(low: int, high: int) -> Callable[[str], int]:
    """Return the reader of a whole number."""
    accepted = f"a whole number from {low} to {high}"
    return _checked(_power, lambda value: low <= value <= high, accepted)


def _power(text: str) -> int:
    """Read digits, or a power as 2^20."""
    base, power, exponent = text.partition("^")
    if not power:
        return int(text)
    if not (base.isdecimal() and exponent.isdecimal() and len(base) < 9 and int(exponent) < 64):
        raise ValueError(text)
    value: int = int(base) ** int(exponent)
    return value


size = whole(1, MAX_SIZE)

seconds = _checked(float, lambda value: 0 < value < math.inf, "a number of seconds above 0")

percent = _checked(
    lambda text: float(text) / 100, lambda value: 0 < value <= 1, "a percentage from 0 to 100"
)


def sizes(text: str) -> list[int]:
    """Read LOW:HIGH or LOW:HIGH:FACTOR."""
    ends = text.split(":")
    if not 2 <= len(ends) <= 3:
        raise argparse.ArgumentTypeError(f"{text!r}; accepted is LOW:HIGH or LOW:HIGH:FACTOR")
    low, high, factor = size(ends[0]), size(ends[1]), size(ends[2]) if ends[2:] else FACTOR
    if low > high or factor < 2:
        raise argparse.ArgumentTypeError(
            f"{text!r}; accepted are sizes that grow, by a factor of at least 2"
        )
    return log_spaced(low, high, factor)


def pattern(text: str) -> str:
    """Read a regular expression."""
    try:
        re.compile(text)
    except re.error as error:
        raise argparse.ArgumentTypeError(
            f"{text!r}, {error}; accepted is a regular expression"
        ) from None
    return text


def cpus(text: str) -> tuple[int, ...]:
    """Read a list of CPUs, as 1, 0,2 or 2-5."""
    if (usable := machine.affinity()) is None:
        raise argparse.ArgumentTypeError("CPUs cannot be chosen on this system; accepted is none")
    found: set[int] = set()
    for part in text.split(","):
        low, _, high = part.partition("-")
        named = [int(end) for end in (low, high or low) if end.isdecimal()]
        if len(named) < 2 or named[1] > max(usable):
            named = [-1, -1]
        found.update(range(named[0], named[1] + 1))
    if not found or not found <= set(usable):
        raise argparse.ArgumentTypeError(
            f"{text!r}; accepted are CPUs as 1, 0,2 or 2-5, from {', '.join(map(str, usable))}"
        )
    return tuple(sorted(found))


def input_file(text: str) -> Path:
    """Read the path of a file that is there."""
    if not Path(text).is_file():
        raise argparse.ArgumentTypeError(f"{text!r}; accepted is a file that exists")
    return Path(text)


def output_file(text: str) -> Path:
    """Read the path of a file that can be written."""
    path = Path(text)
    if path.is_dir() or not os.access(path.parent, os.W_OK):
        raise argparse.ArgumentTypeError(
            f"{text!r}; accepted is a file in a folder that exists and can be written to"
        )
    return path


def output_folder(text: str) -> Path:
    """Read the path of a folder that can be made."""
    path = Path(text)
    nearest = next(folder for folder in (path, *path.absolute().parents) if folder.exists())
    if not (nearest.is_dir() and os.access(nearest, os.W_OK)):
        raise argparse.ArgumentTypeError(f"{text!r}; accepted is a folder that can be written to")
    return path
