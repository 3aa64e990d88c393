"""What a worker of the gate obeys that runs a pytest-benchmark suite, in one side's environment.

Started by its path, with arguments of pytest as one line, and in the variable `SOURCES` the folder
that it is run in; needs pytest-benchmark and nothing else. A process runs the whole suite once, by
pytest-benchmark's own rounds, and is one observation of each benchmark, as always: the lower
quartile of its rounds. So what takes turns are suites, and not samples.
"""

from __future__ import annotations

import importlib
import importlib.metadata
import json
import os
import shlex
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

SOURCES = "XENT_NUMBA_SOURCES"

LISTS = ("min-rounds=1", "max-time=0.000001", "warmup=off", "calibration-precision=1")
"""Of pytest-benchmark, so that a run takes little more than to list what there is."""


class Commands:
    """The benchmarks of a suite."""

    def __init__(self, line: str) -> None:
        importlib.import_module("pytest_benchmark")
        self.line = line
        self.seconds: dict[str, float] = {}
        self.failed: dict[str, str] = {}

    def discover(self) -> dict[str, Any]:
        """All benchmarks, with those that fail; and why some modules have none."""
        self._run(*(f"--benchmark-{option}" for option in LISTS))
        what = {"kind": "time", "unit": "s", "better": "lower", "timeout": 0.0}
        names = {**self.seconds, **{x: 0.0 for x in self.failed if "::" in x}}
        modules = {_dotted(x): why for x, why in self.failed.items() if "::" not in x}
        found = [{"name": _dotted(x), "place": x, **what} for x in names]
        return {"benchmarks": found, "unimportable": modules}

    def packages(self) -> dict[str, str]:
        """Versions of all that is installed."""
        found = importlib.metadata.distributions()
        return {one.metadata["Name"]: one.version for one in found if one.metadata["Name"]}

    def loaded_from(self, folder: str) -> bool:
        """Whether a module was imported from a folder, and not tests alone."""
        files = (getattr(module, "__file__", None) for module in list(sys.modules.values()))
        tests = {place.partition("::")[0] for place in (*self.seconds, *self.failed)}
        apart = {os.path.realpath(Path(os.environ[SOURCES], path)) for path in tests}
        paths = {os.path.realpath(file) for file in files if file} - apart
        return any(
            path.startswith(os.path.realpath(folder) + os.sep)
            and not path.endswith(f"{os.sep}conftest.py")
            for path in paths
        )

    def open(self, place: str) -> None:
        """Nothing is set up: pytest does it."""

    def sampler(self, place: str) -> tuple[Callable[[int], float], dict[str, Any]]:
        """Return what says how long a benchmark took when the suite ran, which it does once."""

        def sample(number: int) -> float:
            if not (self.seconds or self.failed):
                self._run()
            if place not in self.seconds:
                raise RuntimeError(self.failed.get(place, "it has no result"))
            return number * self.seconds[place]

        return sample, {"goal": 0.0, "number": 1}

    def close(self) -> None:
        """Nothing is torn down."""

    def _run(self, *options: str) -> None:
        import pytest

        os.chdir(os.environ[SOURCES])
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / "found.json"
            given = ("--benchmark-only", f"--benchmark-json={file}", "--rootdir=.", *options)
            # What it caches would be written among the sources.
            given += ("-p", "no:cacheprovider", *shlex.split(self.line))
            if pytest.main([*given], plugins=[self]) == pytest.ExitCode.USAGE_ERROR:
                raise ValueError(f"pytest does not accept {self.line!r}")
            found = json.loads(file.read_text(encoding="utf-8")) if file.exists() else {}
        for one in found.get("benchmarks", ()):
            # A test may fail after it has timed something.
            if one["fullname"] not in self.failed:
                self.seconds[one["fullname"]] = one["stats"]["q1"]

    def pytest_benchmark_generate_machine_info(self) -> dict[str, str]:
        """Nothing, where pytest-benchmark would ask for a second or two."""
        return {"node": "any"}

    def pytest_runtest_logreport(self, report: Any) -> None:
        """Keep why a test failed."""
        if report.failed:
            self.failed[report.nodeid] = _reason(report.longreprtext)

    def pytest_collectreport(self, report: Any) -> None:
        """Keep why a module could not be imported."""
        if report.failed:
            self.failed[report.nodeid] = _reason(report.longreprtext)


def _dotted(node: str) -> str:
    """Name of a benchmark as asv has them: module, class and function, with parameters."""
    path, bracket, parameters = node.partition("[")
    return path.replace(".py", "").replace("::", ".").replace("/", ".") + bracket + parameters


def _reason(text: str) -> str:
    """The first line that pytest marks as the error."""
    lines = [line for line in text.split("\n") if line.startswith("E ")] or text.split("\n")
    return lines[0].removeprefix("E").strip()
