"""Everything that only a GPU can tell, in at most eight minutes: ``python -m tools.gpu_check``.

Each part runs in a process of its own, with a time limit of its own, and writes what it found to
the folder given by ``--output`` when it ends, so that what was measured survives a part that does
not. ``check.json`` names the commit, which ``--commit`` says of a copy without history. In the end
every promise has one line: PASS, MISS with the figure, or not measured.
"""

from __future__ import annotations

import argparse
import json
import math
import operator
import subprocess
import sys
import time
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from tools.cuda_rows import TARGETS, Target
from xent_numba.measurement.comparison import COMPARISON
from xent_numba.results import provenance, store

ROOT = Path(__file__).parent.parent


@dataclass(frozen=True)
class Part:
    """One process.

    Attributes
    ----------
    name : str
        Of its log, and in a promise.
    result : str
        Name of the file that it writes.
    command : tuple of str
        What Python runs; ``{output}`` stands for that file, ``{folder}`` for where it lies, and
        ``{commit}`` for what is measured.
    seconds : int
        After which it is ended.
    quick : bool
        Whether it belongs to the quick check too.
    """

    name: str
    result: str
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
        if not isinstance(value, (int, float)) or math.isnan(value):
            why = found.get(self.part, {}).get("failed", "")
            return f"not measured: {self.text}" + (f" ({why})" if why else "")
        limit = self.most if self.most is not None else self.least
        holds = operator.le if self.most is not None else operator.ge
        sign = "at most" if self.most is not None else "at least"
        said = "PASS" if holds(value, limit) else "MISS"
        return f"{said}: {self.text}: {value:.3g}, {sign} {limit:g}"


TESTS = ("-m", "pytest", "-q", "-p", "no:benchmark", "-p", "no:cacheprovider", "-n", "8")
MEASURES = ("-m", "tools.gpu_parts")
LOGITS = "binary_cross_entropy_with_logits"
ROWS = ("numba_cuda", "torch_compiled_cuda", "torch_eager_cuda", "cupy_fused", "numba_parallel")
COMPARED = ("sigmoid", "logistic_loss", LOGITS, f"{LOGITS}_and_grad")
PARTS = (
    Part("first_call", "first_call.json", (*MEASURES, "first_call", "{output}"), 60),
    Part("host_cost", "host_cost.json", (*MEASURES, "host_cost", "{output}"), 45),
    Part(
        "tests",
        "tests.xml",
        (*TESTS, "-m", "gpu", "tests/implementations", "--junitxml={output}"),
        105,
    ),
    Part(
        "compare",
        "compare.json",
        (
            *("-m", "xent_numba", "compare", "--json", "{output}", "--markdown"),
            *("{folder}/compare.md", "--size", "2^26", "--dtype", "float32", "--workload"),
            *("gaussian", "--baseline", "torch_compiled_cuda"),
            *(word for name in ROWS for word in ("--implementation", name)),
            *(word for name in COMPARED for word in ("--operation", name)),
        ),
        120,
        quick=False,
    ),
    Part(
        "tuning",
        "tuning.json",
        ("-m", "tools.cuda_tuning", "--rounds", "11", "--output", "{folder}", "--commit={commit}"),
        150,
        quick=False,
    ),
)
PROMISES = (
    Promise("tests on the device that fail", "tests", "failed tests", most=0),
    Promise("tests on the device that pass", "tests", "passed tests", least=40),
    Promise("of them, with soft labels", "tests", "passed with soft labels", least=6),
    Promise("seconds of the first call ever", "first_call", "cold", most=3.0),
    Promise("seconds of the first call from a warm disk cache", "first_call", "warm", most=0.3),
    Promise("sigmoid(out=), host time over torch.sigmoid", "host_cost", "sigmoid ratio", most=2.0),
    Promise("loss(out=), host time over torch.sigmoid", "host_cost", "loss ratio", most=2.0),
    Promise("loss as a number, time over torch's .item()", "host_cost", "number ratio", most=1.3),
    *(
        Promise(f"right rows of {name}", "compare", f"right of {name}", least=len(COMPARED))
        for name in ROWS
    ),
    Promise("with logits over torch.compile", "compare", "over torch_compiled_cuda", least=1.0),
    Promise("with logits over torch, eager", "compare", "over torch_eager_cuda", least=4.0),
    *(
        Promise(f"{target.row} over {target.against}", "tuning", target.name, least=target.least)
        for target in TARGETS
    ),
    Promise("minutes of the tuning", "tuning", "minutes", most=4.0),
)


