"""The project whose benchmarks are compared: its configuration, its revisions, and its sources."""

from __future__ import annotations

import dataclasses
import hashlib
import logging
import os
import shlex
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import platformdirs

from xent_numba.gate import GateError, command, environments, revisions, rules
from xent_numba.results.machine import thread_variables

COMMAND_SECONDS = 600.0
"""A command may take this long."""

KEPT = 10
"""Revisions of each side whose sources and compiled code are kept."""

CONFIGURATION = ("asv.conf.json", "asv.conf.jsonc")

_LOG = logging.getLogger(__name__)


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
        All files of the repository.
    cpus : tuple of int
        The CPUs it runs on; empty for all.
    commands : str
        Name of the file, beside this one, whose `Commands` its workers obey.
    """

    name: str
    revision: Revision
    python: str
    variables: dict[str, str]
    sources: Path
    cpus: tuple[int, ...] = ()
    commands: str = "benchmarks.py"


class Project:
    """A project with asv benchmarks.

    Parameters
    ----------
    path : Path
        Its configuration, or the folder that holds it.
    environment : str
        As ``asv run --environment`` has it, a type or a type and a Python (``virtualenv:3.12``);
        empty for what is configured.

    Raises
    ------
    GateError
        If there is no configuration, or if it is in no git repository.
    """

    def __init__(self, path: Path, environment: str = "") -> None:
        from asv import util
        from asv.config import Config

        file = _configuration(path)
        try:
            self.configuration = Config.load(str(file))
        except (util.UserError, ValueError) as error:
            raise GateError(f"{file.name}: {error}") from None
        if environment:
            kind, _, python = environment.partition(":")
            self.configuration.environment_type = kind
            self.configuration.pythons = [python] if python else self.configuration.pythons
        self.folder = file.parent
        self.cache = _cache(self.folder, str(self.configuration.env_dir))
        self.rules = rules.read(self.configuration, file.name)
        self.timeout = float(self.configuration.default_benchmark_timeout)
        revisions.leave_git()
        self.repository, self._inside = self._find_repository()

    def resolve(self, revision: str | None) -> Revision:
        """Find the commit of a revision; of the working tree, if it is None."""
        if revision is not None:
            return Revision(revision, self.repository.commit(revision))
        own = (getattr(self.configuration, f"{kind}_dir") for kind in ("env", "results", "html"))
        top = self.repository.top or self.folder
        inside = (os.path.relpath(self.folder.resolve() / path, top) for path in own)
        commit = self.repository.snapshot([path for path in inside if not path.startswith("..")])
        return Revision(revisions.WORKING_TREE, commit)

    def benchmarks(self, side: Side) -> Path | str:
        """The benchmark folder of a side; of both, where the project is another repository."""
        home = self.folder if self._inside is None else side.sources / self._inside
        folder = home / str(self.configuration.benchmark_dir)
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
        sources = self.repository.export(commit, folder / "sources")
        if python is None:
            published = self.repository.publish(name, commit)
            python, variables = environments.build(
                self.configuration, self.folder, folder, published, revision
            )
        else:
            variables = self._before(sources)
        # What a benchmark starts by its name is of the same environment.
        programs = (str(Path(python).parent), os.environ.get("PATH", ""))
        variables["PATH"] = os.pathsep.join(filter(None, programs))
        _forget(folder / "sources")
        _forget(folder / "numba")
        # Nothing that one side compiled is ever loaded by the other.
        key = hashlib.sha256(f"{commit} {python}".encode()).hexdigest()[:16]
        variables["NUMBA_CACHE_DIR"] = str(folder / "numba" / key)
        variables |= thread_variables(len(cpus)) if cpus else {}
        return Side(name, revision, python, variables, sources, cpus)

    def _before(self, sources: Path) -> dict[str, str]:
        """Variables with which a Python imports sources before its packages."""
        homes = [sources / str(self.configuration.repo_subdir), sources / (self._inside or "")]
        folders = [folder for home in dict.fromkeys(homes) for folder in (home, home / "src")]
        variables = environments.matrix_variables(self.configuration)
        return {**variables, "PYTHONPATH": os.pathsep.join(map(str, folders))}

    def _find_repository(self) -> tuple[revisions.Repository, Path | None]:
        """Repository of the project; and where in it is the configuration, if it is in it."""
        named = str(self.configuration.repo)
        local = (self.folder / named).resolve()
        if not local.is_dir() and revisions.is_checkout(self.folder, named):
            local = self.folder
        source = str(local) if local.is_dir() else named
        repository = revisions.Repository(source, self.cache / "repository")
        if repository.top is None:
            return repository, None
        top, folder = repository.top.resolve(), self.folder.resolve()
        return repository, folder.relative_to(top) if folder.is_relative_to(top) else None


class CommandProject(Project):
    """Any project under git, of which a command is timed; it needs no configuration.

    Parameters
    ----------
    folder : Path
        Of the project: in its counterpart of each side the command is run.
    command : str
        The command line.
    build : str
        Another, run once in each side's sources before; none if it is empty.
    """

    def __init__(self, folder: Path, command: str, build: str = "") -> None:
        revisions.leave_git()
        self.folder, self.rules, self.timeout = folder, rules.Rules(), COMMAND_SECONDS
        self.cache = _cache(folder)
        self._command, self._build = command, build
        self.repository = revisions.Repository(str(folder), self.cache / "repository")
        self._inside = folder.resolve().relative_to((self.repository.top or folder).resolve())

    def resolve(self, revision: str | None) -> Revision:
        """Find the commit of a revision; of the working tree, if it is None."""
        if revision is not None:
            return Revision(revision, self.repository.commit(revision))
        return Revision(revisions.WORKING_TREE, self.repository.snapshot([]))

    def benchmarks(self, side: Side) -> str:
        """The command line."""
        return self._command

    def side(
        self, name: str, revision: Revision, python: str | None, cpus: tuple[int, ...] = ()
    ) -> Side:
        """Make one side ready; `python` is the one that is found as ``python`` by the command."""
        kept = self.cache / name
        # Kept apart from those of another build: it writes among them.
        digest = hashlib.sha256(self._build.encode()).hexdigest()[:16] if self._build else ""
        sources = self.repository.export(revision.commit, kept / f"sources{digest}")
        home = sources / (self._inside or "")
        variables = {command.SOURCES: str(home), "PYTHONPATH": f"{home}{os.pathsep}{home / 'src'}"}
        if python is not None:
            programs = (str(Path(python).parent), os.environ.get("PATH", ""))
            variables["PATH"] = os.pathsep.join(programs)
        variables["NUMBA_CACHE_DIR"] = str(kept / "numba" / revision.commit)
        variables |= thread_variables(len(cpus)) if cpus else {}
        self._build_in(home, sources.parent / "built", variables, name)
        _forget(sources.parents[1])
        return Side(name, revision, sys.executable, variables, sources, cpus, "command.py")

    def _build_in(self, home: Path, mark: Path, variables: dict[str, str], name: str) -> None:
        if not self._build or mark.exists():
            return
        environment = {**os.environ, **variables}
        done = subprocess.run(  # noqa: S603 - what the user asks for
            shlex.split(self._build), cwd=home, env=environment, capture_output=True, text=True,
            check=False,
        )  # fmt: skip
        if done.returncode:
            said = next(reversed(f"{done.stdout}{done.stderr}".split("\n")[:-1]), "")
            raise GateError(f"--build ends with {done.returncode} on the {name}: {said}")
        mark.touch()


class SuiteProject(CommandProject):
    """Any project under git with a pytest-benchmark suite; `command` has pytest's arguments."""

    def side(
        self, name: str, revision: Revision, python: str | None, cpus: tuple[int, ...] = ()
    ) -> Side:
        """Make one side ready; `python` is the one that has pytest-benchmark."""
        made = super().side(name, revision, python, cpus)
        return dataclasses.replace(
            made, python=python or sys.executable, commands="pytest_suite.py"
        )


