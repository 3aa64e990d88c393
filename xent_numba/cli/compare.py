"""``xent-numba compare``: judge and time implementations."""

from __future__ import annotations

import argparse
import dataclasses
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from xent_numba import registry, workloads
from xent_numba.cli import arguments, output
from xent_numba.cli.arguments import ALL, DTYPES, expand, one_of, option, several
from xent_numba.errors import UsageError
from xent_numba.host_arrays import LABEL_DTYPES
from xent_numba.measurement.participant import Participant
from xent_numba.measurement.request import BUDGET, DEFAULT_BASELINE, Request
from xent_numba.measurement.suite import CONTROL, FULL, PARTS, SUBJECT
from xent_numba.operations import OPERATIONS, REDUCTIONS
from xent_numba.results import machine

if TYPE_CHECKING:
    from xent_numba.measurement.case import Case
    from xent_numba.measurement.compare import Plan
    from xent_numba.measurement.comparison import Comparison, Row
    from xent_numba.measurement.suite import Entries
    from xent_numba.results.store import Stored

DEFAULT = Request()
QUICK_BUDGET = 8.0
SUITE_PROCESSES = 4
PATIENCE = 15.0
ENDING = 3.0
"""Seconds of a limit that are kept for what follows the last case: all processes are ended, and
tables are made."""
SUFFIXES = {"json": ".json", "markdown": ".md", "csv": ".csv"}
DOUBTFUL = ".doubtful.json"
"""Of a part that failed its A/A control: it can be looked at, and no page shows it."""
FILES = {
    "json": "everything that was measured",
    "markdown": "the tables",
    "csv": "one line for each row",
    "figure": "a picture, SVG",
}


def add(parser: argparse.ArgumentParser) -> None:
    """Declare its arguments."""
    parser.description = (
        "Judge implementations by the oracle and time those that agree. Exit status: 0; 1 if one "
        "that was named by --implementation is wrong or crashed; 2 for an error; 3 with --strict "
        "where nothing can be compared."
    )
    several(parser, "--operation", one_of((*OPERATIONS, ALL)), f"{ALL} or a name")
    several(parser, "--dtype", one_of((*DTYPES, ALL)), f"{ALL}, float32 or float64")
    several(parser, "--size", arguments.size, "number of samples; 2^20 is read too")
    spaced = f"log-spaced sizes, as 1:2^27; each {arguments.FACTOR} times the one before"
    option(parser, "--sizes", arguments.sizes, "LOW:HIGH[:FACTOR]", spaced)
    known = *workloads.names(), *workloads.variants(), ALL
    text = f"{ALL} or a name; -soft, -weighted or -soft-weighted after it for such labels"
    several(parser, "--workload", one_of(known), text)
    names = "name, or path of a .py file; with @1 after it, on one thread"
    several(parser, "--implementation", arguments.participant, names)
    parts = "; ".join(f"{part.name}: {part.summary}" for part in (*PARTS.values(), CONTROL))
    whole = f"all that the reports hold (full), or one part of it, into --output; {parts}"
    option(parser, "--suite", one_of((FULL, *PARTS, CONTROL.name)), "PART", whole)
    folder = "for --suite: gets PART.json, PART.md and PART.csv, which are not there yet"
    option(parser, "--output", arguments.output_folder, "FOLDER", folder, dest="folder")
    parser.add_argument("--replace", action="store_true", help="of --suite, files that are there")
    reduction = "of the losses: none, sum (default) or mean"
    option(parser, "--reduction", one_of(REDUCTIONS), "REDUCTION", reduction, default="sum")
    dtypes, text = map(str, LABEL_DTYPES), "of the labels; the dtype of the scores if not given"
    option(parser, "--label-dtype", one_of(dtypes), "DTYPE", text)
    text, name = f"what a speed-up divides by; default {DEFAULT_BASELINE}", arguments.implementation
    option(parser, "--baseline", name, "NAME", text, default=DEFAULT_BASELINE)
    cpus, text = machine.usable_cpus(), "for every library; default all CPUs"
    option(parser, "--threads", arguments.whole(1, cpus), "N", text, default=cpus)
    parser.add_argument("--quick", action="store_true", help="float32 only, and few rounds")
    text = (
        "for all; what is not reached is named, and only the first case is measured whatever it "
        f"takes. Without it nothing is left out: {BUDGET:g} s of judging and rounds, or more where "
        f"judging needs it, with --quick {QUICK_BUDGET:g}; of --suite, for each part, and no limit"
    )
    option(parser, "--budget", arguments.seconds, "SECONDS", text)
    text = (
        "times each starts anew, with a part of the budget: intervals hold what differs between "
        f"processes; default 1, of --suite {SUITE_PROCESSES}"
    )
    option(parser, "--processes", arguments.whole(1, 50), "N", text)
    text = f"to wait until other programs rest; default {PATIENCE:g}"
    option(parser, "--patience", arguments.seconds, "SECONDS", text, default=PATIENCE)
    text = "fail where the resolution of a case is too coarse to compare anything"
    parser.add_argument("--strict", action="store_true", help=text)
    text = "show a comparison that --json kept, and measure nothing"
    option(parser, "--from-json", arguments.input_file, "FILE", text)
    arguments.files(parser, **FILES)


def run(options: argparse.Namespace) -> int:
    """Measure or read, write, and then print."""
    from xent_numba.measurement.comparison import COMPARISON
    from xent_numba.reporting import tables
    from xent_numba.results import store

    if options.suite:
        return _suite(options)
    paths = {name: path for name in FILES if (path := getattr(options, name))}
    if len(set(paths.values())) < len(paths):
        raise UsageError(
            "two of --json, --markdown, --csv and --figure name one file; accepted are two"
        )
    printed = output.console(options.output)
    if kept := options.from_json:
        found = store.read(kept, COMPARISON)
        _write(found, **paths)
        tables.show(found, printed)
    else:
        found = _measured(options)
        _write(found, **paths)
        tables.show_notes(found, printed)
    return _status(found.content, options)


