"""Everything that only a GPU can tell, in at most eight minutes: ``python -m tools.gpu_check``.

Each part runs in a process of its own, with a time limit of its own, and writes what it found to
the folder given by ``--output`` when it ends, so that what was measured survives a part that does
not. In the end every promise has one line: PASS, MISS with the figure, or not measured.
"""

from __future__ import annotations

import argparse
import json
import operator
import os
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent


@dataclass(frozen=True)
class Part:
    """One process.

    Attributes
    ----------
    name : str
        Of its file of results.
    command : tuple of str
        What Python runs; ``{output}`` stands for the file that it writes.
    seconds : int
        After which it is ended.
    quick : bool
        Whether it belongs to the quick check too.
    """

    name: str
    command: tuple[str, ...]
    seconds: int
    quick: bool = True


@dataclass(frozen=True)
class Promise:
    """What a figure has to be.

    Attributes
    ----------
    text : str
        The promise.
    part, figure : str
        Which part finds the figure out, and what it calls it.
    most : float or None
        The largest that is allowed; else `least` is the smallest.
    least : float or None
        See `most`.
    """

    text: str
    part: str
    figure: str
    most: float | None = None
    least: float | None = None

    def verdict(self, found: dict[str, dict[str, Any]]) -> str:
        """Return PASS, MISS with the figure, or not measured, and the promise."""
        value = found.get(self.part, {}).get(self.figure)
        if not isinstance(value, (int, float)):
            why = found.get(self.part, {}).get("failed", "")
            return f"not measured: {self.text}" + (f" ({why})" if why else "")
        limit = self.most if self.most is not None else self.least
        holds = operator.le if self.most is not None else operator.ge
        sign = "at most" if self.most is not None else "at least"
        said = "PASS" if holds(value, limit) else "MISS"
        return f"{said}: {self.text}: {value:.3g}, {sign} {limit:g}"


TESTS = ("-m", "pytest", "-q", "-p", "no:benchmark", "-p", "no:cacheprovider", "-n", "8")
PARTS = (
    Part("smoke", ("-m", "tools.gpu_parts", "smoke", "{output}"), 60),
    Part("first_call", ("-m", "tools.gpu_parts", "first_call", "{output}"), 60),
    Part("host_cost", ("-m", "tools.gpu_parts", "host_cost", "{output}"), 60),
    Part("tests", (*TESTS, "-m", "gpu", "tests/implementations", "--junitxml={output}"), 150),
)
PROMISES = (
    Promise("tests on the device that fail", "tests", "failed tests", most=0),
    Promise("tests on the device that pass", "tests", "passed tests", least=40),
    Promise("seconds of the first call ever", "first_call", "cold", most=3.0),
    Promise("seconds of the first call from a warm disk cache", "first_call", "warm", most=0.3),
    Promise("sigmoid(out=), host time over torch.sigmoid", "host_cost", "sigmoid ratio", most=2.0),
    Promise("loss(out=), host time over torch.sigmoid", "host_cost", "loss ratio", most=2.0),
    Promise("loss as a number, time over torch's .item()", "host_cost", "number ratio", most=1.3),
)


def outcome_of_tests(path: Path) -> dict[str, Any]:
    """Return how many tests of a JUnit file passed, failed and were skipped."""
    from xml.etree import ElementTree

    suite = ElementTree.parse(path).getroot()[0].attrib  # noqa: S314 - written by the part itself
    failed = int(suite["failures"]) + int(suite["errors"])
    skipped = int(suite["skipped"])
    return {
        "passed tests": int(suite["tests"]) - failed - skipped,
        "failed tests": failed,
        "skipped tests": skipped,
    }


def run(part: Part, folder: Path) -> dict[str, Any]:
    """Run a part to its end, or to that of its time, and return what it found."""
    suffix = "xml" if part.name == "tests" else "json"
    result = folder / f"{part.name}.{suffix}"
    command = [sys.executable, *(word.format(output=result) for word in part.command)]
    started = time.perf_counter()
    sys.stderr.write(f"{part.name} ...\n")
    with (folder / f"{part.name}.log").open("w") as log:
        try:
            code = subprocess.run(
                command, cwd=ROOT, stdout=log, stderr=subprocess.STDOUT, timeout=part.seconds
            ).returncode
            failed = f"ended with {code}" if code else ""
        except subprocess.TimeoutExpired:
            failed = f"took more than {part.seconds} s"
    found: dict[str, Any] = {}
    if result.exists():
        found = outcome_of_tests(result) if suffix == "xml" else json.loads(result.read_text())
    if failed:
        found["failed"] = failed
    found["seconds"] = time.perf_counter() - started
    sys.stderr.write(f"{part.name}: {found['seconds']:.0f} s {failed}\n")
    return found


def main() -> int:
    """Run the parts, write the verdicts; 1 if a promise is not kept or not measured."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--output", type=Path, default=Path("reports/gpu"))
    parser.add_argument("--quick", action="store_true", help="leave out what takes minutes")
    options = parser.parse_args()
    folder = options.output.resolve()
    folder.mkdir(parents=True, exist_ok=True)
    os.environ.setdefault("NUMBA_CUDA_LOW_OCCUPANCY_WARNINGS", "1")
    found = {}
    for part in PARTS:
        if part.quick or not options.quick:
            found[part.name] = run(part, folder)
            (folder / "check.json").write_text(json.dumps(found, indent=1) + "\n")
    verdicts = [promise.verdict(found) for promise in PROMISES]
    (folder / "check.txt").write_text("\n".join(verdicts) + "\n")
    sys.stdout.write("\n".join(verdicts) + "\n")
    return int(not all(verdict.startswith("PASS") for verdict in verdicts))


if __name__ == "__main__":
    sys.exit(main())