def _configuration(path: Path) -> Path:
    found = [path / name for name in CONFIGURATION if (path / name).is_file()]
    if not (found or path.is_file()):
        raise GateError(
            f"{str(path)!r} holds no {CONFIGURATION[0]}; accepted is the folder of a project "
            "with asv benchmarks, or --config FILE"
        )
    return found[0] if found else path


def _cache(folder: Path, env_dir: str = "") -> Path:
    """The folder for all that the gate makes: asv's, or the user's where that cannot be written."""
    digest = hashlib.sha256(str(folder.resolve()).encode()).hexdigest()[:16]
    of_user = platformdirs.user_cache_path("xent-numba") / "gate" / digest
    wanted = (folder / env_dir).absolute() / "gate" if env_dir else of_user
    for cache in (wanted, of_user):
        try:
            cache.mkdir(parents=True, exist_ok=True)
            (cache / "written").touch()
        except OSError as error:
            reason = f"{error.strerror}: {str(error.filename)!r}"
            _LOG.warning("%s cannot be used (%s)", cache, reason)
            continue
        if cache != wanted:
            _LOG.warning("environments and sources are kept in %s", cache)
        return cache.resolve()
    raise GateError(f"no folder to work in ({reason}); accepted is an env_dir that can be written")


def _forget(folder: Path) -> None:
    """Remove what has not been used for longest."""
    if folder.exists():
        by_age = sorted(folder.iterdir(), key=lambda path: path.stat().st_mtime, reverse=True)
        for path in by_age[KEPT:]:
            shutil.rmtree(path, ignore_errors=True)
