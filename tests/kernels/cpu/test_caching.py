"""Cached code is used again, never after an edit, and never missed where it cannot be kept."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import xent_numba

CALL = """
import numpy as np, xent_numba
from xent_numba.implementations.numba_parallel import _sigmoid
few, many = (xent_numba.sigmoid(np.zeros(n))[0] for n in (1, 2000))
print(few, many, sum(_sigmoid[0].stats.cache_hits.values()))
"""


def call(folder, **environment):
    done = subprocess.run(
        [sys.executable, "-c", CALL],
        cwd=folder,  # the first entry of sys.path
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    few, many, hits = done.stdout.split()
    assert few == many
    return float(many), int(hits)


@pytest.fixture
def copy(tmp_path):
    source = Path(xent_numba.__file__).parent
    ignored = shutil.ignore_patterns("__pycache__")
    shutil.copytree(source, tmp_path / "copy" / "xent_numba", ignore=ignored)
    return tmp_path / "copy"


def test_second_process_compiles_nothing_and_an_edited_callee_is_compiled(copy, tmp_path):
    cache = str(tmp_path / "cache")
    assert call(copy, NUMBA_CACHE_DIR=cache) == (0.5, 0)
    assert call(copy, NUMBA_CACHE_DIR=cache) == (0.5, 1)
    losses = copy / "xent_numba" / "kernels" / "cpu" / "losses.py"
    text = losses.read_text()
    edited = text.replace("return k.one - h if mirrored else h", "return k.one")
    assert edited != text
    losses.write_text(edited)
    assert call(copy, NUMBA_CACHE_DIR=cache) == (1.0, 0)


def test_nowhere_to_write(copy, tmp_path):
    """No folder can be made below a file, not even by root."""
    blocker = tmp_path / "file"
    blocker.touch()
    (copy / "xent_numba" / "kernels" / "cpu" / "__pycache__").touch()
    environment = {"HOME": str(blocker), "XDG_CACHE_HOME": str(blocker / "cache")}
    assert call(copy, **environment) == (0.5, 0)
