"""Only what a change touches is compared; what nobody can follow is."""

from __future__ import annotations

import math
import sys
import time

import psutil
import pytest

from xent_numba import cli
from xent_numba.gate import gate, touched
from xent_numba.gate.pairs import Limits
from xent_numba.gate.project import Project
from xent_numba.gate.sides import Profile

BENCHMARKS = {
    "first.py": """
import shared


class First:
    params = ([1, 2],)

    def setup(self, times):
        import lazy

        self.lazy = lazy

    def track_lazily(self, times):
        return shared.one() + self.lazy.one()


def track_compiled():
    # Nothing of it is run by Python, as where a kernel is compiled.
    import constants

    return 1
""",
    "second.py": """
import pathlib

import shared


def track_plain():
    try:
        import optional
    except ImportError:
        pass
    return shared.one()


def track_reads():
    return min(1, len(pathlib.Path(shared.__file__).with_name("notes.md").read_text()))


def track_starts():
    import subprocess
    import sys

    return subprocess.run([sys.executable, "-c", ""], check=True).returncode


def track_neither():
    raise NotImplementedError("never")
""",
}
ONE = "def one():\n    return 1\n"
FILES = {
    "shared.py": ONE,
    "lazy.py": ONE,
    "optional.py": ONE,
    "constants.py": "ONE = 1\n",
    "apart.py": ONE,
    "notes.md": "none",
    "table.csv": "1",
    "docs/conf.py": "",
    "setup.py": "",
}
LAZILY = {f"first.First.track_lazily({times})" for times in (1, 2)}
COMPILED, PLAIN, READS, STARTS, NEITHER = (
    "first.track_compiled",
    *(f"second.track_{name}" for name in ("plain", "reads", "starts", "neither")),
)
ALL = {*LAZILY, COMPILED, PLAIN, READS, STARTS, NEITHER}


@pytest.fixture
def modules(tiny):
    """A project of several modules, of which benchmarks load different ones."""
    tiny.benchmarks.unlink()
    for name, text in BENCHMARKS.items():
        (tiny.folder / "benchmarks" / name).write_text(text)
    for name, text in FILES.items():
        (tiny.folder / name).parent.mkdir(exist_ok=True)
        (tiny.folder / name).write_text(text)
    tiny.commit()
    return tiny


def compared(modules, **options):
    request = gate.Request("HEAD", exact=True, touched=True, python=sys.executable, **options)
    found = gate.run(Project(modules.folder), request)
    names = {value.benchmark for value in found.values} | found.left_out.keys()
    assert names.isdisjoint(found.untouched)
    assert names | set(found.untouched) == ALL
    return names, found


@pytest.mark.slow
@pytest.mark.parametrize(
    ("changed", "expected"),
    [
        (["lazy.py"], LAZILY),
        (["shared.py"], ALL),
        (["constants.py", "notes.md"], {COMPILED, READS}),
        (["benchmarks/second.py"], {PLAIN, READS, STARTS, NEITHER}),
        (["apart.py", "docs/conf.py", "docs/page.rst"], set()),
    ],
)
def test_what_loads_or_opens_a_file_that_differs_is_compared(modules, changed, expected):
    for path in changed:
        with (modules.folder / path).open("a") as file:
            file.write("# changed\n")
    names, found = compared(modules)
    assert names == expected | {STARTS}
    # What another process loads, nobody has seen.
    assert found.doubts == {
        STARTS: "; ".join(
            f"{side} starts other processes by subprocess.Popen"
            for side in ("baseline", "candidate")
        )
    }
    assert found.status(strict=False) == 0


@pytest.mark.parametrize("path", ["table.csv", "setup.py", "asv.conf.json", "conftest.py", "f.c"])
def test_what_no_profile_can_tell_has_all_compared(path):
    found = touched.choose(None, ["one", "two"], ["a.py", f"folder/{path}"], lambda *told: None)
    assert found.names == ["one", "two"]
    assert found.doubts == {f"folder/{path}": "no profile says what it touches"}
    assert found.untouched == []


def test_what_only_one_side_loads_counts_and_a_benchmark_that_fails_is_in_doubt(modules):
    for path in ("lazy.py", "optional.py"):
        (modules.folder / path).unlink()
    names, found = compared(modules)
    assert names == {*LAZILY, PLAIN, STARTS}
    assert found.broken == []
    assert found.regressions == sorted(LAZILY)
    assert (
        "candidate could not run: ModuleNotFoundError" in found.doubts["first.First.track_lazily"]
    )


def test_where_nothing_is_touched_nothing_is_timed(modules, capsys):
    (modules.folder / "apart.py").write_text("")
    python = ("--python", sys.executable)
    patterns = ("--bench", "track_(plain|lazily|compiled)", "--exact")
    assert cli.main(["gate", "HEAD", "--touched", *patterns, *python]) == 0
    said = capsys.readouterr().out
    assert "4 benchmarks load and open no file that differs: left out" in said


def test_an_interruption_ends_what_is_profiled(tiny):
    """A benchmark that hangs: it would be waited for, as long as it may take."""
    first = "def track_first():\n    return 1\n\n\n"
    hangs = "def track_hangs():\n    time.sleep(1e3)\n"
    (tiny.folder / "benchmarks" / "other.py").write_text(f"import time\n\n\n{first}{hangs}")
    tiny.commit()
    (tiny.folder / "apart.py").write_text("")

    def interrupt(what, done):
        if what.startswith("profiling"):
            raise KeyboardInterrupt

    patterns = ("track_first", "track_hangs")
    request = gate.Request("HEAD", exact=True, chosen=patterns, python=sys.executable, touched=True)
    started, before = time.monotonic(), psutil.Process().children()
    with pytest.raises(KeyboardInterrupt):
        gate.run(Project(tiny.folder), request, interrupt)
    assert time.monotonic() - started < 40
    assert psutil.Process().children() == before


def test_it_holds_for_what_is_timed(tiny):
    (tiny.folder / "benchmarks" / "other.py").write_text("def time_nothing():\n    pass\n")
    tiny.commit()
    tiny.edit("n * 1e-8", "2 * n * 1e-8")
    limits = Limits(budget=0.06, least=6, least_seconds=math.inf)
    patterns = ("time_work", "time_nothing")
    request = gate.Request(
        "HEAD", None, False, patterns, limits, sys.executable, patience=None, touched=True
    )
    found = gate.run(Project(tiny.folder), request)
    assert found.regressions == ["all.Work.time_work(1)"]
    assert found.untouched == ["other.time_nothing"]


def test_what_was_built_is_known_by_the_names_of_its_files(tmp_path):
    files = {tmp_path / "sources" / "a.py", tmp_path / "environment" / "lib" / "b.py"}
    tops = [tmp_path / "sources"]
    assert Profile.of(files, tops, True, "").loads("src/package/b.py")
    assert not Profile.of(files, tops, False, "").loads("src/package/b.py")
    assert Profile.of(files, tops, False, "").loads("a.py")
    assert not Profile.of(files, tops, False, "").loads("src/a.py")


def test_a_command_has_no_profile(tiny, capsys):
    assert cli.main(["gate", "HEAD", "--command", "true", "--touched"]) == 2
    assert "--command is given with --touched; accepted is either" in capsys.readouterr().err
