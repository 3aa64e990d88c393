"""Two revisions of any program are timed in the same pairs, without asv."""

from __future__ import annotations

import math
import sys

import pytest

from xent_numba import cli
from xent_numba.gate import GateError, gate
from xent_numba.gate.pairs import Limits
from xent_numba.gate.project import CommandProject

PROGRAM = "import time\n\ntime.sleep(0.02)\n"
LINE = "python program.py"


@pytest.fixture
def program(tiny, monkeypatch, tmp_path_factory):
    """A project that has nothing but a program, and whose cache is not this user's."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
    (tiny.folder / "asv.conf.json").unlink()
    tiny.package = tiny.folder / "program.py"
    tiny.package.write_text(PROGRAM)
    tiny.commit()
    return tiny


def run(program, line=LINE, build="", candidate=None):
    limits = Limits(budget=0.06, least=6, least_seconds=math.inf)
    request = gate.Request("HEAD", candidate, False, (), limits, sys.executable, patience=None)
    return gate.run(CommandProject(program.folder, line, build), request)


@pytest.mark.slow
def test_a_slower_program_is_found_and_nothing_is_left_beside_it(program):
    program.edit("0.02", "0.15")
    found = run(program)
    assert found.regressions == [LINE]
    assert found.timings[0].baseline > 0.02
    assert found.timings[0].candidate > 0.15
    assert program.git("status", "--porcelain") == "M program.py"


def test_a_program_that_fails_on_the_candidate_is_an_error(program):
    program.edit("time.sleep(0.02)", "raise SystemExit('no more')")
    found = run(program)
    assert found.status(strict=False) == 2
    assert "RuntimeError: exit status 1: no more" in found.left_out[LINE]


@pytest.mark.slow
def test_sources_are_built_once_each_in_a_folder_of_their_own(program):
    (program.folder / "build.py").write_text("open('built.py', 'a').write('import program\\n')")
    program.commit()
    program.edit("0.02", "0.01")
    found = run(program, "python built.py", "python build.py")
    assert [t.benchmark for t in found.timings] == ["python built.py"]
    project = CommandProject(program.folder, LINE, "python build.py")
    side = project.side("baseline", project.resolve("HEAD"), sys.executable)
    assert (side.sources / "built.py").read_text() == "import program\n"
    with pytest.raises(GateError, match="--build ends with 3 on the baseline: why"):
        run(program, LINE, "python -c 'print(\"why\"); raise SystemExit(3)'")


def test_it_is_one_or_the_other(tiny, capsys):
    assert cli.main(["gate", "HEAD", "--command", "true", "--exact"]) == 2
    assert "--command is given with --exact; accepted is either" in capsys.readouterr().err
