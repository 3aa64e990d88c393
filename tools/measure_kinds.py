"""How often the gate is wrong, for three kinds of benchmark: ``python tools/measure_kinds.py``.

A project of three benchmarks is made, one that computes, one that moves memory and one of plain
Python. A commit of it is compared with itself, and with commits in which each benchmark does 3, 5
or 10 % more. A run takes some 10 s of a quiet CPU: 160 of the same commit and 40 of each slowdown
45 minutes, or half of that with ``--jobs 2``, two runs at a time, each on a CPU of its own, whose
memory and caches the other disturbs. ``--judge duet`` has both sides of a run compute at once, and
``--judge asv`` leaves the same commits to ``asv continuous``. Every run is kept as soon as it ends,
in ``reports/gate/kinds*.json``; what was interrupted, or stopped after ``--minutes``, goes on where
it was, as long as this file, the gate's own code and the machine are the same.
"""

from __future__ import annotations

import argparse
import dataclasses
import hashlib
import itertools
import json
import queue
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from measure_gate import AGAINST_ITSELF, REPORTS, ROOT, THRESHOLD, Trial, asv_continuous, schedule
from scipy.stats import binomtest

from xent_numba.gate import GateError, gate
from xent_numba.gate.pairs import Limits
from xent_numba.gate.project import Project
from xent_numba.gate.sides import SIDES
from xent_numba.measurement import idle
from xent_numba.results import machine, store, table
from xent_numba.results.files import write
from xent_numba.results.provenance import Provenance
from xent_numba.results.table import Table

RUNS = {AGAINST_ITSELF: 160, "3 %": 40, "5 %": 40, "10 %": 40}
BUDGET_SECONDS = 10.0
KINDS = {"compute": "a kernel that computes", "memory": "a copy", "plain": "plain Python"}


@dataclass(frozen=True, slots=True)
class Judge:
    """Who judges, how often, and where the runs are kept."""

    name: str
    file: Path
    runs: Mapping[str, int]


JUDGES = {
    "turns": Judge("in turns", REPORTS / "kinds.json", RUNS),
    "duet": Judge("at once", REPORTS / "kinds_duet.json", RUNS),
    "asv": Judge(
        "asv continuous",
        REPORTS / "kinds_asv.json",
        dict.fromkeys(RUNS, 12) | {AGAINST_ITSELF: 40},
    ),
}

WORK = """
import numpy as np

more = {more}
values = np.linspace(0.1, 1.0, 20_000)
large = np.zeros(2_000_000)
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
CONFIGURATION = {
    "version": 1,
    "project": "kinds",
    "repo": ".",
    "env_dir": ".asv",
    "environment_type": "virtualenv",
    "benchmark_dir": "benchmarks",
    "matrix": {"req": {"numpy": [np.__version__]}},
    "build_command": [],
    "install_command": [
        'python -c "import shutil, sysconfig;'
        " shutil.copy(r'{build_dir}/work.py', sysconfig.get_path('purelib'))\""
    ],
    "uninstall_command": [],
}
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
        Hashes of the gate's code and of this file.
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
        (folder / "asv.conf.json").write_text(json.dumps(CONFIGURATION))
        (folder / ".gitignore").write_text(".asv\n")
        git(folder, "init", "--quiet")
        for kind in RUNS:
            more = 0 if kind == AGAINST_ITSELF else int(kind.split()[0])
            (folder / "work.py").write_text(WORK.format(more=more))
            git(folder, "add", "--all")
            git(folder, "commit", "--quiet", "--message", kind)
            git(folder, "tag", f"planted-{more}")
        # asv wants two commits; one that differs in no file is the same.
        git(folder, "checkout", "--quiet", "planted-0")
        git(folder, "commit", "--quiet", "--allow-empty", "--message", "the same")
        git(folder, "tag", "same")
    names = {kind: 0 if kind == AGAINST_ITSELF else int(kind.split()[0]) for kind in RUNS}
    return {kind: git(folder, "rev-parse", f"planted-{more}") for kind, more in names.items()}


def run_asv(
    project: Project, commits: dict[str, str], kind: str, number: int, cpus: Sequence[int]
) -> Trial:
    """Run asv continuous once, on a CPU and with the gate's threshold."""
    started = time.monotonic()
    # Two at a time would write the same environment and results.
    folder = project.folder / ".asv" / f"alone-{cpus[0]}"
    folder.mkdir(exist_ok=True)
    own = {"repo": "../..", "benchmark_dir": "../../benchmarks", "env_dir": "env"}
    other = "same" if kind == AGAINST_ITSELF else commits[kind]
    found = asv_continuous(folder, CONFIGURATION | own, cpus[0], commits[AGAINST_ITSELF], other)
    return Trial(kind, number, time.monotonic() - started, **found)


