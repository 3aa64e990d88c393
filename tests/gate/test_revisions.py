"""Revisions as trees of files; nothing of the user's repository changes."""

from __future__ import annotations

import shutil
import subprocess

import pytest

from xent_numba.gate import GateError, revisions
from xent_numba.gate.revisions import Repository


def files(folder):
    return {path.name for path in folder.iterdir()}


def test_a_snapshot_is_the_same_for_the_same_files(tiny):
    head = tiny.git("rev-parse", "HEAD")
    repository = Repository(str(tiny.folder), tiny.folder / ".asv" / "repository")
    assert repository.snapshot([".asv/env"]) == head
    (tiny.folder / "new.py").write_text("1")
    (tiny.folder / "kept").mkdir()
    (tiny.folder / "kept" / "result.json").write_text("{}")
    first = repository.snapshot(["kept"])
    assert first != head
    (tiny.folder / "kept" / "result.json").write_text("{ }")
    assert repository.snapshot(["kept"]) == first
    names = files(repository.export(first, tiny.folder / ".asv" / "sources"))
    assert "new.py" in names
    assert "kept" not in names
    (tiny.folder / "new.py").write_text("2")
    assert repository.snapshot(["kept"]) != first
    # Not even an object is added to what is the user's.
    assert tiny.git("status", "--porcelain") == "?? kept/\n?? new.py"
    with pytest.raises(subprocess.CalledProcessError):
        tiny.git("cat-file", "-e", first)


@pytest.mark.parametrize("ignored", [True, False])
def test_what_is_left_out_may_be_behind_a_link(tiny, tmp_path_factory, ignored):
    """As .asv on a larger disk; git refuses a path beyond a symbolic link."""
    (tiny.folder / "linked").symlink_to(tmp_path_factory.mktemp("disk"))
    (tiny.folder / "linked" / "env").mkdir()
    (tiny.folder / ".gitignore").write_text(".asv\nlinked\n" if ignored else ".asv\n")
    tiny.git("add", ".gitignore")
    tiny.git("commit", "--quiet", "--allow-empty", "--message", "ignored, or not")
    repository = Repository(str(tiny.folder), tiny.folder / ".asv" / "repository")
    assert repository.snapshot(["linked/env"]) == tiny.git("rev-parse", "HEAD")


def test_an_export_is_whole_or_not_there(tiny, monkeypatch):
    (tiny.folder / ".gitattributes").write_text("tiny.py export-ignore\n")
    head = tiny.commit()
    repository = Repository(str(tiny.folder), tiny.folder / ".asv" / "repository")
    run = subprocess.run

    def interrupted(command, **options):
        found = run(command, **options)
        if "checkout-index" in command:
            raise KeyboardInterrupt
        return found

    with monkeypatch.context() as patch:
        patch.setattr(subprocess, "run", interrupted)
        with pytest.raises(KeyboardInterrupt):
            repository.export(head, tiny.folder / ".asv" / "sources")
    assert files(tiny.folder / ".asv" / "sources") == set()
    found = repository.export(head, tiny.folder / ".asv" / "sources")
    assert (found / "tiny.py").read_text() == tiny.package.read_text()


@pytest.mark.parametrize("fault", ["emptied", "edited", "no index"])
def test_sources_that_are_no_longer_as_they_were_are_written_again(tiny, fault):
    """A cleaner of old files leaves folders, and a debugger a changed line."""
    head = tiny.git("rev-parse", "HEAD")
    repository = Repository(str(tiny.folder), tiny.folder / ".asv" / "repository")
    sources = tiny.folder / ".asv" / "sources"
    found = repository.export(head, sources)
    (found / "made.pyc").write_text("")
    assert (repository.export(head, sources) / "made.pyc").exists()
    match fault:
        case "emptied":
            for path in found.iterdir():
                shutil.rmtree(path) if path.is_dir() else path.unlink()
        case "edited":
            (found / "tiny.py").write_text("width = 1\n")
        case "no index":
            (found.parent / "index").unlink()
    found = repository.export(head, sources)
    assert (found / "tiny.py").read_text() == tiny.package.read_text()


def test_what_is_large_and_not_tracked_is_announced(tiny, caplog, monkeypatch):
    monkeypatch.setattr(revisions, "LARGE_BYTES", 2_000_000)
    repository = Repository(str(tiny.folder), tiny.folder / ".asv" / "repository")
    (tiny.folder / "data.bin").write_bytes(bytes(3_000_000))
    (tiny.folder / "kept").mkdir()
    (tiny.folder / "kept" / "more.bin").write_bytes(bytes(4_000_000))
    repository.snapshot(["kept"])
    (said,) = caplog.messages
    assert said == (
        "3 MB that git neither tracks nor ignores are copied, data.bin among them; "
        "what .gitignore names is not"
    )
    (tiny.folder / ".gitignore").write_text(".asv\ndata.bin\n")
    caplog.clear()
    repository.snapshot(["kept"])
    assert not caplog.messages


def test_another_users_repository_is_refused_in_gits_words(tiny, monkeypatch):
    monkeypatch.setenv("GIT_TEST_ASSUME_DIFFERENT_OWNER", "1")
    with pytest.raises(GateError) as error:
        Repository(str(tiny.folder), tiny.folder / ".asv" / "repository")
    assert "git config --global --add safe.directory" in str(error.value)
    assert "no git repository" not in str(error.value)
