"""The two revisions that are compared, as trees of files that nobody works in."""

from __future__ import annotations

import contextlib
import logging
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

from xent_numba.gate import GateError

WORKING_TREE = "the working tree"

LARGE_BYTES = 10_000_000
"""Files that git does not track are copied; from this size on it is said."""

_LOG = logging.getLogger(__name__)


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
    """Top of the working tree that a folder is in."""
    try:
        return Path(_git(project, "rev-parse", "--show-toplevel"))
    except GitError as error:
        if "safe.directory" in str(error):
            raise
        raise GateError(
            f"{str(project)!r} is in no git repository ({error}); accepted is a project under git"
        ) from None


def is_checkout(folder: Path, address: str) -> bool:
    """Whether a folder is in a checkout of a repository, or of a fork of it, by their names."""
    try:
        top = root(folder)
        lines = _git(folder, "remote", "--verbose").splitlines()
    except GateError:
        return False
    return _name(address) in ({_name(line.split()[1]) for line in lines} or {top.name})


class Repository:
    """Where revisions come from, of which nothing ever changes.

    Beside it the gate keeps a bare repository of its own. What the working tree adds goes there,
    and it is what asv builds from.

    Parameters
    ----------
    source : str
        A folder of a working tree, a bare repository, or an address.
    kept : Path
        The gate's own.

    Attributes
    ----------
    top : Path or None
        Of the working tree; None where there is none.
    """

    def __init__(self, source: str, kept: Path) -> None:
        self._source, self._kept = source, kept
        local = Path(source).is_dir()
        is_tree = local and not _is_bare(Path(source))
        self.top = root(Path(source)) if is_tree else None
        self._folder = self.top or (Path(source) if local else kept)
        if not (kept / "objects").is_dir():
            _git(Path(), "init", "--quiet", "--bare", str(kept))
        self._reads: dict[str, str] = {}
        self._writes: dict[str, str] = {}
        if local:
            objects, shallow, self._source = (
                str(self._folder / _git(self._folder, "rev-parse", *asked))
                for asked in (
                    ("--git-path", "objects"),
                    ("--git-path", "shallow"),
                    ("--git-common-dir",),
                )
            )
            self._shallow = Path(shallow)
            (kept / "objects" / "info" / "alternates").write_text(f"{objects}\n")
            self._reads = {"GIT_ALTERNATE_OBJECT_DIRECTORIES": str(kept / "objects")}
            self._writes = {"GIT_OBJECT_DIRECTORY": str(kept / "objects")}
        else:
            _git(kept, "fetch", "--quiet", "--prune", source, *_refs("heads", "tags"))

    def commit(self, revision: str) -> str:
        """Hash of the commit that a revision names.

        Raises
        ------
        GateError
            If it names none.
        """
        try:
            return self._git("rev-parse", "--verify", "--quiet", f"{revision}^{{commit}}")
        except GitError:
            raise GateError(
                f"revision {revision!r} is not known here; accepted is what git rev-parse reads, "
                "and in a shallow clone only what was fetched"
            ) from None

    def changed(self, before: str, after: str) -> list[str]:
        """Paths of the files in which two commits differ, from the top of the repository."""
        names = self._git("diff", "--name-only", "--no-renames", "-z", before, after)
        return list(filter(None, names.split("\0")))

    def snapshot(self, leave_out: list[str]) -> str:
        """Commit the working tree, as it is and without what git ignores, to no branch.

        The index stays as it is. The same files on the same commit always give the same hash, so
        that what was built of them is found again. HEAD itself, if nothing differs from it.

        Parameters
        ----------
        leave_out : list of str
            Folders that are no part of the project, ignored by git or not.

        Returns
        -------
        str
            Hash of the commit.
        """
        if self.top is None:
            raise GateError(
                f"{self._source!r} has no working tree; accepted is a revision as CANDIDATE"
            )
        if unmerged := self._git("diff", "--name-only", "--diff-filter=U"):
            raise GateError(
                f"the working tree has conflicts in {unmerged.splitlines()[0]!r}; accepted is one "
                "without, or a revision as CANDIDATE"
            )
        head = self.commit("HEAD")
        # git refuses to be told to leave out what it ignores anyway, or what is behind a link.
        paths = dict.fromkeys(_up_to_a_link(self.top, path) for path in leave_out)
        excluded = [f":(exclude,top){path}" for path in paths if not self._is_ignored(path)]
        self._announce_untracked(excluded)
        with _index() as index:
            self._git("read-tree", head, **index)
            self._git("add", "--all", "--", ".", *excluded, **index, **self._writes)
            tree = self._git("write-tree", **index, **self._writes)
        unchanged = tree == self._git("rev-parse", f"{head}^{{tree}}")
        return head if unchanged else self._wrap(tree, head)

    def planted(self, parent: str, path: str, content: str) -> str:
        """Commit one changed file on top of a commit, to no branch.

        Parameters
        ----------
        parent : str
            Hash of the commit.
        path, content : str
            The file, from the top of the repository, and what it holds.

        Returns
        -------
        str
            Hash of the new commit.
        """
        with _index() as index:
            file = Path(index["GIT_INDEX_FILE"]).with_name("file")
            file.write_text(content)
            blob = self._git("hash-object", "-w", str(file), **self._writes)
            changed = f"100644,{blob},{path}"
            self._git("read-tree", parent, **index)
            self._git("update-index", "--cacheinfo", changed, **index, **self._writes)
            tree = self._git("write-tree", **index, **self._writes)
        return self._wrap(tree, parent)

    def export(self, commit: str, folder: Path) -> Path:
        """Write the files of a commit to a folder of their own, unless they are there as they were.

        Parameters
        ----------
        commit : str
            Its hash.
        folder : Path
            Where the folder is made.

        Returns
        -------
        Path
            The files.
        """
        target = folder / commit
        if target.exists() and not self._is_whole(target):
            shutil.rmtree(target)
        if not target.exists():
            folder.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryDirectory(dir=folder) as aside:
                made = Path(aside) / commit
                (made / "files").mkdir(parents=True)
                # Unlike git archive it leaves out nothing that is not meant for a release.
                self._git("read-tree", commit, **_written(made))
                self._git("checkout-index", "--all", "--index", **_written(made))
                made.rename(target)
        target.touch()
        return target / "files"

    def publish(self, name: str, commit: str) -> Path:
        """Return a repository that a commit can be cloned from: it has a branch there."""
        if self._writes:
            # By this file git knows where history ends; its clone takes what branches lead to.
            (self._kept / "shallow").unlink(missing_ok=True)
            if self._shallow.exists():
                shutil.copyfile(self._shallow, self._kept / "shallow")
            options = ("--quiet", "--prune")
            _git(self._kept, "fetch", *options, self._source, "+refs/*:refs/*")
        _git(self._kept, "update-ref", f"refs/heads/gate-{name}", commit)
        return self._kept

    def _is_whole(self, target: Path) -> bool:
        with contextlib.suppress(GitError):
            self._git("diff-files", "--quiet", **_written(target))
            return (target / "index").exists()
        return False

    def _is_ignored(self, path: str) -> bool:
        try:
            is_link = self.top is not None and (self.top / path).is_symlink()
            self._git("check-ignore", "--quiet", path if is_link else f"{path}/file")
        except GitError:
            return False
        return True

    def _announce_untracked(self, excluded: list[str]) -> None:
        assert self.top is not None
        listed = ("ls-files", "--others", "--exclude-standard", "-z", "--", ".", *excluded)
        sizes: dict[str, int] = {}
        for name in filter(None, self._git(*listed).split("\0")):
            with contextlib.suppress(OSError):
                sizes[name] = (self.top / name).lstat().st_size
        if (total := sum(sizes.values())) >= LARGE_BYTES:
            largest = max(sizes, key=sizes.__getitem__)
            _LOG.warning(
                "%d MB that git neither tracks nor ignores are copied, %s among them; "
                "what .gitignore names is not",
                total / 1e6,
                largest,
            )

    def _wrap(self, tree: str, parent: str) -> str:
        """Commit a tree with nothing in it that depends on who does it, or when."""
        date = self._git("show", "--no-patch", "--format=%cI", parent)
        someone = {
            f"GIT_{role}_{field}": value
            for role in ("AUTHOR", "COMMITTER")
            for field, value in (("NAME", "gate"), ("EMAIL", "gate@localhost"), ("DATE", date))
        }
        message = ("-p", parent, "-m", WORKING_TREE)
        return self._git("commit-tree", tree, *message, **someone, **self._writes)

    def _git(self, *arguments: str, **variables: str) -> str:
        return _git(self._folder, *arguments, **{**self._reads, **variables})


def _name(address: str) -> str:
    return address.rstrip("/").removesuffix(".git").replace(":", "/").rpartition("/")[2]


def _up_to_a_link(top: Path, path: str) -> str:
    parents = [*reversed(Path(path).parents), Path(path)]
    return str(next((parent for parent in parents if (top / parent).is_symlink()), path))


def _refs(*kinds: str) -> list[str]:
    return [f"+refs/{kind}/*:refs/{kind}/*" for kind in kinds]


def _is_bare(folder: Path) -> bool:
    return (folder / "objects").is_dir() and (folder / "HEAD").is_file()


@contextlib.contextmanager
def _index() -> Iterator[dict[str, str]]:
    """An index of our own, empty."""
    with tempfile.TemporaryDirectory() as folder:
        yield {"GIT_INDEX_FILE": str(Path(folder) / "index")}


def _written(target: Path) -> dict[str, str]:
    """Index and files of what was exported."""
    return {"GIT_INDEX_FILE": str(target / "index"), "GIT_WORK_TREE": str(target / "files")}


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
