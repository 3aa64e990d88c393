"""What the README says is so: its commands, its example, and the results it shows."""

from __future__ import annotations

import importlib
import re
import shlex
from pathlib import Path

import numpy as np
import pytest

from xent_numba import cli, registry
from xent_numba.results import store

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()


def section(title):
    return re.search(rf"^## {title}\n(.*?)(?=^## )", README, re.S | re.M)[1]


def test_quickstart_is_two_commands():
    commands = re.findall(r"^```\n(.*?)^```", section("Quickstart"), re.S | re.M)
    assert [command.count("\n") for command in commands] == [1, 1]
    assert commands[0].rstrip().endswith("xent-numba compare --workload flights")
    assert commands[1].rstrip().endswith("-m pytest -n auto --dist loadfile")


def test_example_runs():
    (code,) = re.findall(r"^```python\n(.*?)^```", section("Use the functions"), re.S | re.M)
    names = {}
    exec(code, names)
    assert names["loss"] == pytest.approx(0.1269 + 0.3133 + 0.4741, abs=1e-3)
    assert names["gradient"].dtype == np.float32


@pytest.mark.parametrize(
    ("tool", "report", "kind"),
    [
        ("measure_fit", "logistic_regression", "FITS"),
        ("cross_check", "cross_check", "CROSS_CHECK"),
        ("measure_crossover", "crossover", "CROSSOVER"),
    ],
)
def test_pages_of_tools_are_those_of_their_runs(tool, report, kind):
    script = importlib.import_module(f"tools.{tool}")
    kept = store.read(ROOT / "reports" / f"{report}.json", getattr(script, kind))
    page = (ROOT / "reports" / f"{report}.md").read_text()
    assert script.page(kept.provenance, kept.content) == page


def test_commands_are_accepted(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    # What the reader has by then: a run, a file of one's own, and one in the package.
    Path("run.json").touch()
    Path("path/to").mkdir(parents=True)
    Path("path/to/mine.py").touch()
    Path("examples").symlink_to(ROOT / "examples")
    known = (*registry.names(), "yours")
    monkeypatch.setattr(registry, "names", lambda: known)
    pages = (
        *(ROOT / name for name in ("README.md", "CONTRIBUTING.md", ".ci/run")),
        *ROOT.glob("docs/**/*.md"),
        *ROOT.glob(".github/workflows/*.yml"),
    )
    texts = (page.read_text() for page in pages if "_build" not in page.parts)
    found = {c for text in texts for c in re.findall(r"xent-numba ([a-z]+(?: [^\s`#&)]+)+)", text)}
    commands = [shlex.split(command.strip('" ')) for command in found]
    named = {"accuracy", "compare", "gate", "history", "info", "report"}
    assert {name for name, *_ in commands} == named
    for command in commands:
        cli.parser(command).parse_args(command)


def test_links_lead_somewhere():
    for page in (ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))):
        for target in re.findall(r"\]\((?!http)([^)#]+)", page.read_text()):
            assert (page.parent / target).exists(), f"{page.name} links to {target}"
