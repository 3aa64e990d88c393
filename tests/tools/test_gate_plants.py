"""What is planted uses names that are there, and changes what the kernels compute or cost."""

from __future__ import annotations

import importlib
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "tools"))

import gate_plants  # noqa: E402

COMPUTE = """
import importlib, sys
sys.path.insert(0, sys.argv[1])
import numpy as np
from xent_numba.kernels.cpu import passes
scores = np.linspace(-90, 90, 512, dtype=np.float32)
out, work = np.empty_like(scores), np.empty(2 * scores.size, np.float32)
passes.sigmoids(scores, out, work)
print(out.tobytes().hex())
"""


@pytest.mark.parametrize("kind", gate_plants.PLANTS)
def test_a_plant_uses_names_that_are_there(kind):
    path, addition = gate_plants.PLANTS[kind]
    module = importlib.import_module(path.removesuffix(".py").replace("/", "."))
    before = dict(vars(module))
    namespace = dict(before)
    exec(compile(addition, path, "exec"), namespace)
    replaced = [name for name in before if namespace[name] is not before[name]]
    assert len([name for name in replaced if name != "__builtins__"]) == 1


def computed(folder):
    """The bits of some sigmoids, of the kernels in a commit's files."""
    done = subprocess.run(
        [sys.executable, "-c", COMPUTE, str(folder)], capture_output=True, text=True, cwd=folder
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.slow
def test_planted_commits_differ_in_one_file_and_compute_otherwise(tmp_path, monkeypatch):
    """One that changes results, and one that repeats work and so does not."""
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(tmp_path / "cache"))
    found = {}
    for kind in ("", "exp without its low part", "10 %"):
        folder = tmp_path / (kind or "head").replace(" ", "_")
        shutil.copytree(ROOT / "xent_numba", folder / "xent_numba")
        if kind:
            path, addition = gate_plants.PLANTS[kind]
            with (folder / path).open("a") as file:
                file.write(f"\n{addition}")
        found[kind] = computed(folder)
    assert found["10 %"] == found[""]
    assert found["exp without its low part"] != found[""]
