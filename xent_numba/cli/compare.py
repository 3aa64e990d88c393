"""``xent-numba compare``: judge and time implementations."""

from __future__ import annotations

import argparse
import dataclasses
import itertools
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from xent_numba import registry, workloads
from xent_numba.cli import arguments, output
from xent_numba.cli.arguments import ALL, DTYPES, expand, one_of, option, several
from xent_numba.errors import UsageError
from xent_numba.host_arrays import LABEL_DTYPES
from xent_numba.measurement.participant import Participant
from xent_numba.measurement.suite import FULL, PARTS, SUBJECT
from xent_numba.operations import OPERATIONS, REDUCTIONS
from xent_numba.results import machine

if TYPE_CHECKING:
    from xent_numba.measurement.case import Case
    from xent_numba.measurement.comparison import Comparison
    from xent_numba.measurement.suite import Entries
    from xent_numba.results.store import Stored

DEFAULT_OPERATIONS = ("sigmoid", "binary_cross_entropy", "logistic_loss")
DEFAULT_WORKLOAD = "flights"
DEFAULT_BASELINE = "numpy_stable"
FOLDER = Path("reports/compare")
BUDGET, QUICK_BUDGET = 120.0, 8.0
SUFFIXES = {"json": ".json", "markdown": ".md", "csv": ".csv"}
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
        "that was named by --implementation is wrong or crashed; 2 for an error."
    )
    several(parser, "--operation", one_of((*OPERATIONS, ALL)), f"{ALL} or a name")
    several(parser, "--dtype", one_of((*DTYPES, ALL)), f"{ALL}, float32 or float64")
    several(parser, "--size", arguments.size, "number of samples; 2^20 is read too")
    spaced = f"log-spaced sizes, as 1:2^27; each {arguments.FACTOR} times the one before"
    option(parser, "--sizes", arguments.sizes, "LOW:HIGH[:FACTOR]", spaced)
    several(parser, "--workload", one_of((*workloads.names(), ALL)), f"{ALL} or a name")
    names = "name, or path of a .py file; with @1 after it, on one thread"
    several(parser, "--implementation", arguments.participant, names)
    parts = "; ".join(f"{part.name}: {part.summary}" for part in PARTS.values())
    whole = f"all that the reports hold (full), or one part of it, into --output; {parts}"
    option(parser, "--suite", one_of((FULL, *PARTS)), "PART", whole)
    folder = f"for --suite: gets PART.json, PART.md and PART.csv; default {FOLDER}"
    kind = arguments.output_folder
    option(parser, "--output", kind, "FOLDER", folder, dest="folder", default=FOLDER)
    reduction = "of the losses: none, sum (default) or mean"
    option(parser, "--reduction", one_of(REDUCTIONS), "REDUCTION", reduction, default="sum")
    dtypes, text = map(str, LABEL_DTYPES), "of the labels; the dtype of the scores if not given"
    option(parser, "--label-dtype", one_of(dtypes), "DTYPE", text)
    text, name = f"what a speed-up divides by; default {DEFAULT_BASELINE}", arguments.implementation
    option(parser, "--baseline", name, "NAME", text, default=DEFAULT_BASELINE)
    cpus, text = machine.usable_cpus(), "for every library; default all CPUs"
    option(parser, "--threads", arguments.whole(1, cpus), "N", text, default=cpus)
    parser.add_argument("--quick", action="store_true", help="float32 only, and few rounds")
    text = f"for all, judging too; default {BUDGET:g}, with --quick {QUICK_BUDGET:g}"
    option(parser, "--budget", arguments.seconds, "SECONDS", text)
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
    kept = options.from_json
    found = store.read(kept, COMPARISON) if kept else _measured(options)
    _write(found, **paths)
    tables.show(found, output.console(options.output))
    asked = {Participant.of(text, 1).label for text in options.implementation or ()}
    rows = [row for row in found.content.rows if row.implementation in asked]
    return int(any(row.preparation.status in ("wrong", "crashed") for row in rows))


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
            "--output, --budget and --threads"
        )
    from xent_numba.measurement.compare import TIMED_SHARE
    from xent_numba.reporting import tables

    options.folder.mkdir(parents=True, exist_ok=True)
    names = list(registry.names())
    for part in PARTS.values() if options.suite == FULL else [PARTS[options.suite]]:
        found = _compare(
            part.enter(names, options.threads),
            options.errors,
            baseline=part.baseline,
            control=SUBJECT,
            # Judging must not take from what the rounds of a report have.
            budget=options.budget or part.budget / TIMED_SHARE,
            command=f"xent-numba compare --suite {part.name}",
        )
        stem = options.folder / part.name
        paths = {name: stem.with_suffix(end) for name, end in SUFFIXES.items()}
        _write(found, **paths)
        tables.show(found, output.console(options.output))
    return 0


def _measured(options: argparse.Namespace) -> Stored[Comparison]:
    cases = _cases(options)
    asked = options.implementation or list(registry.names())
    members = [Participant.of(text, options.threads) for text in asked]
    baseline = Participant.of(options.baseline, options.threads)
    members = list(dict.fromkeys((*members, baseline)))
    labels = [one.label for one in members]
    return _compare(
        dict.fromkeys(cases, members),
        options.errors,
        baseline=baseline.label,
        control=SUBJECT if SUBJECT in labels else labels[0],
        budget=options.budget or (QUICK_BUDGET if options.quick else BUDGET),
        command=options.command,
    )


def _compare(entries: Entries, errors: output.Output, **settings: object) -> Stored[Comparison]:
    from xent_numba.measurement import compare

    with output.progress(errors) as progress:
        return compare.compare(entries, progress=progress, **settings)  # type: ignore[arg-type]


def _cases(options: argparse.Namespace) -> list[Case]:
    """Every combination of what was asked for; one sample of each shows whether it can be drawn."""
    from xent_numba.measurement.case import Case

    combinations = itertools.product(
        expand(options.operation, OPERATIONS, DEFAULT_OPERATIONS),
        expand(options.workload, workloads.names(), (DEFAULT_WORKLOAD,)),
        [*(options.size or ()), *(options.sizes or ())] or [None],
        expand(options.dtype, DTYPES, DTYPES[:1] if options.quick else DTYPES),
    )
    cases = [Case.of(*one, options.label_dtype, options.reduction) for one in combinations]
    for case in dict.fromkeys(dataclasses.replace(case, size=1) for case in cases):
        try:
            case.arguments()
        except (ValueError, ModuleNotFoundError) as error:
            raise UsageError(str(error)) from None
    return list(dict.fromkeys(cases))