def run_gate(
    project: Project, commits: dict[str, str], kind: str, number: int, cpus: Sequence[int]
) -> Trial:
    """Run the gate once, on a CPU, or as a duet on two."""
    started = time.monotonic()
    duet = tuple(cpus) if len(cpus) == len(SIDES) else ()
    request = gate.Request(
        baseline=commits[AGAINST_ITSELF],
        candidate=commits[kind],
        limits=Limits(BUDGET_SECONDS, THRESHOLD, seed=number, duet=duet),
        python=sys.executable,
        cpus=tuple(cpus[:1]),
        # It is waited for once, before the first: two runs at a time would wait for one another.
        patience=None,
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


def rates(judge: str, planted: str, runs: list[Trial]) -> Iterator[list[object]]:
    """Rows of the runs of one kind: a benchmark each, and any of them."""
    wanted = ("SLOWER", "FASTER") if planted == AGAINST_ITSELF else ("SLOWER",)
    for kind, text in [*KINDS.items(), ("", "any of them")]:
        count = sum(
            any(v in wanted for name, v in one.verdicts.items() if kind in name) for one in runs
        )
        low, high = binomtest(count, len(runs)).proportion_ci()
        rate = f"{count / len(runs):.1%} ({low:.1%} to {high:.1%})"
        yield [judge, planted, text, len(runs), count, rate]


def markdown(found: Mapping[str, tuple[Provenance, list[Trial]]]) -> str:
    """The table of all runs that are done, by who judged."""
    rows: list[list[object]] = []
    for (name, (_, runs)), planted in itertools.product(found.items(), RUNS):
        if those := [one for one in runs if one.kind == planted]:
            rows += rates(name, planted, those)
    seconds = [
        f"{statistics.median(one.seconds for one in runs):.0f} s ({name})"
        for name, (_, runs) in found.items()
    ]
    # asv does not say what other programs use.
    gates = (runs for name, (_, runs) in found.items() if name != JUDGES["asv"].name)
    busy = sorted(one.others for runs in gates for one in runs)
    return table.page(
        "How often the gate is wrong, by kind of benchmark",
        [f"- {name}: {provenance}" for name, (provenance, _) in found.items()],
        "Of the same commit, found is a wrong verdict, of which 1 % of runs are promised; of a "
        "slowdown, SLOWER. A run of the gate takes ten pairs, and more for at most "
        f"{BUDGET_SECONDS:g} s; `asv continuous` has the same threshold, {THRESHOLD:.0%}. Median "
        f"time of a run: {', '.join(seconds)}.",
        table.markdown(
            Table(["judge", "planted", "benchmark", "runs", "found", "share, 95 % interval"], rows)
        ),
        "Beside the gate other programs, another run among them, used at most "
        f"{busy[len(busy) // 2]:.0%} of the CPUs in the median run, {busy[-1]:.0%} in the worst.",
    )


def kept(provenance: Provenance, chosen: Judge) -> Kinds:
    """The runs that were kept by the same judge on the same machine; none of another."""
    trees = ("xent_numba/gate", "xent_numba/measurement", "tools/measure_kinds.py")
    judge = git(ROOT, "rev-parse", *(f"HEAD:{tree}" for tree in trees))
    if chosen.file.exists():
        found = store.read(chosen.file, KEPT)
        if (found.content.judge, found.provenance.machine) == (judge, provenance.machine):
            return found.content
    return Kinds(judge)


def keep(provenance: Provenance, chosen: Judge, found: Kinds) -> None:
    """Write the runs, and the table of those of all judges."""
    store.write(chosen.file, KEPT, provenance, found)
    every = {x.name: store.read(x.file, KEPT) for x in JUDGES.values() if x.file.exists()}
    pages = {x: (stored.provenance, stored.content.runs) for x, stored in every.items()}
    write(REPORTS / "kinds.md", markdown(pages))


def trials(
    todo: Sequence[tuple[str, int]],
    places: Sequence[Sequence[int]],
    minutes: float,
    run: Callable[..., Trial],
) -> Iterator[Trial]:
    """Yield each run as it ends, as many at a time as there are places; none begins too late."""
    until = time.monotonic() + 60 * minutes
    made = hashlib.sha256(f"{WORK}{BENCHMARKS}{CONFIGURATION}".encode()).hexdigest()[:10]
    folder = ROOT / ".asv" / f"kinds-{made}"
    commits = make(folder)
    project = Project(folder)
    # Before two runs at a time would make the same.
    for side, commit in itertools.product(SIDES, commits.values()):
        project.side(side, project.resolve(commit), sys.executable)
    free = queue.SimpleQueue[Sequence[int]]()
    for cpus in places:
        free.put(cpus)

    def once(trial: tuple[str, int]) -> Trial | None:
        cpus = free.get()
        try:
            late = time.monotonic() > until
            return None if late else run(project, commits, *trial, cpus)
        finally:
            free.put(cpus)

    executor = ThreadPoolExecutor(len(places))
    try:
        futures = [executor.submit(once, one) for one in todo]
        yield from filter(None, (one.result() for one in as_completed(futures)))
    finally:
        executor.shutdown(cancel_futures=True)


def main() -> None:
    """Run what is missing, and write the report."""
    parser = argparse.ArgumentParser(description="How often the gate is wrong.")
    parser.add_argument("--minutes", type=float, default=1e9, help="stop after so long")
    parser.add_argument("--jobs", type=int, default=1, help="runs at a time, each on a CPU")
    parser.add_argument("--judge", choices=JUDGES, default="turns", help="who judges")
    options = parser.parse_args()
    chosen = JUDGES[options.judge]
    provenance = Provenance.now(" ".join(["python tools/measure_kinds.py", *sys.argv[1:]]))
    found = kept(provenance, chosen)
    usable = (machine.affinity() or [])[::-1]
    duet = options.judge == "duet"
    places = [usable[:2]] if duet else [[cpu] for cpu in usable[: options.jobs]]
    known = {(one.kind, one.number) for one in found.runs}
    todo = [one for one in schedule(chosen.runs) if one not in known]
    try:
        idle.wait_for_rest(60.0, lambda what, done: None)
        judge = run_asv if options.judge == "asv" else run_gate
        for one in trials(todo, places or [()], options.minutes, judge):
            found = dataclasses.replace(found, runs=[*found.runs, one])
            keep(provenance, chosen, found)
            said = f"{len(found.runs)} of {sum(chosen.runs.values())}: {one.kind} {one.verdicts}"
            print(said, flush=True)  # noqa: T201
    except (GateError, idle.BusyError) as error:
        sys.exit(f"{error}; what is done is kept")


if __name__ == "__main__":
    main()
