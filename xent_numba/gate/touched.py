"""Which benchmarks a change may touch: those that load or open a file that differs.

Each benchmark function runs once on either side, in a process that runs no other. Whatever Python
file that process has loaded by then, lazily or not, and whatever file it has opened, is what the
benchmark depends on; a change in any of them may change its time. The rest of a diff, and a process
that starts others, cannot be followed: then benchmarks are timed.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import PurePosixPath

from xent_numba.gate.sides import CANDIDATE, Profile, Sides
from xent_numba.results import machine

FOLLOWED = (".py", ".md", ".rst")
"""Python opens these itself. A table may be opened by C, and of what is compiled nobody knows."""

OF_THE_BUILD = ("setup.py", "conftest.py")

APART = frozenset(("doc", "docs", "examples", "test", "tests"))
"""Folders of which no build takes anything."""


@dataclass(slots=True)
class Choice:
    """What a change may touch, and what it cannot.

    Attributes
    ----------
    names : list of str
        Benchmarks that it may touch.
    untouched : list of str
        All others.
    doubts : dict of str to str
        Benchmarks that are timed although nobody knows, or a file because of which all are, and
        why.
    """

    names: list[str] = field(default_factory=list)
    untouched: list[str] = field(default_factory=list)
    doubts: dict[str, str] = field(default_factory=dict)


def choose(
    sides: Sides,
    names: Sequence[str],
    changed: Sequence[str],
    progress: Callable[[str, float], None],
) -> Choice:
    """Find the benchmarks that a change may touch.

    Parameters
    ----------
    sides : Sides
        What runs.
    names : sequence of str
        Benchmarks that both have.
    changed : sequence of str
        Files that differ, by their paths from the top of the repository.
    progress : callable
        Called with what goes on, and the fraction that is done.

    Returns
    -------
    Choice
        What is timed, and why.
    """
    if path := _unfollowed(changed):
        return Choice([*names], doubts={path: "no profile says what it touches"})
    chosen, loaded = Choice(), set[str]()
    for function, several, profile in _profiles(sides, names, progress):
        touches = {path for path in changed if profile.loads(path)}
        loaded |= touches
        if profile.doubt:
            chosen.doubts[function] = profile.doubt
        (chosen.names if touches or profile.doubt else chosen.untouched).extend(several)
    if not sides.from_sources and (path := _unloaded(changed, loaded)):
        return Choice([*names], doubts={path: "no benchmark loads it, and the build may"})
    return chosen


def _profiles(
    sides: Sides, names: Sequence[str], progress: Callable[[str, float], None]
) -> Iterator[tuple[str, list[str], Profile]]:
    """Yield each function, the benchmarks that it is, and its profile."""
    functions: dict[str, list[str]] = {}
    for name in names:
        function = sides.known[CANDIDATE][name].place.partition("-")[0]
        functions.setdefault(function, []).append(name)
    # Nothing is timed yet: all CPUs are used, by one function for two.
    with (
        ThreadPoolExecutor(max(1, machine.usable_cpus() // 2)) as executor,
        contextlib.ExitStack() as stack,
    ):
        # After an interruption the threads would be waited for: it ends what they wait for.
        pools = [stack.enter_context(sides.idle_pool()) for _ in functions]
        profiles = executor.map(sides.profile, functions.values(), pools)
        for done, (function, profile) in enumerate(zip(functions, profiles, strict=True)):
            progress(f"profiling {function}", done / len(functions))
            yield function, functions[function], profile


def _unfollowed(changed: Sequence[str]) -> str:
    """A file whose use no profile shows; empty if there is none."""
    for path in changed:
        if not path.endswith(FOLLOWED) or PurePosixPath(path).name in OF_THE_BUILD:
            return path
    return ""


def _unloaded(changed: Sequence[str], loaded: set[str]) -> str:
    """A file that no benchmark loads, but that the build may run; empty if there is none."""
    for path in changed:
        if path not in loaded and APART.isdisjoint(PurePosixPath(path).parts[:-1]):
            return path
    return ""
