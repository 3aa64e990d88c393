"""The project of three kinds: a slowdown that is planted is that much work, and runs go on."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from pathlib import Path

import numpy as np

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "tools"))

import measure_kinds  # noqa: E402

from xent_numba.results.machine import Machine  # noqa: E402
from xent_numba.results.provenance import Provenance  # noqa: E402


def trial(kind, number, verdict):
    verdicts = {f"all.time_{name}": "SAME" for name in measure_kinds.KINDS}
    return measure_kinds.Trial(kind, number, 30.0, 0, verdicts | {"all.time_plain": verdict})


def test_each_commit_does_as_much_more_as_it_says(tmp_path, monkeypatch):
    commits = measure_kinds.make(tmp_path / "kinds")
    assert commits == measure_kinds.make(tmp_path / "kinds")
    done = {}
    for kind, commit in commits.items():
        code = subprocess.check_output(
            ["git", "-C", str(tmp_path / "kinds"), "show", f"{commit}:work.py"], text=True
        )
        path = tmp_path / f"work_{commit}.py"
        path.write_text(code)
        spec = importlib.util.spec_from_file_location(path.stem, path)
        work = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(work)
        copied = []
        monkeypatch.setattr(np, "copyto", lambda to, what, copied=copied: copied.append(len(what)))
        work.memory()
        work.compute()
        monkeypatch.undo()
        numbers = 1 + int((2 * work.plain()) ** 0.5)
        done[kind] = (sum(copied) / 2e6, numbers / 10_000)
    assert list(done.values()) == [(share, share) for share in (1.0, 1.03, 1.05, 1.1)]


def test_the_table_counts_wrong_verdicts_and_slowdowns_found():
    runs = [
        trial(measure_kinds.AGAINST_ITSELF, n, "FASTER" if n == 0 else "SAME") for n in range(4)
    ]
    runs += [trial("5 %", n, "SLOWER" if n else "FASTER") for n in range(2)]
    provenance = Provenance("x", "", None, False, Machine())
    duets = [trial(measure_kinds.AGAINST_ITSELF, 0, "SAME")]
    page = measure_kinds.markdown({"in turns": (provenance, runs), "at once": (provenance, duets)})
    assert "| in turns | the same commit | plain Python | 4 | 1 | 25.0%" in page
    assert "| in turns | the same commit | a copy | 4 | 0 | 0.0%" in page
    assert "| in turns | 5 % | any of them | 2 | 1 | 50.0%" in page
    assert "| at once | the same commit | any of them | 1 | 0 | 0.0%" in page
