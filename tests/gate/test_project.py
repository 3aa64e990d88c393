"""Which repository is compared, which benchmarks are run, and where all of it is kept."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from xent_numba.gate import GateError, gate
from xent_numba.gate import project as projects
from xent_numba.gate.project import Project

SPAWNS = """
import multiprocessing
import subprocess
import sys

import tiny


def answer(queue):
    queue.put(tiny.count())


def track_count():
    return tiny.count()


def track_spawned():
    context = multiprocessing.get_context("spawn")
    queue = context.Queue()
    process = context.Process(target=answer, args=(queue,))
    process.start()
    found = queue.get(timeout=60)
    process.join()
    return found


def track_by_name():
    code = "import tiny; print(tiny.count())"
    return int(subprocess.run(["python", "-c", code], capture_output=True, check=True).stdout)
"""


def moved(tiny, folder, **changed):
    """The configuration and the benchmarks in a folder of their own, under git or not."""
    folder.mkdir(parents=True)
    (tiny.folder / "benchmarks").rename(folder / "benchmarks")
    configuration = json.loads((tiny.folder / "asv.conf.json").read_text()) | changed
    (tiny.folder / "asv.conf.json").unlink()
    (folder / "asv.conf.json").write_text(json.dumps(configuration))


def counted(path, baseline, candidate=None, *patterns):
    request = gate.Request(baseline, candidate, True, patterns, python=sys.executable)
    found = gate.run(Project(path), request)
    return {value.benchmark: (value.baseline, value.candidate) for value in found.values}


@pytest.mark.slow
def test_the_configuration_may_be_in_a_subfolder(tiny):
    moved(tiny, tiny.folder / "asv", repo="..")
    tiny.commit()
    tiny.edit("return 3", "return 4")
    assert counted(tiny.folder / "asv", "HEAD")["all.track_count"] == (3, 4)
    assert counted(tiny.folder / "asv" / "asv.conf.json", "HEAD")["all.track_count"] == (3, 4)


@pytest.mark.parametrize("layout", ["lib", "lib/src"])
def test_the_package_may_be_in_a_subfolder(tiny, layout):
    (tiny.folder / layout).mkdir(parents=True)
    tiny.package.rename(tiny.folder / layout / "tiny.py")
    tiny.package = tiny.folder / layout / "tiny.py"
    moved(tiny, tiny.folder / "asv", repo="..", repo_subdir="lib")
    tiny.commit()
    tiny.edit("return 3", "return 4")
    assert counted(tiny.folder / "asv", "HEAD")["all.track_count"] == (3, 4)


def test_what_a_benchmark_starts_has_the_sources_too(tiny):
    tiny.benchmarks.write_text(SPAWNS)
    tiny.commit()
    tiny.edit("return 3", "return 4")
    found = counted(tiny.folder, "HEAD")
    assert found == dict.fromkeys(
        ("all.track_count", "all.track_spawned", "all.track_by_name"), (3, 4)
    )


def test_what_is_first_tried_need_not_import_the_sources(tiny):
    (tiny.folder / "benchmarks" / "a.py").write_text("def track_one():\n    return 1\n")
    tiny.commit()
    tiny.edit("return 3", "return 4")
    assert counted(tiny.folder, "HEAD")["all.track_count"] == (3, 4)


@pytest.mark.parametrize(
    "address",
    ["file", *(pytest.param(kind, marks=pytest.mark.slow) for kind in ("folder", "bare"))],
)
def test_benchmarks_may_have_a_repository_of_their_own(tiny, tmp_path_factory, address):
    """What is compared are revisions of the repository that the configuration names."""
    bare = tmp_path_factory.mktemp("bare") / "tiny.git"
    apart = tmp_path_factory.mktemp("apart") / "tiny-benchmarks"
    named = {"folder": str(tiny.folder), "bare": str(bare), "file": f"file://{bare}"}[address]
    moved(tiny, apart, repo=named, benchmark_dir="benchmarks")
    tiny.commit()
    tiny.edit("return 3", "return 4")
    tiny.commit()
    tiny.git("clone", "--quiet", "--bare", ".", str(bare))
    assert counted(apart, "main~1", "main")["all.track_count"] == (3, 4)
    tiny.edit("return 4", "return 5")
    if address == "folder":
        assert counted(apart, "main")["all.track_count"] == (4, 5)
    else:
        with pytest.raises(GateError, match="has no working tree; accepted is a revision as CAND"):
            counted(apart, "main")
    # What is pushed later is found.
    tiny.commit()
    tiny.git("push", "--quiet", str(bare), "main")
    assert counted(apart, "main~1", "main")["all.track_count"] == (4, 5)


def test_an_address_of_this_very_project_is_its_checkout(tiny):
    configuration = json.loads((tiny.folder / "asv.conf.json").read_text())
    configuration["repo"] = "https://localhost/upstream/tiny.git"
    (tiny.folder / "asv.conf.json").write_text(json.dumps(configuration))
    tiny.git("remote", "add", "origin", "git@localhost:a-fork/tiny.git")
    tiny.commit()
    tiny.edit("return 3", "return 4")
    assert counted(tiny.folder, "HEAD")["all.track_count"] == (3, 4)


@pytest.mark.parametrize("fault", ["dangling", "a file"])
def test_where_nothing_can_be_kept_beside_the_project_the_users_cache_is_taken(
    tiny, tmp_path_factory, monkeypatch, caplog, fault
):
    cache = tmp_path_factory.mktemp("cache")
    monkeypatch.setenv("XDG_CACHE_HOME", str(cache))
    if fault == "dangling":
        (tiny.folder / ".asv").symlink_to(tiny.folder / "nowhere")
    else:
        (tiny.folder / ".asv").write_text("")
    tiny.edit("return 3", "return 4")
    assert counted(tiny.folder, "HEAD")["all.track_count"] == (3, 4)
    assert any("cannot be used" in said for said in caplog.messages)
    assert Project(tiny.folder).cache.is_relative_to(cache)


def test_a_dirty_shallow_clone_can_be_cloned_for_a_build(tiny, tmp_path_factory):
    """As actions/checkout leaves it; git copies of a shallow repository what branches lead to."""
    shallow, built = (tmp_path_factory.mktemp("clones") / name for name in ("shallow", "built"))
    tiny.edit("width = 256", "width = 512")
    tiny.commit()
    tiny.git("clone", "--quiet", "--depth=1", f"file://{tiny.folder}", str(shallow))
    subprocess.run(["git", "-C", str(shallow), "tag", "v1"], check=True)
    (shallow / "tiny.py").write_text("changed = True\n")
    project = Project(shallow)
    commit = project.resolve(None).commit
    published = project.repository.publish("candidate", commit)
    # As asv does it.
    for command in (
        ["git", "clone", "--quiet", "--shared", "--recursive", str(published), str(built)],
        ["git", "-C", str(built), "checkout", "--quiet", "-f", commit],
    ):
        subprocess.run(command, check=True)
    assert (built / "tiny.py").read_text() == "changed = True\n"
    # Where history ends is known, or whatever asks for a version would fail.
    git = ["git", "-C", str(built)]
    history = subprocess.check_output([*git, "log", "--format=%s"], text=True)
    assert history.splitlines() == ["the working tree", "some change"]
    assert subprocess.check_output([*git, "describe", "--tags"], text=True).startswith("v1-1-")


def test_a_built_side_runs_the_programs_of_its_environment_by_name(tiny, monkeypatch):
    python = "/of/its/environment/bin/python"
    monkeypatch.setattr(projects.environments, "build", lambda *arguments: (python, {}))
    project = Project(tiny.folder)
    side = project.side("baseline", project.resolve("HEAD"), None)
    assert side.variables["PATH"].split(os.pathsep)[0] == str(Path(python).parent)


def test_nothing_compiled_is_shared(tiny):
    project = Project(tiny.folder)
    tiny.edit("return 3", "return 4")
    folders = [
        project.side(name, project.resolve(revision), sys.executable).variables["NUMBA_CACHE_DIR"]
        for name, revision in (("baseline", "HEAD"), ("candidate", "HEAD"), ("candidate", None))
    ]
    assert len(set(folders)) == 3


def test_what_is_long_unused_is_removed(tiny, monkeypatch):
    monkeypatch.setattr(projects, "KEPT", 2)
    project = Project(tiny.folder)
    made = []
    for number in range(3):
        (tiny.folder / "change").write_text(str(number))
        commit = tiny.commit()
        made.append(
            project.side("baseline", project.resolve(commit), sys.executable).sources.parent
        )
        os.utime(made[-1], (number, number))
    project.side("baseline", project.resolve(made[1].name), sys.executable)
    assert [path.exists() for path in made] == [False, True, True]
    project.side("baseline", project.resolve(made[0].name), sys.executable)
    assert [path.exists() for path in made] == [True, True, False]
