"""What the workflows run, as whom, and where."""

from __future__ import annotations

import itertools
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

FOLDER = Path(__file__).parents[2] / ".github" / "workflows"
WORKFLOWS = {path.stem: yaml.safe_load(path.read_text()) for path in FOLDER.glob("*.yml")}
BASH = pytest.mark.skipif(sys.platform == "win32", reason="the scripts are for Linux")

RECORDS = """#!/bin/bash
echo "$(basename "$0") $* in $(git rev-parse HEAD)" >> "$CALLS"
"""
MAKES_AN_ENVIRONMENT = """#!/bin/bash
mkdir -p "$3/bin"
cp "$TOOLS/pip" "$3/bin/pip"
cp "$TOOLS/pip" "$3/bin/xent-numba"
"""
GH = """#!/bin/bash
[[ "$1 $2" != "run download" ]] || cp "$TABLES"/* gate/
"""


def triggers(workflow: dict) -> dict:
    # YAML 1.1 reads the key "on" as true.
    found = workflow[True]
    return found if isinstance(found, dict) else dict.fromkeys(found)


def value(text: str, **contexts: object) -> str:
    """What a text with expressions becomes; only what the workflows use of the language."""

    def look(expression: re.Match[str]) -> str:
        code = expression[1].replace("||", " or ").replace("&&", " and ")
        names = re.sub(r"[a-z_]+(\.[A-Za-z_]+)+", lambda name: f"look({name[0]!r})", code)
        return str(eval(names, {"look": lambda name: contexts.get(name, "")}))

    return re.sub(r"\$\{\{(.*?)\}\}", look, text)


def runners(name: str, **variables: str) -> set[str]:
    named = {f"vars.{key}": text for key, text in variables.items()}
    labels = (str(job["runs-on"]) for job in WORKFLOWS[name]["jobs"].values())
    return {value(label, **named) for label in labels}


@pytest.mark.parametrize("given", [*itertools.product(["", "mine", "yours"], repeat=2)])
def test_a_pull_request_runs_on_no_machine_that_keeps_what_is_published(given):
    variables = dict(zip(("CLOCK_RUNNER", "GATE_RUNNER"), given, strict=True))
    keepers = runners("history", **variables) | runners("release") | {"of the GPU"}
    for name, workflow in WORKFLOWS.items():
        if "pull_request" in triggers(workflow):
            used = runners(name, **variables, GPU_RUNNER="of the GPU")
            # GitHub's own machines are new for each job.
            shared = {label for label in used & keepers if not label.startswith("ubuntu-")}
            assert not shared, name


def runs(job: dict, **contexts: str) -> bool:
    """Whether the condition of a job holds; `vars` are set."""
    names = re.sub(
        r"\b(github|vars)(\.[A-Za-z_]+)+",
        lambda name: repr(contexts.get(name[0], "set")),
        str(job.get("if", "True")),
    )
    return bool(eval(names.replace("||", " or ").replace("&&", " and ")))


@pytest.mark.parametrize("default", ["main", "trunk"])
@pytest.mark.parametrize("name", ["tests", "audit", "gpu"])
def test_a_push_is_to_the_default_branch_whatever_its_name(name, default):
    assert triggers(WORKFLOWS[name])["push"]["branches"] == ["**"]
    for job in WORKFLOWS[name]["jobs"].values():
        for branch in (default, "theirs"):
            contexts = {
                "github.event_name": "push",
                "github.ref_name": branch,
                "github.event.repository.default_branch": default,
            }
            assert runs(job, **contexts) == (branch == default), name
        from_outside = contexts | {"github.event_name": "pull_request"}
        assert runs(job, **from_outside) == (name != "gpu")


def test_no_workflow_names_a_branch():
    for path in FOLDER.glob("*.yml"):
        lines = (line.partition("#")[0] for line in path.read_text().splitlines())
        assert not [line for line in lines if re.search(r"\b(main|master)\b", line)], path.name


def test_nothing_of_a_pull_request_runs_with_rights():
    for name, workflow in WORKFLOWS.items():
        assert workflow["permissions"] == {}, name
        assert "pull_request_target" not in triggers(workflow), name
        if "pull_request" in triggers(workflow):
            for job in workflow["jobs"].values():
                assert job["permissions"] == {"contents": "read"}, name
    for job in WORKFLOWS["history"]["jobs"].values():
        rights = {right for right in job["permissions"].values() if right == "write"}
        runs_code = any("pip" in step.get("run", "") for step in job["steps"])
        assert not (rights and runs_code)


