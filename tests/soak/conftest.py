"""Trials run in processes of their own; what the long ones did is kept in the reports."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from xent_numba.results import files, store, table
from xent_numba.results.provenance import Provenance
from xent_numba.results.table import Table

HERE = Path(__file__).parent
REPORTS = HERE.parents[1] / "reports"


@dataclass(frozen=True)
class Figures:
    """What a trial did, by name."""

    figures: dict[str, float | str | bool]


KIND = store.Kind("reliability", 1, Figures)


def draw(folder: Path) -> None:
    """Write all that is kept as a table."""
    rows = []
    for path in sorted(folder.glob("*.json")):
        kept = store.read(path, KIND)
        figures = ", ".join(f"{name} {_shown(x)}" for name, x in kept.content.figures.items())
        machine = kept.provenance.machine
        when = f"{kept.provenance.started[:10]}, {kept.provenance.revision}, {machine.cpu}"
        rows.append((path.stem, figures, f"{when}, {machine.usable_cpus} CPUs"))
    shown = Table(("trial", "what it did", "when, at which commit, where"), rows, right=())
    text = "Written by `pytest -m soak tests/soak`; `tests/soak/test_trials.py` says what each is."
    page = table.page("Reliability, the long trials", text, table.markdown(shown))
    files.write(folder / "README.md", page)


def _shown(value: float | str | bool) -> str:
    if isinstance(value, bool | str):
        return str(value)
    return f"{value:,.0f}" if value == int(value) else f"{value:.3g}"


@pytest.fixture
def trial() -> Callable[..., dict[str, Any]]:
    """Run a trial with numbers as arguments; the figures that it reports."""

    def run(name: str, *numbers: int, timeout: float, **environment: str) -> dict[str, Any]:
        done = subprocess.run(
            [sys.executable, str(HERE / f"{name}.py"), *map(str, numbers)],
            env={**os.environ, **environment},
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
        )
        if "threading layer can be loaded" in done.stderr:
            pytest.skip("this threading layer is not installed")
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout.splitlines()[-1])

    return run


@pytest.fixture
def keep(request: pytest.FixtureRequest) -> Callable[[str, dict[str, Any]], None]:
    """Keep the figures of a long trial under a name; those of a short one tell nobody anything.

    The module of the test names the folder, and may draw what lies there in a way of its own.
    """
    folder = REPORTS / request.module.REPORT

    def write(name: str, figures: dict[str, Any]) -> None:
        if request.node.get_closest_marker("soak"):
            folder.mkdir(parents=True, exist_ok=True)
            provenance = Provenance.now("pytest -m soak tests/soak")
            store.write(folder / f"{name}.json", KIND, provenance, Figures(figures))
            getattr(request.module, "draw", draw)(folder)

    return write
