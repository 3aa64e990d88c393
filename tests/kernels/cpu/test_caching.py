"""Compiled code on disk: used again, but never for what it is not, and never in the way."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from compiling import call, edit

import xent_numba

CALL = """
import numpy as np, xent_numba
from xent_numba.implementations.numba_parallel import sigmoid_kernel
few, many = (xent_numba.sigmoid(np.zeros(n))[0] for n in (1, 2000))
assert few == many
print(many, sum(sigmoid_kernel.stats.cache_hits.values()))
"""


CLOSURES = """
from numba import njit
from xent_numba.kernels.cpu.caching import kernel

def constant(value):
    @njit  # twice recursive, which is never inlined whole
    def inner(n):
        return value if n < 2 else inner(n - 1) + inner(n - 2)

    @kernel(f"constant_{value}")
    def outer(n):
        return inner(n)

    return outer

of = {value: constant(value) for value in (1, 2)}

def call(*values):
    digits = "".join(str(of[value](1)) for value in values)
    print(digits, sum(sum(of[value].stats.cache_hits.values()) for value in values))
"""
"""A module with two kernels whose callees have one name, and nothing else alike."""


@pytest.fixture
def copy(tmp_path):
    """A copy of the package that can be edited."""
    source = Path(xent_numba.__file__).parent
    ignored = shutil.ignore_patterns("__pycache__")
    shutil.copytree(source, tmp_path / "copy" / "xent_numba", ignore=ignored)
    return tmp_path / "copy"


@pytest.mark.slow
def test_second_process_compiles_nothing_and_an_edited_callee_is_compiled(copy, cache):
    assert call(copy, cache, CALL) == (0.5, 0, 0)
    assert call(copy, cache, CALL) == (0.5, 1, 0)
    losses = copy / "xent_numba" / "kernels" / "cpu" / "losses.py"
    edit(losses, "return select(mirrored, k.one - h, h)", "return k.one + (h - h)")
    assert call(copy, cache, CALL) == (1.0, 0, 0)


def test_kernels_kept_by_two_processes_are_themselves_in_a_third(small, cache):
    (small / "closures.py").write_text(CLOSURES)
    for terms, value, hits in (("1", 1, 0), ("2", 2, 0), ("1, 2", 12, 2)):
        found = call(small, cache, f"import closures; closures.call({terms})")
        assert found == (value, hits, 0)


LOCKED = pytest.mark.skipif(sys.platform == "win32", reason="files are not locked there")

TOGETHER = """
import pathlib, sys, time
import small
pathlib.Path(sys.argv[1]).touch()
while len(list(pathlib.Path(".").glob("*.ready"))) < 2:
    time.sleep(0.001)
small.call()
"""


def hits_of_two(folder, cache, code, *arguments):
    """How often each of two processes that run code at once, with an argument each, found some."""
    both = [
        subprocess.Popen(
            [sys.executable, "-c", code, argument],
            cwd=folder,
            env={**os.environ, "NUMBA_CACHE_DIR": str(cache)},
            stdout=subprocess.PIPE,
            text=True,
        )
        for argument in arguments
    ]
    return [int(one.communicate(timeout=300)[0].split()[1]) for one in both]


@LOCKED
def test_processes_that_begin_together_compile_once(small, cache):
    """As the workers of a machine do; the second finds what the first has compiled."""
    assert sorted(hits_of_two(small, cache, TOGETHER, "0.ready", "1.ready")) == [0, 1]
    assert [path.suffix for path in cache.rglob("*.*")] == [".nbc"]


WHILE_WRITING = """
import pathlib, sys, time
import small
from xent_numba.results import files
write = files.write
def slow(*args, **kwargs):
    pathlib.Path("writing").touch()
    time.sleep(1)
    write(*args, **kwargs)
files.write = slow
while sys.argv[1] == "second" and not pathlib.Path("writing").exists():
    time.sleep(0.001)
