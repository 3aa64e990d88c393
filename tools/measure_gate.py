"""How often the gate is wrong: ``python tools/measure_gate.py PART...``, into ``reports/gate``.

The parts: ``clock`` compares a commit with itself and with slowdowns planted in it, ``asv`` has
``asv continuous`` judge the same commits, ``exact`` plants what the exact gate is for. Every run is
a line of a journal as soon as it ends: what was interrupted goes on where it was.
A part is of one commit; the tables name each.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gate_plants
from asv.util import load_json
from rich.progress import Progress, TimeElapsedColumn
from scipy.stats import binomtest

from xent_numba.gate import gate, revisions
from xent_numba.gate.decision import MIN_PAIRS
from xent_numba.gate.environments import Project
from xent_numba.gate.pairs import Limits
from xent_numba.results import machine, table
from xent_numba.results.files import write
from xent_numba.results.table import Marked, Table

ROOT = Path(__file__).resolve().parent.parent
REPORTS = ROOT / "reports" / "gate"
BENCH = r"time_sigmoid\('numba_parallel', 'float32'"
# The other, of a thousand samples, takes a way that the plant is not on.
PLANTED = "1000000"
COUNTED = r"Vectors|Accuracy.*'numba_parallel'"
BUDGET_SECONDS = 40.0
THRESHOLD = 0.05
AGAINST_ITSELF = "the same commit"

CLOCK_RUNS = {AGAINST_ITSELF: 40, "5 %": 12}
OTHER_RUNS = {"3 %": 12, "10 %": 12}
ASV_RUNS = {AGAINST_ITSELF: 8, "5 %": 6, "10 %": 6}

BY_HAND = ("one more polynomial term", "a lost error_model", "a float64 literal")
RATES = (
    *("judge", "planted", "runs", "found slower", "share, 95 % interval", "wrong verdicts"),
    *("inconclusive verdicts", "median measured change", "s a run, median"),
)


class Journal:
    """What has been run, kept line by line, for one commit on one machine."""

    def __init__(self, path: Path, header: dict[str, Any]) -> None:
        self.path = path
        self.header = json.loads(json.dumps(header))
        self.runs: list[dict[str, Any]] = []
        if path.exists():
            first, *lines = path.read_text().splitlines()
            if json.loads(first) != self.header:
                sys.exit(f"{path} is of another commit or machine; accepted is none")
            # The last line may be cut off.
            whole = lines if path.read_text().endswith("\n") else lines[:-1]
            self.runs = [json.loads(line) for line in whole]
        else:
            path.parent.mkdir(parents=True, exist_ok=True)
        write(path, "".join(json.dumps(line) + "\n" for line in (self.header, *self.runs)))

    def done(self, kind: str, number: int) -> bool:
        """Whether a run is there."""
        return any((run["kind"], run["number"]) == (kind, number) for run in self.runs)

    def add(self, run: dict[str, Any]) -> None:
        """Keep a run."""
        self.runs.append(run)
        with self.path.open("a") as file:
            file.write(json.dumps(run) + "\n")


def candidate(head: str, kind: str) -> str:
    """Commit of what a commit is compared with."""
    return head if kind == AGAINST_ITSELF else gate_plants.commit(ROOT, head, kind)


def schedule(runs: dict[str, int]) -> list[tuple[str, int]]:
    """All runs, of every kind the same share at any time, so that none has the better hours."""
    places = [
        ((number + 0.5) / count, kind, number)
        for kind, count in runs.items()
        for number in range(count)
    ]
    return [(kind, number) for _, kind, number in sorted(places)]


def run_clock(project: Project, head: str, kind: str, number: int) -> dict[str, Any]:
    """Run the gate once."""
    request = gate.Request(
        baseline=head,
        candidate=candidate(head, kind),
        chosen=(BENCH,),
        limits=Limits(BUDGET_SECONDS, THRESHOLD, seed=number),
        python=sys.executable,
        cpus=_one_cpu(),
    )
    outcome = gate.run(project, request)
    return {
        "status": outcome.status(strict=False),
        "verdicts": {t.benchmark: t.finding.verdict for t in outcome.timings},
        "ratios": {t.benchmark: t.finding.ratio.value for t in outcome.timings},
        "detectable": {t.benchmark: t.finding.detectable for t in outcome.timings},
        "pairs": max(t.finding.pairs for t in outcome.timings),
        "others": max(outcome.others),
    }


def run_asv(project: Project, head: str, kind: str, number: int) -> dict[str, Any]:
    """Run asv continuous once, on the same CPU and with the same threshold."""
    folder = project.cache / "asv"
    folder.mkdir(parents=True, exist_ok=True)
    configuration = load_json(str(ROOT / "asv.conf.json"), js_comments=True)
    first = {name: values[:1] for name, values in configuration["matrix"]["req"].items()}
    configuration |= {
        "pythons": configuration["pythons"][:1],
        "matrix": {"req": first, "env_nobuild": {"NUMBA_NUM_THREADS": ["1"]}},
        "exclude": [],
        "repo": str(ROOT),
        "benchmark_dir": str(ROOT / "benchmarks"),
        "env_dir": str(folder / "env"),
        "results_dir": str(folder / "results"),
        "html_dir": str(folder / "html"),
    }
    (folder / "asv.conf.json").write_text(json.dumps(configuration))
    environment = {**os.environ, "HOME": str(folder)}
    environment.pop("PYTHONPATH", None)
    asv = [sys.executable, "-m", "asv"]
    common = {"cwd": folder, "env": environment, "capture_output": True, "text": True}
    subprocess.run([*asv, "machine", "--yes"], **common, check=True)
    # asv wants two commits; one that differs in no file is the same.
    other = candidate(head, kind)
    if other == head:
        other = revisions.planted(ROOT, head, "LICENSE", (ROOT / "LICENSE").read_text())
    cpu = f"{_one_cpu()[0]}"
    done = subprocess.run(
        [
            *("taskset", "-c", cpu, *asv, "continuous", head, other, "--bench", BENCH),
            *("--factor", f"{1 + THRESHOLD}", "--launch-method", "spawn"),
        ],
        **common,
        check=False,
    )
    if "BENCHMARKS" not in done.stdout or "failed" in done.stdout:
        sys.exit(f"asv continuous: {done.stdout[-2000:]}{done.stderr[-2000:]}")
    rows = [line.strip("| ").split("|") for line in done.stdout.splitlines() if line[:1] == "|"]
    signs = {row[-1].strip(): row[0].strip() for row in rows}
    return {
        "status": int("DECREASED" in done.stdout),
        "verdicts": {
            name: {"+": "SLOWER", "-": "FASTER"}[sign]
            for name, sign in signs.items()
            if sign in ("+", "-")
        },
        "output": done.stdout[-1500:],
    }


def run_exact(project: Project, head: str, kind: str, number: int) -> dict[str, Any]:
    """Count on the commit and on one with a loss planted."""
    request = gate.Request(
        baseline=head,
        candidate=candidate(head, kind),
        exact=True,
        chosen=(COUNTED,),
        python=sys.executable,
    )
    outcome = gate.run(project, request)
    return {
        "status": outcome.status(strict=False),
        "values": len(outcome.values),
        "worse": [
            [v.benchmark, v.baseline, v.candidate, v.unit]
            for v in outcome.values
            if v.benchmark in outcome.regressions
        ],
        "left_out": sum(r.count("does not apply") < 2 for r in outcome.left_out.values()),
    }


Run = Callable[[Project, str, str, int], dict[str, Any]]

PARTS: dict[str, tuple[Run, dict[str, int]]] = {
    "clock": (run_clock, CLOCK_RUNS),
    "other slowdowns": (run_clock, OTHER_RUNS),
    "by hand": (run_clock, dict.fromkeys(BY_HAND, 1)),
    "asv": (run_asv, ASV_RUNS),
    "exact": (run_exact, dict.fromkeys((AGAINST_ITSELF, *gate_plants.LOSSES), 1)),
}


def markdown() -> str:
    """The tables of all parts that have been run."""
    files = {part: REPORTS / f"{part.replace(' ', '_')}.json" for part in PARTS}
    found = {part: json.loads(file.read_text()) for part, file in files.items() if file.exists()}
    runs = {part: found.get(part, {}).get("runs", []) for part in PARTS}
    made = [
        f"- `python tools/measure_gate.py '{part}'` at {header['commit'][:10]} on "
        f"{header['cpu']}, {header['cpus']} CPUs, Python {header['python']}, numba "
        f"{header['versions']['numba']}, numpy {header['versions']['numpy']}"
        for part, header in found.items()
    ]
    intro = (
        f"Benchmarks `{BENCH}`, chosen after trials as those that vary least, so that a run is "
        f"short; both sides on one CPU, threshold {THRESHOLD:.0%}, at most "
        f"{BUDGET_SECONDS:g} s of clock, at least {MIN_PAIRS} pairs. Slowdowns are planted in the "
        "sigmoid of more samples than a block: 3, 5 or 10 % of each block are gone over once more. "
        f"`asv continuous --factor {1 + THRESHOLD:g}` judges the same commits, on one CPU too; its "
        "environment and wheels were there before."
    )
    judges = (("clock", "gate"), ("other slowdowns", "gate"), ("asv", "asv continuous"))
    rates = [
        _rates(judge, kind, chosen)
        for part, judge in judges
        for kind in PARTS[part][1]
        if (chosen := [run for run in runs[part] if run["kind"] == kind])
    ]
    wrong = (
        "Wrong verdicts are SLOWER or FASTER of what is the same, and FASTER of what is slower. "
        "In runs of the same commit, `found slower` counts runs with any wrong verdict."
    )
    parts = [
        "# How often the gate is wrong",
        "\n".join(made),
        "## The clock",
        intro,
        table.markdown(Table(RATES, rates)),
        wrong,
        _busy(runs["clock"] + runs["other slowdowns"]),
        "## Planted by hand",
        _by_hand(runs["exact"], runs["by hand"]),
    ]
    return "\n\n".join(filter(None, parts)) + "\n"


def _busy(runs: list[dict[str, Any]]) -> str:
    if not runs:
        return ""
    busy = sorted(run["others"] for run in runs)
    return (
        f"Other programs used at most {busy[len(busy) // 2]:.0%} of the CPUs during any pair "
        f"of the median run, {busy[-1]:.0%} of the worst."
    )


def _by_hand(exact: list[dict[str, Any]], clock: list[dict[str, Any]]) -> str:
    if not exact:
        return "Not measured yet: `python tools/measure_gate.py exact 'by hand'`."
    timed = {run["kind"]: _clock(run) for run in clock}
    rows = []
    for run in exact:
        worse, left_out = run["worse"], run["left_out"]
        example = f"`{worse[0][0]}`: {worse[0][1]} to {worse[0][2]} {worse[0][3]}" if worse else ""
        lost = f", {left_out} cannot be compared" if left_out else ""
        counted = f"{len(worse)} of {run['values']} worse{lost}"
        rows.append([run["kind"], counted, Marked(example), timed.get(run["kind"], "not run")])
    columns = ["planted", "exact gate", "worst of what got worse", "clock gate"]
    return table.markdown(Table(columns, rows, right=range(0)))


def _is_wrong(kind: str, name: str, verdict: str) -> bool:
    slower = kind != AGAINST_ITSELF and PLANTED in name
    return verdict == "FASTER" or (verdict == "SLOWER" and not slower)


def _is_found(kind: str, verdicts: list[tuple[str, str]]) -> bool:
    if kind == AGAINST_ITSELF:
        return any(_is_wrong(kind, *pair) for pair in verdicts)
    return any(verdict == "SLOWER" and PLANTED in name for name, verdict in verdicts)


def _change(runs: list[dict[str, Any]]) -> str:
    """Median change that was measured of what is planted."""
    changes = [x for run in runs for n, x in run.get("ratios", {}).items() if PLANTED in n]
    return f"{statistics.median_high(changes) - 1:+.1%}" if changes else ""


def _rates(judge: str, kind: str, runs: list[dict[str, Any]]) -> list[object]:
    verdicts = [list(run["verdicts"].items()) for run in runs]
    every = [pair for pairs in verdicts for pair in pairs]
    wrong = sum(_is_wrong(kind, *pair) for pair in every)
    found = sum(_is_found(kind, pairs) for pairs in verdicts)
    interval = binomtest(found, len(runs)).proportion_ci()
    return [
        judge,
        kind,
        len(runs),
        found,
        f"{found / len(runs):.1%} ({interval.low:.1%} to {interval.high:.1%})",
        f"{wrong} of {2 * len(runs)}",
        sum(v == "INCONCLUSIVE" for _, v in every) if judge == "gate" else "n/a",
        _change(runs),
        f"{statistics.median_high(run['seconds'] for run in runs):.0f}",
    ]


def _clock(run: dict[str, Any]) -> str:
    return ", ".join(
        f"{name.split(', ')[2]} samples {verdict} {run['ratios'][name] - 1:+.0%}"
        for name, verdict in run["verdicts"].items()
    )


def _one_cpu() -> tuple[int, ...]:
    """The last that may be used: interrupts mostly go to the first."""
    usable = machine.affinity()
    if usable is None:
        sys.exit("CPUs cannot be chosen on this system; accepted is Linux")
    return (usable[-1],)


def main() -> None:
    """Run what is missing of the parts, and write the report."""
    parser = argparse.ArgumentParser(description="How often the gate is wrong.")
    parser.add_argument("part", nargs="*", choices=(*PARTS, []), help="all, if none is given")
    parts = parser.parse_args().part or list(PARTS)
    at = machine.commit()
    if not at or at["modified"]:
        sys.exit("the working tree is dirty; accepted is a clean one, whose commit is reported")
    described = machine.fingerprint()
    header = {**at, **{k: described[k] for k in ("cpu", "cpus", "system", "python", "versions")}}
    os.chdir(ROOT)
    project = Project(ROOT)
    REPORTS.mkdir(parents=True, exist_ok=True)
    with Progress(*Progress.get_default_columns(), TimeElapsedColumn()) as progress:
        for part in parts:
            run, kinds = PARTS[part]
            file = part.replace(" ", "_")
            journal = Journal(project.cache / "study" / f"{file}.jsonl", header)
            todo = [one for one in schedule(kinds) if not journal.done(*one)]
            try:
                for kind, number in progress.track(todo, description=part):
                    started = time.monotonic()
                    found = run(project, at["commit"], kind, number)
                    seconds = time.monotonic() - started
                    journal.add({"kind": kind, "number": number, "seconds": seconds, **found})
            finally:
                report = {**header, "runs": journal.runs}
                write(REPORTS / f"{file}.json", json.dumps(report, indent=1) + "\n")
                write(REPORTS / "README.md", markdown())


if __name__ == "__main__":
    sys.exit(main())
