"""What each side runs in."""

from __future__ import annotations

import os
import sys

from xent_numba.gate import environments
from xent_numba.gate.environments import Project


def test_nothing_compiled_is_shared(tiny):
    project = Project(tiny.folder)
    tiny.edit("return 3", "return 4")
    folders = [
        project.side(name, project.resolve(revision), sys.executable).variables["NUMBA_CACHE_DIR"]
        for name, revision in (("baseline", "HEAD"), ("candidate", "HEAD"), ("candidate", None))
    ]
    assert len(set(folders)) == 3


def test_what_is_long_unused_is_removed(tiny, monkeypatch):
    monkeypatch.setattr(environments, "KEPT", 2)
    project = Project(tiny.folder)
    made = []
    for number in range(3):
        (tiny.folder / "change").write_text(str(number))
        commit = tiny.commit()
        made.append(project.side("baseline", project.resolve(commit), sys.executable).sources)
        os.utime(made[-1], (number, number))
    project.side("baseline", project.resolve(made[1].name), sys.executable)
    assert [path.exists() for path in made] == [False, True, True]
    project.side("baseline", project.resolve(made[0].name), sys.executable)
    assert [path.exists() for path in made] == [True, True, False]
