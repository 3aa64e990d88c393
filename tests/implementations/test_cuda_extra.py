"""The extra ``cuda`` brings what works together, on every Python that is supported."""

from __future__ import annotations

import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


def test_the_pair_that_works_is_pinned():
    """numba-cuda 0.30.4 asks for numpy.row_stack, which NumPy 2.5 has no longer."""
    extra = PROJECT["optional-dependencies"]["cuda"]
    assert any("numba-cuda" in one and "<0.31" in one for one in extra)
    assert "numpy<2.5" in extra


def test_what_a_first_compilation_imports_is_there(offline):
    code = "import numba.cuda.np.arrayobj, numba.cuda.compiler, cuda.core, cuda.bindings.driver"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


@pytest.mark.soak
@pytest.mark.parametrize("python", ["3.11", "3.12", "3.13", "3.14"])
def test_the_extra_resolves(python, tmp_path):
    """By pip, of wheels alone; asks the package index."""
    wanted = [*PROJECT["dependencies"], *PROJECT["optional-dependencies"]["cuda"]]
    command = [sys.executable, "-m", "pip", "install", "--dry-run", "--ignore-installed", "--quiet"]
    command += ["--only-binary=:all:", "--python-version", python, "--target", str(tmp_path)]
    done = subprocess.run([*command, *wanted], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