def outcome_of_tests(path: Path) -> dict[str, Any]:
    """Return how many tests of a JUnit file passed, failed and were skipped."""
    from xml.etree import ElementTree

    found = ElementTree.parse(path).getroot()[0]  # noqa: S314 - written by the part itself
    suite = found.attrib
    soft = [one for one in found.iter("testcase") if "soft_labels" in one.attrib["name"]]
    failed = int(suite["failures"]) + int(suite["errors"])
    skipped = int(suite["skipped"])
    return {
        "passed tests": int(suite["tests"]) - failed - skipped,
        "failed tests": failed,
        "skipped tests": skipped,
        "passed with soft labels": sum(not len(one) for one in soft),
    }


def outcome_of_tuning(path: Path) -> dict[str, Any]:
    """Return what each target reached, by its name."""
    report = json.loads(path.read_text())
    return {
        Target(**{key: found[key] for key in ("row", "against", "least", "clock")}).name: (
            found["reached"] if found["verdict"] != "not measured" else None
        )
        for found in report.get("targets", ())
    }


def outcome_of_compare(path: Path) -> dict[str, Any]:
    """Return how many rows of each are right, and how many times as long others take as we do."""
    rows = store.read(path, COMPARISON).content.rows
    found: dict[str, Any] = {
        f"right of {name}": sum(
            row.implementation == name and row.preparation.status == "ok" for row in rows
        )
        for name in ROWS
    }
    seconds = {
        row.implementation: row.seconds.value
        for row in rows
        if row.case.operation == LOGITS and row.seconds
    }
    for name in seconds.keys() & {"torch_compiled_cuda", "torch_eager_cuda"}:
        found[f"over {name}"] = seconds[name] / seconds.get("numba_cuda", math.nan)
    return found


READERS = {
    "tests.xml": outcome_of_tests,
    "tuning.json": outcome_of_tuning,
    "compare.json": outcome_of_compare,
}


def run(part: Part, folder: Path, commit: str = "") -> dict[str, Any]:
    """Run a part to its end, or to that of its time, and return what it found."""
    result = folder / part.result
    words = (word.format(output=result, folder=folder, commit=commit) for word in part.command)
    command = [sys.executable, *words]
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
        read = READERS.get(part.result, lambda path: json.loads(path.read_text()))
        found = read(result)
    if failed:
        found["failed"] = failed
    found["seconds"] = time.perf_counter() - started
    found["minutes"] = math.nan if failed else found["seconds"] / 60
    sys.stderr.write(f"{part.name}: {found['seconds']:.0f} s {failed}\n")
    return found


def made_from(given: str | None, here: tuple[str | None, bool]) -> dict[str, Any]:
    """Return the commit that is measured, the command and the time.

    Parameters
    ----------
    given : str or None
        The commit that the caller names.
    here : tuple of str or None, and bool
        The one that is checked out and whether it is modified, as `provenance.commit` has them.

    Raises
    ------
    ValueError
        Where the tree is a copy without its history and the commit is not given, or is another.
    """
    head, modified = here
    commit = head or given
    if commit is None:
        raise ValueError(
            "--commit is missing, and this tree has no history to take it from; accepted is the "
            "commit that was copied"
        )
    if given is not None and not commit.startswith(given):
        raise ValueError(f"--commit is {given}; accepted is {commit}, which is checked out here")
    return {
        "commit": commit,
        "modified": modified if head else None,
        "command": " ".join(["python -m tools.gpu_check", *sys.argv[1:]]),
        "started": datetime.now(UTC).isoformat(timespec="seconds"),
    }


def main(
    parts: Iterable[Part] = PARTS,
    promises: Iterable[Promise] = PROMISES,
    here: tuple[str | None, bool] | None = None,
) -> int:
    """Run the parts, write the verdicts; 1 if a promise is not kept or not measured."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--output", type=Path, default=Path("reports/gpu"))
    parser.add_argument("--quick", action="store_true", help="leave out what takes minutes")
    parser.add_argument("--commit", help="what is measured, where the tree is a mere copy of it")
    options = parser.parse_args()
    try:
        made_by = made_from(options.commit, here or provenance.commit())
    except ValueError as error:
        parser.error(str(error))
    folder = options.output.resolve()
    folder.mkdir(parents=True, exist_ok=True)
    found: dict[str, dict[str, Any]] = {"provenance": made_by}
    _keep(folder, found)
    for part in parts:
        if part.quick or not options.quick:
            found[part.name] = run(part, folder, made_by["commit"])
            _keep(folder, found)
    verdicts = [promise.verdict(found) for promise in promises]
    (folder / "check.txt").write_text("\n".join(verdicts) + "\n")
    sys.stdout.write("\n".join(verdicts) + "\n")
    return int(not all(verdict.startswith("PASS") for verdict in verdicts))


def _keep(folder: Path, found: dict[str, Any]) -> None:
    (folder / "check.json").write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    sys.exit(main())
