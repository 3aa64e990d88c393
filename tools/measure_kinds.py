"""How often the gate is wrong, for three kinds of benchmark: ``python tools/measure_kinds.py``.

A project of three benchmarks is made, one that computes, one that moves memory and one of plain
Python. A commit of it is compared with itself, and with commits in which each benchmark does 3, 5
or 10 % more. A run takes 15 to 45 s: 160 of the same commit and 40 of each slowdown some 70 to 210
minutes of a quiet machine. Every run is kept as soon as it ends, in ``reports/gate/kinds.json``;
what was interrupted, or stopped after ``--minutes``, goes on where it was, as long as the gate's
own code and the machine are the same.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

from measure_gate import AGAINST_ITSELF, BUDGET_SECONDS, REPORTS, ROOT, THRESHOLD, Trial, schedule
from scipy.stats import binomtest

from xent_numba.gate import GateError, gate
from xent_numba.gate.pairs import Limits
from xent_numba.gate.project import Project
from xent_numba.results import machine, store, table
from xent_numba.results.files import write
from xent_numba.results.provenance import Provenance
from xent_numba.results.table import Table

RUNS = {AGAINST_ITSELF: 160, "3 %": 40, "5 %": 40, "10 %": 40}
KINDS = {"compute": "a kernel that computes", "memory": "a copy", "plain": "plain Python"}

WORK = """
import numpy as np

more = {more}
values = np.linspace(0.1, 1.0, 20_000)
large = np.zeros(4_000_000)
other = np.zeros_like(large)


def compute():
    np.exp(np.sin(values))
    np.exp(np.sin(values[: len(values) * more // 100]))


def memory():
    np.copyto(other, large)
    extra = len(large) * more // 100
    np.copyto(other[:extra], large[:extra])


def plain():
    total = 0
    for number in range(10_000 + 100 * more):
        total += number
    return total
"""
BENCHMARKS = """
import work


def time_compute():
    work.compute()


def time_memory():
    work.memory()


def time_plain():
    work.plain()
"""


@dataclass(frozen=True, slots=True)
class Kinds:
    """The runs that are done.

    Attributes
    ----------
    judge : str
        Hashes of the gate's code.
    runs : list of Trial
        The runs.
    """

    judge: str
    runs: list[Trial] = field(default_factory=list)


KEPT = store.Kind("gate-kinds", 1, Kinds)


def git(folder: Path, *arguments: str) -> str:
    """What git says."""
    someone = ("-c", "user.name=gate", "-c", "user.email=gate@localhost")
    done = subprocess.run(
        ["git", "-C", str(folder), *someone, *arguments],  # noqa: S607
        check=True,
        capture_output=True,
        text=True,
    )
    return done.stdout.strip()


def make(folder: Path) -> dict[str, str]:
    """Make the project; commits by what is planted in them."""
    if not (folder / ".git").exists():
        (folder / "benchmarks").mkdir(parents=True)
        (folder / "benchmarks" / "__init__.py").write_text("")
        (folder / "benchmarks" / "all.py").write_text(BENCHMARKS)
        configuration = {"version": 1, "project": "kinds", "repo": ".", "env_dir": ".asv"}
        configuration |= {"environment_type": "virtualenv", "benchmark_dir": "benchmarks"}
        (folder / "asv.conf.json").write_text(json.dumps(configuration))
        (folder / ".gitignore").write_text(".asv\n")
        git(folder, "init", "--quiet")
        for kind in RUNS:
            more = 0 if kind == AGAINST_ITSELF else int(kind.split()[0])
            (folder / "work.py").write_text(WORK.format(more=more))
            git(folder, "add", "--all")
            git(folder, "commit", "--quiet", "--message", kind)
            git(folder, "tag", f"planted-{more}")
    names = {kind: 0 if kind == AGAINST_ITSELF else int(kind.split()[0]) for kind in RUNS}
    return {kind: git(folder, "rev-parse", f"planted-{more}") for kind, more in names.items()}


def run(project: Project, commits: dict[str, str], kind: str, number: int) -> Trial:
    """Run the gate once."""
    usable = machine.affinity()
    started = time.monotonic()
    request = gate.Request(
        baseline=commits[AGAINST_ITSELF],
        candidate=commits[kind],
        limits=Limits(BUDGET_SECONDS, THRESHOLD, seed=number),
        python=sys.executable,
        cpus=usable[-1:] if usable else (),
    )
    found = gate.run(project, request)
    return Trial(
        kind,
        number,
        time.monotonic() - started,
        found.status(strict=False),
        {t.benchmark: t.finding.verdict for t in found.timings},
        {t.benchmark: t.finding.ratio.value for t in found.timings},
        {t.benchmark: t.finding.detectable for t in found.timings},
        max(t.finding.pairs for t in found.timings),
        max(found.others),
    )


def markdown(provenance: Provenance, runs: list[Trial]) -> str:
    """The table of all runs that are done."""
    rows: list[list[object]] = []
    for planted in RUNS:
        those = [one for one in runs if one.kind == planted]
        wanted = ("SLOWER", "FASTER") if planted == AGAINST_ITSELF else ("SLOWER",)
        for kind, text in [*KINDS.items(), ("", "any of them")]:
            found = sum(
                any(v in wanted for name, v in one.verdicts.items() if kind in name)
                for one in those
            )
            if those:
                low, high = binomtest(found, len(those)).proportion_ci()
                rate = f"{found / len(those):.1%} ({low:.1%} to {high:.1%})"
                rows.append([planted, text, len(those), found, rate])
    busy = sorted(one.others for one in runs)
    return table.page(
        "How often the gate is wrong, by kind of benchmark",
        f"- {provenance}",
        "Of the same commit, found is a wrong verdict, of which 1 % of runs are promised; of a "
        "slowdown, SLOWER.",
        table.markdown(
            Table(["planted", "benchmark", "runs", "found", "share, 95 % interval"], rows)
        ),
        f"Other programs used at most {busy[len(busy) // 2]:.0%} of the CPUs in the median run, "
        f"{busy[-1]:.0%} in the worst.",
    )


def main() -> None:
    """Run what is missing, and write the report."""
    parser = argparse.ArgumentParser(description="How often the gate is wrong.")
    parser.add_argument("--minutes", type=float, default=1e9, help="stop after so long")
    until = time.monotonic() + 60 * parser.parse_args().minutes
    path = REPORTS / "kinds.json"
    provenance = Provenance.now("python tools/measure_kinds.py")
    judge = git(ROOT, "rev-parse", "HEAD:xent_numba/gate", "HEAD:xent_numba/measurement")
    found = Kinds(judge)
    if path.exists():
        kept = store.read(path, KEPT)
        if (kept.content.judge, kept.provenance.machine) == (judge, provenance.machine):
            found = kept.content
    folder = ROOT / ".asv" / "kinds"
    commits = make(folder)
    project = Project(folder)
    known = {(one.kind, one.number) for one in found.runs}
    for kind, number in schedule(RUNS):
        if (kind, number) in known:
            continue
        if time.monotonic() > until:
            break
        try:
            one = run(project, commits, kind, number)
        except GateError as error:
            sys.exit(f"{error}; what is done is kept")
        found = dataclasses.replace(found, runs=[*found.runs, one])
        store.write(path, KEPT, provenance, found)
        write(REPORTS / "kinds.md", markdown(provenance, found.runs))
        print(f"{len(found.runs)} of {sum(RUNS.values())}: {kind} {one.verdicts}", flush=True)  # noqa: T201


if __name__ == "__main__":
    main()
