"""How often the gate is wrong: ``python tools/measure_gate.py PART...``, into ``reports/gate``.

The parts: ``clock`` compares a commit with itself and with slowdowns planted in it, ``asv`` has
``asv continuous`` judge the same commits, ``exact`` plants what the exact gate is for. Every run is
kept as soon as it ends: what was interrupted goes on where it was.
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
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import gate_plants
from asv.util import load_json
from rich.progress import Progress, TimeElapsedColumn
from scipy.stats import binomtest

from xent_numba.gate import gate
from xent_numba.gate.decision import MIN_PAIRS
from xent_numba.gate.pairs import Limits
from xent_numba.gate.project import Project
from xent_numba.results import machine, store, table
from xent_numba.results.files import write
from xent_numba.results.provenance import Provenance
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


@dataclass(frozen=True, slots=True)
class Trial:
    """One run of a judge on a commit and on what was planted in it, or the same commit.

    Attributes
    ----------
    kind : str
        What was planted.
    number : int
        Of the run among those of its kind.
    seconds : float
        What it took.
    status : int
        Exit status.
    verdicts : dict of str to str
        By benchmark.
    ratios, detectable : dict of str to float
        By benchmark, the time of the candidate divided by the baseline's, and the change that could
        have been seen.
    pairs : int
        Of turns, at most.
    others : float
        What other programs used of the CPUs, at most.
    output : str
        The end of what asv printed.
    values, left_out : int
        Benchmarks that were counted, and that could not be compared.
    worse : list of tuple
        Benchmark, both values and unit of what got worse.
    """

    kind: str
    number: int
    seconds: float
    status: int
    verdicts: dict[str, str] = field(default_factory=dict)
    ratios: dict[str, float] = field(default_factory=dict)
    detectable: dict[str, float] = field(default_factory=dict)
    pairs: int = 0
    others: float = 0.0
    output: str = ""
    values: int = 0
    left_out: int = 0
    worse: list[tuple[str, float, float, str]] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Trials:
    """The runs of a part that are done, and how their slowdowns slowed."""

    slowed: str
    runs: list[Trial]


TRIALS = store.Kind("gate-trials", 1, Trials)


def report(part: str) -> Path:
    """Where the runs of a part are kept."""
    return REPORTS / f"{part.replace(' ', '_')}.json"


def done(part: str, provenance: Provenance) -> list[Trial]:
    """Runs that were kept by this commit on this machine; those of another are made anew."""
    if not report(part).exists():
        return []
    kept = store.read(report(part), TRIALS)
    here, there = ((one.commit, one.machine) for one in (provenance, kept.provenance))
    return kept.content.runs if here == there else []


def candidate(project: Project, head: str, kind: str) -> str:
    """Commit of what a commit is compared with."""
    if kind == AGAINST_ITSELF:
        return head
    return gate_plants.commit(project.repository, head, kind)


def schedule(runs: Mapping[str, int]) -> list[tuple[str, int]]:
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
        candidate=candidate(project, head, kind),
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
    # asv wants two commits; one that differs in no file is the same.
    other = candidate(project, head, kind)
    if other == head:
        licence = (ROOT / "LICENSE").read_text()
        other = project.repository.planted(head, "LICENSE", licence)
    repository = project.repository.publish("asv", other)
    folder = project.cache / "asv"
    folder.mkdir(parents=True, exist_ok=True)
    configuration = load_json(str(ROOT / "asv.conf.json"), js_comments=True)
    first = {name: values[:1] for name, values in configuration["matrix"]["req"].items()}
    configuration |= {
        "pythons": configuration["pythons"][:1],
        "matrix": {"req": first, "env_nobuild": {"NUMBA_NUM_THREADS": ["1"]}},
        "exclude": [],
        "repo": str(repository),
        "benchmark_dir": str(ROOT / "benchmarks"),
        "env_dir": str(folder / "env"),
        "results_dir": str(folder / "results"),
        "html_dir": str(folder / "html"),
    }
    chosen = ("--bench", BENCH, "--launch-method", "spawn")
    return asv_continuous(folder, configuration, _one_cpu()[0], head, other, *chosen)


def asv_continuous(
    folder: Path, configuration: dict[str, Any], cpu: int, before: str, after: str, *options: str
) -> dict[str, Any]:
    """Have asv continuous compare two commits once, on a CPU; what it keeps is in a folder."""
    (folder / "asv.conf.json").write_text(json.dumps(configuration))
    environment = {**os.environ, "HOME": str(folder)}
    environment.pop("PYTHONPATH", None)
    asv = [sys.executable, "-m", "asv"]
    common = {"cwd": folder, "env": environment, "capture_output": True, "text": True}
    subprocess.run([*asv, "machine", "--yes"], **common, check=True)
    done = subprocess.run(
        [
            *("taskset", "-c", f"{cpu}", *asv, "continuous", before, after),
            *("--factor", f"{1 + THRESHOLD}", *options),
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
        candidate=candidate(project, head, kind),
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
    found = {part: store.read(report(part), TRIALS) for part in PARTS if report(part).exists()}
    runs = {part: found[part].content.runs if part in found else [] for part in PARTS}
    slowed = dict.fromkeys(one.content.slowed for one in found.values())
    intro = (
        f"Benchmarks `{BENCH}`, chosen after trials as those that vary least, so that a run is "
        f"short; both sides on one CPU, threshold {THRESHOLD:.0%}, at most "
        f"{BUDGET_SECONDS:g} s of clock, at least {MIN_PAIRS} pairs. Slowdowns are planted in the "
        f"sigmoid of more samples than a block: {' '.join(slowed)}. "
        f"`asv continuous --factor {1 + THRESHOLD:g}` judges the same commits, on one CPU too; its "
        "environment and wheels were there before."
    )
    judges = (("clock", "gate"), ("other slowdowns", "gate"), ("asv", "asv continuous"))
    rates = [
        _rates(judge, kind, chosen)
        for part, judge in judges
        for kind in PARTS[part][1]
        if (chosen := [run for run in runs[part] if run.kind == kind])
    ]
    wrong = (
        "Wrong verdicts are SLOWER or FASTER of what is the same, and FASTER of what is slower. "
        "In runs of the same commit, `found slower` counts runs with any wrong verdict."
    )
    return table.page(
        "How often the gate is wrong",
        [f"- {kept.provenance}" for kept in found.values()],
        "## The clock",
        intro,
        table.markdown(Table(RATES, rates)),
        wrong,
        _busy(runs["clock"] + runs["other slowdowns"]),
        "## Planted by hand",
        _by_hand(runs["exact"], runs["by hand"]),
    )


def _busy(runs: list[Trial]) -> str:
    if not runs:
        return ""
    busy = sorted(run.others for run in runs)
    return (
        f"Other programs used at most {busy[len(busy) // 2]:.0%} of the CPUs during any pair "
        f"of the median run, {busy[-1]:.0%} of the worst."
    )


def _by_hand(exact: list[Trial], clock: list[Trial]) -> str:
    if not exact:
        return "Not measured yet: `python tools/measure_gate.py exact 'by hand'`."
    timed = {run.kind: _clock(run) for run in clock}
    rows = []
    for run in exact:
        worst = "".join(
            f"`{name}`: {old} to {new} {unit}" for name, old, new, unit in run.worse[:1]
        )
        lost = f", {run.left_out} cannot be compared" if run.left_out else ""
        counted = f"{len(run.worse)} of {run.values} worse{lost}"
        rows.append([run.kind, counted, Marked(worst), timed.get(run.kind, "not run")])
    columns = ["planted", "exact gate", "worst of what got worse", "clock gate"]
    return table.markdown(Table(columns, rows, right=range(0)))


def _is_wrong(kind: str, name: str, verdict: str) -> bool:
    slower = kind != AGAINST_ITSELF and PLANTED in name
    return verdict == "FASTER" or (verdict == "SLOWER" and not slower)


def _is_found(kind: str, verdicts: list[tuple[str, str]]) -> bool:
    if kind == AGAINST_ITSELF:
        return any(_is_wrong(kind, *pair) for pair in verdicts)
    return any(verdict == "SLOWER" and PLANTED in name for name, verdict in verdicts)


def _change(runs: list[Trial]) -> str:
    """Median change that was measured of what is planted."""
    changes = [x for run in runs for n, x in run.ratios.items() if PLANTED in n]
    return f"{statistics.median_high(changes) - 1:+.1%}" if changes else ""


def _rates(judge: str, kind: str, runs: list[Trial]) -> list[object]:
    verdicts = [list(run.verdicts.items()) for run in runs]
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
        f"{statistics.median_high(run.seconds for run in runs):.0f}",
    ]


def _clock(run: Trial) -> str:
    return ", ".join(
        f"{name.split(', ')[2]} samples {verdict} {run.ratios[name] - 1:+.0%}"
        for name, verdict in run.verdicts.items()
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
    os.chdir(ROOT)
    project = Project(ROOT)
    REPORTS.mkdir(parents=True, exist_ok=True)
    with Progress(*Progress.get_default_columns(), TimeElapsedColumn()) as progress:
        for part in parts:
            provenance = Provenance.now(f"python tools/measure_gate.py '{part}'")
            if provenance.commit is None or provenance.modified:
                sys.exit("the working tree is dirty; accepted is a clean one: its commit is kept")
            run, kinds = PARTS[part]
            trials = done(part, provenance)
            known = {(trial.kind, trial.number) for trial in trials}
            todo = [one for one in schedule(kinds) if one not in known]
            for kind, number in progress.track(todo, description=part):
                started = time.monotonic()
                found = run(project, provenance.commit, kind, number)
                trials.append(Trial(kind, number, time.monotonic() - started, **found))
                store.write(report(part), TRIALS, provenance, Trials(gate_plants.SLOWED, trials))
                write(REPORTS / "README.md", markdown())


if __name__ == "__main__":
    sys.exit(main())