def _status(found: Comparison, options: argparse.Namespace) -> int:
    """1 where one that was named is wrong; 3 where nothing can be compared, if that was asked."""
    from xent_numba.reporting import tables

    asked = {Participant.of(text, 1).label for text in options.implementation or ()}
    rows = [row for row in found.rows if row.implementation in asked]
    if any(row.preparation.status in ("wrong", "crashed") for row in rows):
        return 1
    return 3 if options.strict and tables.no_comparison(found) else 0


def _write(run: Stored[Comparison], **paths: Path) -> None:
    from xent_numba.measurement.comparison import COMPARISON
    from xent_numba.reporting import figure, tables
    from xent_numba.results import files, store

    renderings: dict[str, Callable[[Stored[Comparison]], str]] = {
        "json": lambda run: store.dumps(COMPARISON, run.provenance, run.content),
        "markdown": tables.markdown,
        "csv": tables.as_csv,
        "figure": figure.draw,
    }
    for name, path in paths.items():
        files.write(path, renderings[name](run))


def _suite(options: argparse.Namespace) -> int:
    chosen = ("operation", "dtype", "size", "sizes", "workload", "implementation", "from_json")
    if given := [name for name in chosen if getattr(options, name) is not None]:
        raise UsageError(
            f"--suite is given with --{given[0].replace('_', '-')}, which it decides; accepted are "
            "--output, --replace, --budget, --processes and --threads"
        )
    if options.folder is None:
        raise UsageError("--suite has nowhere to write; accepted is --output FOLDER beside it")
    from xent_numba.measurement.compare import Plan
    from xent_numba.measurement.schedule import TIMED_SHARE
    from xent_numba.reporting import tables

    one = {**PARTS, CONTROL.name: CONTROL}.get(options.suite)
    parts = [one] if one else list(PARTS.values())
    files = {part.name: _files(part.name, options) for part in parts}
    options.folder.mkdir(parents=True, exist_ok=True)
    names = list(registry.names())
    status = 0
    for part in parts:
        plan = Plan(
            part.baseline,
            SUBJECT,
            # Judging must not take from what the rounds of a report have.
            options.budget or part.budget / TIMED_SHARE,
            options.processes or SUITE_PROCESSES,
        )
        command = f"xent-numba compare --suite {part.name}"
        found = _compare(part.enter(names, options.threads), plan, options, command)
        if tables.doubtful(found.content):
            aside = options.folder / f"{part.name}{DOUBTFUL}"
            _write(found, json=aside)
            said = f"{part.name} failed its A/A control, and is kept in {str(aside)!r} alone"
            print(f"xent-numba compare: {said}", file=options.errors)
            status = 3
        else:
            _write(found, **files[part.name])
        tables.show_notes(found, output.console(options.output))
    return status


def _files(part: str, options: argparse.Namespace) -> dict[str, Path]:
    """Where a part of the suite is written to."""
    files: dict[str, Path] = {x: options.folder / f"{part}{end}" for x, end in SUFFIXES.items()}
    for path in files.values():
        if path.exists() and not options.replace:
            raise UsageError(
                f"{str(path)!r} is there; accepted is a folder without it, or --replace to lose it"
            )
    return files


def _measured(options: argparse.Namespace) -> Stored[Comparison]:
    asked = Request(
        expand(options.operation, OPERATIONS, DEFAULT.operations),
        expand(options.workload, workloads.names(), DEFAULT.workloads),
        expand(options.dtype, DTYPES, DTYPES[:1] if options.quick else DTYPES),
        [*(options.size or ()), *(options.sizes or ())] or DEFAULT.sizes,
        options.label_dtype,
        options.reduction,
        options.implementation or (),
        options.baseline,
        options.threads,
        options.budget,
        options.processes or DEFAULT.processes,
    )
    try:
        entries, plan = asked.resolve()
    except (ValueError, ModuleNotFoundError) as error:
        raise UsageError(str(error)) from None
    if options.quick and not options.budget:
        plan = dataclasses.replace(plan, budget=QUICK_BUDGET)
    return _compare(entries, plan, options, options.command)


def _compare(
    entries: Entries, plan: Plan, options: argparse.Namespace, command: str
) -> Stored[Comparison]:
    """Wait for rest, and measure; each table is printed when the last process has filled it."""
    from xent_numba.measurement import compare, idle
    from xent_numba.reporting import tables

    printed = output.console(options.output)
    seen: Counter[Case] = Counter()
    with output.progress(options.errors) as progress:

        def ready(case: Case, rows: list[Row]) -> None:
            seen[case] += 1
            if seen[case] == plan.processes:
                progress.above(lambda: tables.show_case(case, rows, plan.baseline, printed))

        try:
            # To wait is part of what was given, and a quarter of it at most.
            idle.wait_for_rest(min(options.patience, plan.limit / 4), progress)
        except idle.BusyError as error:
            said = f"xent-numba compare: {error}. Going on; look at the resolution of each table"
            progress.above(lambda: print(said, file=options.errors))
        left = plan.limit - (time.monotonic() - options.started)
        plan = dataclasses.replace(plan, limit=left - min(ENDING, plan.limit / 4))
        found = compare.compare(entries, plan, command=command, progress=progress, ready=ready)
    for case, rows in found.content.cases():
        if seen[case] < plan.processes:
            tables.show_case(case, rows, plan.baseline, printed)
    return found
