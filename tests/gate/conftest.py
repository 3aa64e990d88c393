"""A project of a few lines under git, with asv benchmarks, that needs no building."""

from __future__ import annotations

import json
import subprocess

import pytest

PACKAGE = '''
"""What is measured, by a clock that goes on only as work says: no machine decides a verdict."""

spent = 0.0


def clock():
    return spent


def spend(seconds):
    global spent
    spent += seconds


def work(n=20_000):
    spend(n * 1e-8)


def count():
    return 3


width = 256
'''

BENCHMARKS = """
import time

import tiny

timer = tiny.clock


class Work:
    params = ([1, 2],)
    param_names = ("times",)

    def setup(self, times):
        if times == 2 and not hasattr(tiny, "both"):
            raise NotImplementedError("one is enough")

    def time_work(self, times):
        tiny.work()


def time_other():
    tiny.spend(1e-5)


def time_new():
    tiny.new()


def track_count():
    return tiny.count()


def track_width():
    return tiny.width


def track_seconds():
    return time.perf_counter()


track_count.unit = "calls"
track_width.better = "higher"
track_seconds.unit = "s"
"""


class Tiny:
    """The project, and what can be done to it."""

    def __init__(self, folder):
        self.folder = folder
        self.package = folder / "tiny.py"
        (folder / "benchmarks").mkdir()
        (folder / "benchmarks" / "__init__.py").write_text("")
        self.benchmarks = folder / "benchmarks" / "all.py"
        configuration = {"version": 1, "project": "tiny", "repo": ".", "env_dir": ".asv/env"}
        configuration |= {"environment_type": "virtualenv", "benchmark_dir": "benchmarks"}
        (folder / "asv.conf.json").write_text(json.dumps(configuration))
        (folder / ".gitignore").write_text(".asv\n__pycache__\n")
        self.package.write_text(PACKAGE)
        self.benchmarks.write_text(BENCHMARKS)
        self.git("init", "--quiet", "--initial-branch", "main")
        self.commit()

    def git(self, *arguments):
        someone = ["-c", "user.name=someone", "-c", "user.email=someone@localhost"]
        done = subprocess.run(
            ["git", *someone, *arguments],
            cwd=self.folder,
            check=True,
            capture_output=True,
            text=True,
        )
        return done.stdout.strip()

    def commit(self):
        self.git("add", "--all")
        self.git("commit", "--quiet", "--message", "some change")
        return self.git("rev-parse", "HEAD")

    def edit(self, old, new):
        text = self.package.read_text()
        assert old in text
        self.package.write_text(text.replace(old, new))


@pytest.fixture
def tiny(tmp_path, monkeypatch):
    """The project, with the folder as the current one."""
    monkeypatch.chdir(tmp_path)
    return Tiny(tmp_path)


@pytest.fixture(autouse=True)
def not_on_github(monkeypatch):
    for name in ("GITHUB_ACTIONS", "GITHUB_STEP_SUMMARY"):
        monkeypatch.delenv(name, raising=False)
