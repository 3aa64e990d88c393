"""A module with a kernel, called in a process of its own that may find compiled code on disk."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import NamedTuple

KERNEL = """
from xent_numba.kernels.cpu.caching import kernel

@kernel("raised")
def raised(x):
    return x + 1

def call(x=0.5):
    print(raised(x), sum(raised.stats.cache_hits.values()))
"""
"""A module with a kernel that takes little time to compile."""


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


def edit(path, before, after):
    text = path.read_text()
    assert before in text
    path.write_text(text.replace(before, after))