class Repository:
    """A clone in which a pull request is checked out, merged with its base as GitHub does."""

    def __init__(self, folder: Path, changed: str, default: str = "main") -> None:
        self.default = default
        self.folder = folder / "clone"
        self.tools = folder / "tools"
        self.calls = folder / "calls"
        self.temporary = folder / "temporary"
        self.tables = folder / "tables"
        for made in (self.folder, self.tools, self.temporary, self.tables):
            made.mkdir()
        self.git("init", "--quiet", "--initial-branch", default)
        (self.folder / "pyproject.toml").write_text("main")
        self.base = self.commit()
        self.git("remote", "add", "origin", str(self.folder))
        self.git("switch", "--quiet", "--create", "theirs")
        (self.folder / changed).parent.mkdir(exist_ok=True, parents=True)
        (self.folder / changed).write_text("theirs")
        # Python would import these from the folder in which it is started.
        (self.folder / "venv.py").write_text("raise SystemExit('theirs')")
        self.head = self.commit()
        self.git("fetch", "--quiet", "origin")
        self.git("switch", "--quiet", "--detach", default)
        self.git("merge", "--quiet", "--no-ff", "--message", "merge", "theirs")
        for name, text in {"python": MAKES_AN_ENVIRONMENT, "pip": RECORDS, "gh": GH}.items():
            (self.tools / name).write_text(text)
            (self.tools / name).chmod(0o755)

    def git(self, *arguments: str) -> str:
        names = {
            f"GIT_{who}_{what}": "x"
            for who in ("AUTHOR", "COMMITTER")
            for what in ("NAME", "EMAIL")
        }
        environment = {**os.environ, **names, "GIT_CONFIG_GLOBAL": os.devnull}
        return subprocess.run(
            ["git", *arguments], cwd=self.folder, env=environment, check=True, text=True,
            capture_output=True,
        ).stdout.strip()  # fmt: skip

    def commit(self) -> str:
        self.git("add", "--all")
        self.git("commit", "--quiet", "--message", "x")
        return self.git("rev-parse", "HEAD")

    def carry_out(self, name: str, **contexts: str) -> None:
        """Run the scripts of a workflow's only job, each as GitHub does."""
        (job,) = WORKFLOWS[name]["jobs"].values()
        outputs = self.temporary / "outputs"
        for step in job["steps"]:
            if outputs.exists():
                pairs = (line.partition("=") for line in outputs.read_text().splitlines())
                contexts |= {f"steps.baseline.outputs.{key}": text for key, _, text in pairs}
            if "run" not in step:
                continue
            given = {
                "runner.temp": str(self.temporary),
                "github.event.repository.default_branch": self.default,
                **contexts,
            }
            environment = {key: value(text, **given) for key, text in step.get("env", {}).items()}
            done = subprocess.run(
                ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", step["run"]],
                cwd=self.folder,
                env={
                    **os.environ,
                    "PATH": f"{self.tools}{os.pathsep}{os.environ['PATH']}",
                    "CALLS": str(self.calls),
                    "TOOLS": str(self.tools),
                    "TABLES": str(self.tables),
                    "GITHUB_WORKSPACE": str(self.folder),
                    "GITHUB_REF": "refs/pull/7/merge",
                    "GITHUB_OUTPUT": str(outputs),
                    "GITHUB_STEP_SUMMARY": str(self.temporary / "summary"),
                    **environment,
                },
                capture_output=True,
                text=True,
                check=False,
            )
            assert done.returncode == 0, done.stderr


@BASH
@pytest.mark.parametrize("default", ["main", "trunk"])
@pytest.mark.parametrize("name", ["clock-gate", "exact-gate"])
def test_the_base_branch_judges(tmp_path, name, default):
    repository = Repository(tmp_path, "pyproject.toml", default)
    repository.carry_out(name)
    installed, judged = repository.calls.read_text().splitlines()
    assert installed == f"pip install .[bench] in {repository.base}"
    # The judge of the base is started where the merge is checked out.
    assert judged.startswith("xent-numba gate ")
    assert judged.endswith(f" in {repository.git('rev-parse', 'HEAD')}")
    said = repository.temporary / "summary"
    named = (repository.folder / "gate.judge") if name == "clock-gate" else said
    assert repository.base in named.read_text()


@BASH
@pytest.mark.parametrize("default", ["main", "trunk"])
@pytest.mark.parametrize(
    ("changed", "judge", "posted"),
    [
        ("pyproject.toml", "base", True),
        (".github/workflows/clock-gate.yml", "base", False),
        ("pyproject.toml", "head", False),
        ("pyproject.toml", "none", False),
    ],
)
def test_a_comment_names_the_judge_or_has_no_table(tmp_path, changed, judge, posted, default):
    repository = Repository(tmp_path, changed, default)
    commit = getattr(repository, judge, "not a commit $(touch owned)")
    (repository.tables / "gate.md").write_text("| a table |")
    (repository.tables / "gate.judge").write_text(commit)
    repository.carry_out(
        "clock-gate-comment",
        **{"github.event.workflow_run.head_sha": repository.head},
    )
    comment = (repository.folder / "comment.md").read_text()
    assert ("| a table |" in comment) == posted
    assert comment.startswith(f"Judged by the code of {repository.base}." if posted else "No judge")
    assert not (repository.folder / "owned").exists()


def test_known_vulnerabilities_are_looked_for():
    scripts = [
        step.get("run", "") for job in WORKFLOWS["audit"]["jobs"].values() for step in job["steps"]
    ]
    assert any("pip-audit --strict" in script for script in scripts)
    assert {"schedule", "pull_request"} <= set(triggers(WORKFLOWS["audit"]))
    assert "zizmor" in (FOLDER.parents[1] / ".ci" / "run").read_text()
