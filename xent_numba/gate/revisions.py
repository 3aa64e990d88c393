"""The two revisions that are compared, as trees of files that nobody works in."""

from __future__ import annotations

import contextlib
import os
import subprocess
import tempfile
from pathlib import Path

from xent_numba.gate import GateError

WORKING_TREE = "the working tree"


class GitError(GateError):
    """A git command failed; the message is git's own."""


def leave_git() -> None:
    """Forget the repository that a git command, alias or hook started this process for.

    Its environment variables would lead git, here and in all that is started from here, to that
    repository, wherever it is told to look.
    """
    with contextlib.suppress(GitError):
        for name in _git(Path(), "rev-parse", "--local-env-vars").split():
            os.environ.pop(name, None)


def root(project: Path) -> Path:
    """Top of the working tree that a project is in."""
    try:
        return Path(_git(project, "rev-parse", "--show-toplevel"))
    except GitError as error:
        raise GateError(
            f"{str(project)!r} is in no git repository ({error}); accepted is a project under git"
        ) from None


def commit(project: Path, revision: str) -> str:
    """Hash of the commit that a revision names.

    Raises
    ------
    GateError
        If it names none.
    """
    try:
        return _git(project, "rev-parse", "--verify", "--quiet", f"{revision}^{{commit}}")
    except GitError:
        raise GateError(
            f"revision {revision!r} is not known here; accepted is what git rev-parse reads, and "
            "in a shallow clone only what was fetched"
        ) from None


def snapshot(project: Path, leave_out: list[str]) -> str:
    """Commit the working tree, as it is and without what git ignores, to no branch.

    The index stays as it is. The same files on the same commit always give the same hash, so that
    what was built of them is found again. HEAD itself, if nothing differs from it.

    Parameters
    ----------
    project : Path
        A folder in the working tree.
    leave_out : list of str
        Folders that are no part of the project, ignored by git or not.

    Returns
    -------
    str
        Hash of the commit.
    """
    if unmerged := _git(project, "diff", "--name-only", "--diff-filter=U"):
        raise GateError(
            f"the working tree has conflicts in {unmerged.splitlines()[0]!r}; accepted is one "
            "without, or a revision as CANDIDATE"
        )
    head = commit(project, "HEAD")
    top = root(project)
    with tempfile.TemporaryDirectory() as folder:
        index = {"GIT_INDEX_FILE": str(Path(folder) / "index")}
        _git(top, "read-tree", head, **index)
        # git refuses to be told to leave out what it ignores anyway.
        excluded = [f":(exclude,top){p}" for p in leave_out if not _is_ignored(top, p)]
        _git(top, "add", "--all", "--", ".", *excluded, **index)
        tree = _git(top, "write-tree", **index)
    return head if tree == _git(top, "rev-parse", f"{head}^{{tree}}") else _wrap(top, tree, head)


def planted(project: Path, parent: str, path: str, content: str) -> str:
    """Commit one changed file on top of a commit, to no branch.

    Parameters
    ----------
    project : Path
        A folder in the working tree.
    parent : str
        Hash of the commit.
    path, content : str
        The file, from the top of the repository, and what it holds.

    Returns
    -------
    str
        Hash of the new commit.
    """
    top = root(project)
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "file"
        file.write_text(content)
        blob = _git(top, "hash-object", "-w", str(file))
        index = {"GIT_INDEX_FILE": str(Path(folder) / "index")}
        _git(top, "read-tree", parent, **index)
        _git(top, "update-index", "--cacheinfo", f"100644,{blob},{path}", **index)
        tree = _git(top, "write-tree", **index)
    return _wrap(top, tree, parent)


def export(project: Path, revision: str, folder: Path) -> Path:
    """Write the files of a commit to a folder of their own, unless they are there.

    Parameters
    ----------
    project : Path
        A folder in the working tree.
    revision : str
        Hash of the commit.
    folder : Path
        Where the folder is made.

    Returns
    -------
    Path
        The counterpart of `project` in it.
    """
    top = root(project)
    target = folder / revision
    if not target.exists():
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder) as aside:
            # Unlike git archive it leaves out nothing that is not meant for a release.
            index = {"GIT_INDEX_FILE": str(Path(aside) / "index")}
            _git(top, "read-tree", revision, **index)
            _git(top, "checkout-index", "--all", f"--prefix={aside}/files/", **index)
            (Path(aside) / "files").rename(target)
    target.touch()
    return target / project.resolve().relative_to(top.resolve())


def _is_ignored(top: Path, path: str) -> bool:
    try:
        _git(top, "check-ignore", "--quiet", f"{path}/file")
    except GitError:
        return False
    return True


def _wrap(top: Path, tree: str, parent: str) -> str:
    """Commit a tree with nothing in it that depends on who does it, or when."""
    date = _git(top, "show", "--no-patch", "--format=%cI", parent)
    someone = {
        f"GIT_{role}_{field}": value
        for role in ("AUTHOR", "COMMITTER")
        for field, value in (("NAME", "gate"), ("EMAIL", "gate@localhost"), ("DATE", date))
    }
    return _git(top, "commit-tree", tree, "-p", parent, "-m", WORKING_TREE, **someone)


def _git(folder: Path, *arguments: str, **variables: str) -> str:
    try:
        done = subprocess.run(  # noqa: S603 - arguments, never a shell
            ["git", "-C", str(folder), *arguments],  # noqa: S607
            capture_output=True,
            text=True,
            check=True,
            env={**os.environ, **variables},
        )
    except FileNotFoundError:
        raise GateError("git is not installed here; accepted is a machine with git") from None
    except subprocess.CalledProcessError as error:
        said = " ".join(error.stderr.split()) or f"exit status {error.returncode}"
        raise GitError(f"git {arguments[0]}: {said}") from None
    return done.stdout.strip()
