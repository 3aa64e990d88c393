"""The action for other projects: its scripts, run as GitHub does, with a gate that notes calls."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

yaml = pytest.importorskip("yaml")

ROOT = Path(__file__).parents[2]
STEPS = yaml.safe_load((ROOT / "action.yml").read_text())["runs"]["steps"]

NOTES = """#!/usr/bin/env bash
echo "$(basename "$0") $*" >> "$CALLS"
if [ "$1" = gate ]; then echo "| a table |" > "${@: -1}"; exit "${STATUS:-0}"; fi
if [ "$1" = -m ]; then mkdir -p "$3/bin"; cp "$0" "$3/bin/pip"; cp "$0" "$3/bin/xent-numba"; fi
"""

pytestmark = pytest.mark.skipif(shutil.which("bash") is None, reason="bash is not installed")


def git(folder, *arguments):
    someone = ("-c", "user.name=x", "-c", "user.email=x@localhost")
    done = subprocess.run(
        ["git", *someone, *arguments], cwd=folder, check=True, capture_output=True, text=True
    )
    return done.stdout.strip()


@pytest.fixture
def checkout(tmp_path):
    folder = tmp_path / "checkout"
    folder.mkdir()
    git(folder, "init", "--quiet")
    for number in range(3):
        git(folder, "commit", "--quiet", "--allow-empty", "--message", str(number))
    for tool in ("python3", "gh"):
        (tmp_path / tool).write_text(NOTES)
        (tmp_path / tool).chmod(0o755)
    return folder


def carry_out(folder, step, **variables):
    above = folder.parent
    environment = {
        **os.environ,
        "PATH": f"{above}{os.pathsep}{os.environ['PATH']}",
        "CALLS": str(above / "calls"),
        "RUNNER_TEMP": str(above / "temporary of it"),
        "PYTHON": "python3",
        "HERE": "/of the action",
        "ARGUMENTS": "--exact --bench a|b",
        **variables,
    }
    (above / "temporary of it").mkdir(exist_ok=True)
    return subprocess.run(
        ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", STEPS[step]["run"]],
        cwd=folder,
        env=environment,
        check=False,
        capture_output=True,
        text=True,
    ).returncode


@pytest.mark.parametrize(
    ("event", "before", "given", "baseline"),
    [
        ("pull_request", "", "", "HEAD^1"),
        ("push", "HEAD~2", "", "HEAD~2"),
        ("push", "0" * 40, "", "HEAD^1"),
        ("push", "HEAD~2", "v1", "v1"),
    ],
)
def test_the_baseline_is_what_the_event_says(checkout, event, before, given, baseline):
    before = git(checkout, "rev-parse", before) if before.startswith("HEAD") else before
    variables = {"GITHUB_EVENT_NAME": event, "BEFORE": before, "BASELINE": given, "STATUS": "1"}
    assert carry_out(checkout, 0) == 0
    assert carry_out(checkout, 1, **variables) == 1
    made, installed, judged = (checkout.parent / "calls").read_text().splitlines()
    assert made.startswith("python3 -m venv ")
    assert installed == "pip install --quiet /of the action[gate]"
    wanted = git(checkout, "rev-parse", baseline) if "~" in baseline else baseline
    assert judged.startswith(f"xent-numba gate {wanted} HEAD --exact --bench a|b --markdown ")


def test_a_table_is_posted_and_none_is_not(checkout):
    variables = {"NUMBER": "7", "GH_TOKEN": "", "GH_REPO": "a/b"}
    assert carry_out(checkout, 2, **variables) == 0
    assert not (checkout.parent / "calls").exists()
    (checkout.parent / "temporary of it" / "gate.md").write_text("| a table |")
    assert carry_out(checkout, 2, **variables) == 0
    assert (checkout.parent / "calls").read_text().startswith("gh pr comment 7 --body-file ")


def test_nothing_of_a_pull_request_is_put_into_a_script():
    assert not any("${{" in step["run"] for step in STEPS)