small.call()
"""


@LOCKED
def test_who_comes_while_the_code_is_written_waits_for_it(small, cache):
    assert hits_of_two(small, cache, WHILE_WRITING, "first", "second") == [0, 1]


def test_a_compilation_that_fails_keeps_nobody_waiting(small, cache):
    code = (
        "import small\n"
        "for _ in range(2):\n"
        "    try: small.raised('text')\n"
        "    except Exception as error: assert 'Typing' in type(error).__name__, error\n"
        "small.call()"
    )
    assert call(small, cache, code) == (1.5, 0, 0)


@pytest.mark.slow
def test_from_a_zip_archive_too(copy, cache, tmp_path):
    def archived():
        archive = tmp_path / "archive.zip"
        with zipfile.ZipFile(archive, "w") as file:
            for path in copy.rglob("*.py"):
                file.write(path, path.relative_to(copy))
        return call(tmp_path, cache, f"import sys; sys.path.insert(0, {str(archive)!r})" + CALL)

    assert archived() == (0.5, 0, 0)
    assert archived() == (0.5, 1, 0)
    losses = copy / "xent_numba" / "kernels" / "cpu" / "losses.py"
    edit(losses, "return select(mirrored, k.one - h, h)", "return k.one + (h - h)")
    assert archived() == (1.0, 0, 0)


def test_nowhere_to_write(copy, tmp_path):
    """No folder can be made below a file, not even by root."""
    blocker = tmp_path / "file"
    blocker.touch()
    (copy / "xent_numba" / "kernels" / "cpu" / "__pycache__").touch()
    environment = {"HOME": str(blocker), "XDG_CACHE_HOME": str(blocker / "cache")}
    assert call(copy, blocker / "asked", CALL, **environment) == (0.5, 0, 1)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("setting", "value", "same"),
    [
        ("NUMBA_LOOP_VECTORIZE", "0", False),
        ("NUMBA_OPT", "0", False),
        ("NUMBA_DEBUGINFO", "1", False),
        ("NUMBA_BOUNDSCHECK", "1", False),
        ("NUMBA_CPU_FEATURES", "", False),
        ("NUMBA_NUM_THREADS", "1", True),
        ("NUMBA_THREADING_LAYER", "workqueue", True),
    ],
)
def test_what_decides_the_code_is_in_the_key(setting, value, same, small, cache, kept):
    assert call(small, cache, **{setting: value}) == (1.5, int(same), 0)
    assert call(small, cache) == (1.5, 1, 0)


def test_so_is_the_version_of_python(small, cache, kept):
    another = "import sys; sys.version = sys.version.replace('3.', '3.9', 1); "
    assert call(small, cache, another + "import small; small.call()") == (1.5, 0, 0)


def test_an_edit_after_the_import_is_not_taken_for_what_was_compiled(small, cache):
    after = """
import small
from pathlib import Path
path = Path("small.py")
path.write_text(path.read_text().replace("x + 1", "x + 2"))
small.call()
"""
    assert call(small, cache, after) == (1.5, 0, 0)
    assert call(small, cache) == (2.5, 0, 0)


@pytest.mark.slow
def test_processes_that_compile_at_once_keep_signatures_apart(small, cache):
    code = "import small, numpy as np; small.call(np.{}(1))"
    types = ("int8", "int32", "float32", "float64")
    running = [
        subprocess.Popen(
            [sys.executable, "-c", code.format(name)],
            cwd=small,
            env={**os.environ, "NUMBA_CACHE_DIR": str(cache)},
            stdout=subprocess.DEVNULL,
        )
        for name in types * 2
    ]
    for process in running:
        assert process.wait(120) == 0
    for name in types:
        assert call(small, cache, code.format(name)) == (2, 1, 0)


def test_code_of_long_ago_is_deleted_when_other_is_written(small, cache, kept):
    os.utime(kept, (0, 0))
    edit(small / "small.py", "x + 1", "x + 2")
    assert call(small, cache) == (2.5, 0, 0)
    assert not kept.exists()
    assert len(list(cache.rglob("*.nbc"))) == 1
