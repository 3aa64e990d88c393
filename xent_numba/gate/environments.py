"""What each side runs in: an environment that asv builds, or its sources before a given Python.

asv's own machinery makes the environments, so that whatever a project says in ``asv.conf.json``
about Python, requirements and commands holds here too. Each side has a folder of its own, in which
asv finds again what the last run left: only another revision is built anew.
"""

from __future__ import annotations

import contextlib
import copy
import hashlib
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from xent_numba.gate import GateError, revisions
from xent_numba.results.machine import thread_variables

KEPT = 10
"""Revisions of each side whose sources and compiled code are kept."""

BETTER = ("lower", "higher")

CONFIGURATION = ("asv.conf.json", "asv.conf.jsonc")


class Revision(NamedTuple):
    """What was asked for, and the hash of its commit."""

    name: str
    commit: str


@dataclass(frozen=True, slots=True)
class Side:
    """One of the two that are compared, ready to run.

    Attributes
    ----------
    name : str
        baseline or candidate.
    revision : Revision
        What it is of.
    python : str
        The interpreter.
    variables : dict of str to str
        Environment variables.
    sources : Path
        The project's files.
    cpus : tuple of int
        The CPUs it runs on; empty for all.
    """

    name: str
    revision: Revision
    python: str
    variables: dict[str, str]
    sources: Path
    cpus: tuple[int, ...] = ()


