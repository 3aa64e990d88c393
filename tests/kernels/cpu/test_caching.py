"""Compiled code on disk: used again, but never for what it is not, and never in the way."""

from __future__ import annotations

import os
import pickle
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import NamedTuple

import pytest

import xent_numba

CALL = """
import numpy as np, xent_numba
from xent_numba.implementations.numba_parallel import _sigmoid
few, many = (xent_numba.sigmoid(np.zeros(n))[0] for n in (1, 2000))
assert few == many
print(many, sum(_sigmoid.stats.cache_hits.values()))
"""

KERNEL = """
from xent_numba.kernels.cpu.caching import kernel

@kernel("raised")
def raised(x):
    return x + 1

def call(x=0.5):
    print(raised(x), sum(raised.stats.cache_hits.values()))
"""
"""A module with a kernel that takes little time to compile."""


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


class Outcome(NamedTuple):
    value: float
    hits: int
    warnings: int


def call(folder, cache, code="import small; small.call()", status=0, **environment):
    """Run code in a process of its own; what it printed, and how often it warned of the cache."""
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=folder,  # the first entry of sys.path
        env={**os.environ, "NUMBA_CACHE_DIR": str(cache), **environment},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == status, done.stderr
    if status:
        return None
    value, hits = done.stdout.split()
    return Outcome(float(value), int(hits), done.stderr.count("RuntimeWarning"))


@pytest.fixture
def copy(tmp_path):
    """A copy of the package that can be edited."""
    source = Path(xent_numba.__file__).parent
    ignored = shutil.ignore_patterns("__pycache__")
    shutil.copytree(source, tmp_path / "copy" / "xent_numba", ignore=ignored)
    return tmp_path / "copy"


@pytest.fixture
def small(tmp_path):
    """A folder with the module `small`, which calls its kernel."""
    folder = tmp_path / "small"
    folder.mkdir()
    (folder / "small.py").write_text(KERNEL)
    return folder


@pytest.fixture
def cache(tmp_path):
    return tmp_path / "cache"


@pytest.fixture
def kept(small, cache):
    """The file in which the code of the small kernel is kept for a float."""
    assert call(small, cache) == (1.5, 0, 0)
    (path,) = cache.rglob("*.nbc")
    return path


def edit(path, before, after):
    text = path.read_text()
    assert before in text
    path.write_text(text.replace(before, after))


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


def empty(path):
    path.write_bytes(b"")


def truncate(path):
    path.write_bytes(path.read_bytes()[:-1])


def flip_a_bit(path, place=0.5):
    content = bytearray(path.read_bytes())
    content[int(place * len(content))] ^= 1
    path.write_bytes(content)


def flip_an_early_bit(path):
    flip_a_bit(path, 0)


def flip_a_bit_of_the_key(path):
    flip_a_bit(path, 0.02)


def be_unreadable(path):
    """As another user's of mode 600 is; to root nothing is, but a folder."""
    path.unlink()
    path.mkdir()
    (path / "file").touch()


FAULTS = [empty, truncate, flip_an_early_bit, flip_a_bit_of_the_key, flip_a_bit, be_unreadable]


@pytest.mark.slow
@pytest.mark.parametrize("fault", FAULTS)
def test_what_is_wrong_with_a_file_costs_a_compilation_and_a_warning(fault, small, cache, kept):
    fault(kept)
    value, hits, warnings = call(small, cache)
    assert (value, hits) == (1.5, 0)
    if fault is be_unreadable:  # and so cannot be replaced: that is a second warning
        assert warnings == 2
    else:
        assert warnings == 1
        assert call(small, cache) == (1.5, 1, 0)


def test_a_file_under_the_name_of_another_is_not_used(small, cache, kept):
    call(small, cache, "import small; print(small.raised(1j).real, 0)")
    (second,) = set(cache.rglob("*.nbc")) - {kept}
    shutil.copy(second, kept)
    assert call(small, cache) == (1.5, 0, 1)


class Trap:
    def __reduce__(self):
        return os._exit, (77,)


def test_nothing_is_unpickled_that_was_not_written_as_it_is(small, cache, kept):
    content = kept.read_bytes()
    trap = pickle.dumps(Trap())
    for planted in (trap, content[:40] + trap, content[: -len(trap)] + trap):
        kept.write_bytes(planted)
        assert call(small, cache) == (1.5, 0, 1)


KILLED = """
import os, sys
import xent_numba.kernels.cpu.caching
left = {moment}
def hook(event, arguments):
    global left
    if event in ("open", "os.rename", "os.chmod", "os.remove") and {cache!r} in str(arguments):
        left -= 1
        if left < 0:
            os._exit(9)
sys.addaudithook(hook)
import small
small.call()
"""


@pytest.mark.slow
def test_a_run_that_is_killed_while_it_writes_leaves_nothing_wrong(small, cache, kept):
    """Before each thing that it does to the folder, with the code from before an edit there."""
    edit(small / "small.py", "x + 1", "x + 2")
    moment = 0
    while True:
        code = KILLED.format(moment=moment, cache=str(cache))
        before = {path: path.read_bytes() for path in cache.rglob("*.nbc")}
        done = subprocess.run(
            [sys.executable, "-c", code],
            cwd=small,
            env={**os.environ, "NUMBA_CACHE_DIR": str(cache)},
            check=False,
            timeout=300,
            stdout=subprocess.DEVNULL,
        )
        if done.returncode == 0:
            break
        assert done.returncode == 9
        after = {path: path.read_bytes() for path in cache.rglob("*.nbc")}
        # The new code is there or not; that it is whole is seen by the runs that follow.
        assert before.items() <= after.items()
        assert len(after) - len(before) <= 1
        moment += 1
    assert moment >= 4
    assert call(small, cache) == (2.5, 1, 0)


FULL = """
import resource, small
resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
small.call()
"""


@pytest.mark.skipif(sys.platform == "win32", reason="needs a limit on the size of files")
def test_a_full_disk_costs_a_warning_and_leaves_no_file(small, cache):
    assert call(small, cache, FULL) == (1.5, 0, 1)
    assert [path for path in cache.rglob("*") if path.is_file()] == []
    assert call(small, cache) == (1.5, 0, 0)
    assert call(small, cache, FULL) == (1.5, 1, 0)


def test_a_folder_that_is_gone_after_the_import_costs_a_warning(small, cache, kept):
    code = f"""
import shutil, small
small.raised(0.5)
shutil.rmtree({str(cache)!r})
small.raised(1j)
small.call(0.5)
"""
    assert call(small, cache, code) == (1.5, 1, 1)


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
