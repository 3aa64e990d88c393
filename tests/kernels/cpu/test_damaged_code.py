"""Compiled code on disk that is not what it was: it costs a compilation, and is never run."""

from __future__ import annotations

import os
import pickle
import shutil
import subprocess
import sys

import pytest
from compiling import call, edit


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