class Project:
    """A project with asv benchmarks.

    Parameters
    ----------
    folder : Path
        Holds the configuration.

    Raises
    ------
    GateError
        If it does not, or if it is in no git repository.
    """

    def __init__(self, folder: Path) -> None:
        from asv import util
        from asv.config import Config

        found = [folder / name for name in CONFIGURATION if (folder / name).is_file()]
        if not found:
            raise GateError(
                f"{str(folder)!r} holds no {CONFIGURATION[0]}; accepted is the folder of a project "
                "with asv benchmarks"
            )
        try:
            self.configuration = Config.load(str(found[0]))
        except (util.UserError, ValueError) as error:
            raise GateError(f"{found[0].name}: {error}") from None
        self.folder = folder
        self.cache = (folder / self.configuration.env_dir / "gate").resolve()
        self.directions = dict(getattr(self.configuration, "gate_better", {}))
        if wrong := [unit for unit, way in self.directions.items() if way not in BETTER]:
            raise GateError(
                f"gate_better of {found[0].name} says {self.directions[wrong[0]]!r} of the unit "
                f"{wrong[0]!r}; accepted are {' and '.join(BETTER)}"
            )
        self.timeout = float(self.configuration.default_benchmark_timeout)
        own = (getattr(self.configuration, f"{kind}_dir") for kind in ("env", "results", "html"))
        revisions.leave_git()
        self._root = revisions.root(folder)
        inside = (os.path.relpath(folder.resolve() / path, self._root) for path in own)
        self._not_sources = [path for path in inside if not path.startswith("..")]

    def resolve(self, revision: str | None) -> Revision:
        """Find the commit of a revision; of the working tree, if it is None."""
        if revision is not None:
            return Revision(revision, revisions.commit(self.folder, revision))
        commit = revisions.snapshot(self.folder, self._not_sources)
        return Revision(revisions.WORKING_TREE, commit)

    def benchmarks(self, side: Side) -> Path:
        """The benchmark folder of a side."""
        folder = side.sources / str(self.configuration.benchmark_dir)
        if not folder.is_dir():
            raise GateError(
                f"{side.revision.name} holds no folder {self.configuration.benchmark_dir!r}; "
                "accepted is a candidate with benchmarks"
            )
        return folder

    def side(
        self, name: str, revision: Revision, python: str | None, cpus: tuple[int, ...] = ()
    ) -> Side:
        """Make one side ready.

        Parameters
        ----------
        name : str
            baseline or candidate.
        revision : Revision
            What `resolve` found.
        python : str or None
            The interpreter that gets the side's sources put before its packages; if None, an
            environment is built.
        cpus : tuple of int
            The CPUs it runs on, and as many threads; empty for what the project configures.

        Returns
        -------
        Side
            Ready to run.
        """
        folder, commit = self.cache / name, revision.commit
        sources = revisions.export(self.folder, commit, folder / "sources")
        if python is None:
            python, variables = self._build(name, revision)
        else:
            variables = {"PYTHONPATH": os.pathsep.join([str(sources), str(sources / "src")])}
            variables |= self._matrix_variables()
        _forget(folder / "sources")
        _forget(folder / "numba")
        # Nothing that one side compiled is ever loaded by the other.
        key = hashlib.sha256(f"{commit} {python}".encode()).hexdigest()[:16]
        variables["NUMBA_CACHE_DIR"] = str(folder / "numba" / key)
        variables |= thread_variables(len(cpus)) if cpus else {}
        return Side(name, revision, python, variables, sources, cpus)

    def _environments(self, configuration: Any) -> Iterator[Any]:
        from asv.environment import get_environments
        from asv.plugin_manager import plugin_manager

        for plugin in configuration.plugins:
            plugin_manager.import_plugin(plugin)
        return iter(get_environments(configuration, None, verbose=False))

    def _matrix_variables(self) -> dict[str, str]:
        """Environment variables of the first environment of the matrix."""
        from asv import environment

        every = environment.iter_matrix(
            self.configuration.environment_type, [_this_python()], self.configuration
        )
        # Where the configuration excludes this Python, it has no variables for it.
        entries: dict[tuple[str, str], Any] = next(iter(every), {})
        return {key: value for (kind, key), value in entries.items() if kind.startswith("env")}

    def _build(self, name: str, revision: Revision) -> tuple[str, dict[str, str]]:
        from asv import util
        from asv.repo import get_repo

        (self.cache / name).mkdir(parents=True, exist_ok=True)
        log = self.cache / name / "build.log"
        configuration = copy.copy(self.configuration)
        configuration.env_dir = str(self.cache / name)
        # A mirror would not hold the working tree.
        configuration.repo = str(self._root)
        # asv means paths and pyproject.toml from where it is run, and prints dots.
        with contextlib.ExitStack() as stack:
            stack.enter_context(contextlib.chdir(self.folder))
            file = stack.enter_context(log.open("w"))
            stack.enter_context(contextlib.redirect_stdout(file))
            stack.enter_context(contextlib.redirect_stderr(file))
            environment = next(self._environments(configuration), None)
            if environment is None:
                raise GateError(
                    f"no environment of type {configuration.environment_type!r} can be made here; "
                    "accepted is one that asv can make, or --python"
                )
            try:
                environment.create()
                environment.install_project(configuration, get_repo(configuration), revision.commit)
            except (util.ProcessError, util.UserError) as error:
                file.write(str(getattr(error, "stdout", "")) + str(getattr(error, "stderr", "")))
                raise GateError(
                    f"{name} {revision.name!r} does not build: {_last_line(error)} ({log})"
                ) from None
        return environment.find_executable("python"), {
            key: str(value) for key, value in environment.env_vars.items()
        }


def _forget(folder: Path) -> None:
    """Remove what has not been used for longest."""
    if folder.exists():
        by_age = sorted(folder.iterdir(), key=lambda path: path.stat().st_mtime, reverse=True)
        for path in by_age[KEPT:]:
            shutil.rmtree(path, ignore_errors=True)


def _this_python() -> str:
    return f"{sys.version_info[0]}.{sys.version_info[1]}"


def _last_line(error: subprocess.CalledProcessError | Exception) -> str:
    lines = (getattr(error, "stderr", "") or getattr(error, "stdout", "") or str(error)).split("\n")
    return next((line.strip() for line in reversed(lines) if line.strip()), str(error))
