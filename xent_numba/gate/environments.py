"""The environments that a project's sides are built in.

asv's own machinery makes them, so that whatever a project says in ``asv.conf.json`` about Python,
requirements and commands holds here too. Each side has a folder of its own, in which asv finds
again what the last run left: only another revision is built anew.
"""

from __future__ import annotations

import contextlib
import copy
import importlib
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from xent_numba.gate import GateError

if TYPE_CHECKING:
    from xent_numba.gate.project import Revision

_OTHERWISE = "accepted is --environment TYPE, as virtualenv, or --python"


def matrix_variables(configuration: Any) -> dict[str, str]:
    """Environment variables of the first environment of the matrix."""
    from asv import environment

    entries: dict[tuple[str, str], Any] = {}
    here = f"{sys.version_info[0]}.{sys.version_info[1]}"
    # Where the configuration excludes this Python, it has no variables for it.
    with contextlib.suppress(environment.EnvironmentUnavailable, RuntimeError):
        every = environment.iter_matrix(configuration.environment_type, [here], configuration)
        entries = next(iter(every), entries)
    return {key: value for (kind, key), value in entries.items() if kind.startswith("env")}


def build(
    configuration: Any, home: Path, folder: Path, repository: Path, revision: Revision
) -> tuple[str, dict[str, str]]:
    """Build the first environment of the matrix, with a revision in it.

    Parameters
    ----------
    configuration : asv.config.Config
        The project's.
    home : Path
        Its folder.
    folder : Path
        Where the environment and the words of what builds it go.
    repository : Path
        What the revision is cloned from.
    revision : Revision
        What is built.

    Returns
    -------
    str, dict of str to str
        The interpreter, and environment variables.

    Raises
    ------
    GateError
        If it cannot be.
    """
    from asv import util
    from asv.repo import get_repo

    folder.mkdir(parents=True, exist_ok=True)
    log = folder / "build.log"
    configuration = copy.copy(configuration)
    configuration.env_dir, configuration.repo = str(folder), str(repository)
    # asv means paths and pyproject.toml from where it is run, and prints dots.
    with contextlib.ExitStack() as stack:
        stack.enter_context(contextlib.chdir(home))
        file = stack.enter_context(log.open("w"))
        stack.enter_context(contextlib.redirect_stdout(file))
        stack.enter_context(contextlib.redirect_stderr(file))
        environment = _first(configuration)
        try:
            environment.create()
            environment.install_project(configuration, get_repo(configuration), revision.commit)
        except (util.ProcessError, util.UserError) as error:
            file.write(str(getattr(error, "stdout", "")) + str(getattr(error, "stderr", "")))
            raise GateError(
                f"{folder.name} {revision.name!r} does not build: {_last_line(error)} ({log})"
            ) from None
    variables = {key: str(value) for key, value in environment.env_vars.items()}
    return environment.find_executable("python"), variables


def _first(configuration: Any) -> Any:
    from asv.environment import get_environments
    from asv.plugin_manager import plugin_manager

    kind = configuration.environment_type
    if not kind or kind == "existing":
        said = f"environment_type is {kind!r}, " if kind else "there is no environment_type, "
        raise GateError(f"{said}which builds no revision; {_OTHERWISE}")
    for plugin in configuration.plugins:
        plugin_manager.import_plugin(plugin)
    found = next(iter(get_environments(configuration, None, verbose=False)), None)
    if found is None:
        raise GateError(
            f"no environment of type {kind!r} can be made here: {_why_not(configuration)}; "
            f"{_OTHERWISE}"
        )
    return found


def _why_not(configuration: Any) -> str:
    from asv import environment

    kind = configuration.environment_type
    try:
        # asv leaves out what cannot be imported, and says nothing.
        importlib.import_module(f"asv.plugins.{kind}")
    except ModuleNotFoundError as error:
        if error.name != f"asv.plugins.{kind}":
            return f"{error.name} is not installed"
    try:
        found = environment.get_environment_class_by_name(kind)
        for python in configuration.pythons:
            found(configuration, python, {}, {})
    except environment.EnvironmentUnavailable as error:
        return str(error).strip().rstrip(".")
    return "the matrix leaves none"


def _last_line(error: subprocess.CalledProcessError | Exception) -> str:
    lines = (getattr(error, "stderr", "") or getattr(error, "stdout", "") or str(error)).split("\n")
    return next((line.strip() for line in reversed(lines) if line.strip()), str(error))
