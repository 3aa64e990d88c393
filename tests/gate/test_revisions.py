"""Revisions as trees of files; nothing of the user's repository changes."""

from __future__ import annotations

import subprocess

import pytest

from xent_numba.gate import revisions


def test_a_snapshot_is_the_same_for_the_same_files(tiny):
    head = tiny.git("rev-parse", "HEAD")
    assert revisions.snapshot(tiny.folder, [".asv/env"]) == head
    (tiny.folder / "new.py").write_text("1")
    (tiny.folder / "kept").mkdir()
    (tiny.folder / "kept" / "result.json").write_text("{}")
    first = revisions.snapshot(tiny.folder, ["kept"])
    assert first != head
    (tiny.folder / "kept" / "result.json").write_text("{ }")
    assert revisions.snapshot(tiny.folder, ["kept"]) == first
    assert tiny.git("ls-tree", "--name-only", first, "new.py", "kept") == "new.py"
    (tiny.folder / "new.py").write_text("2")
    assert revisions.snapshot(tiny.folder, ["kept"]) != first
    assert tiny.git("status", "--porcelain") == "?? kept/\n?? new.py"


def test_an_export_is_whole_or_not_there(tiny, monkeypatch):
    (tiny.folder / ".gitattributes").write_text("tiny.py export-ignore\n")
    head = tiny.commit()
    run = subprocess.run

    def interrupted(command, **options):
        found = run(command, **options)
        if "checkout-index" in command:
            raise KeyboardInterrupt
        return found

    with monkeypatch.context() as patch:
        patch.setattr(subprocess, "run", interrupted)
        with pytest.raises(KeyboardInterrupt):
            revisions.export(tiny.folder, head, tiny.folder / ".asv")
    assert list((tiny.folder / ".asv").iterdir()) == []
    found = revisions.export(tiny.folder, head, tiny.folder / ".asv")
    assert (found / "tiny.py").read_text() == tiny.package.read_text()
