"""``xent-numba accuracy``: measure errors over the whole range."""

from __future__ import annotations

import argparse
import contextlib
import functools
from pathlib import Path

from xent_numba import registry
from xent_numba.cli import arguments, output
from xent_numba.cli.arguments import ALL, DTYPES, expand, one_of, option, several, whole
from xent_numba.operations import OPERATIONS
from xent_numba.results import machine

DEFAULT_IMPLEMENTATION = "numba_parallel"
SAMPLES, MAX_SAMPLES = 1_000_000, 10**9
FOLDER = Path("reports/accuracy")
STUDIES = ("sweep", "sums", "functions", "reference")


def add(parser: argparse.ArgumentParser) -> None:
    """Declare its arguments."""
    text = (
        f"{ALL}, sweep (default), sums, functions, which are those of vectormath, or reference, "
        "which holds the judge itself to mpmath"
    )
    several(parser, "--study", one_of((*STUDIES, ALL)), text)
    several(parser, "--operation", one_of((*OPERATIONS, ALL)), f"{ALL} (default) or a name")
    several(parser, "--dtype", one_of((*DTYPES, ALL)), f"{ALL} (default), float32 or float64")
    several(parser, "--implementation", one_of((*registry.names(), ALL)), f"{ALL} or a name")
    text = "all 2^32 float32 scores; minutes for each row"
    parser.add_argument("--exhaustive", action="store_true", help=text)
    text = f"in strata, where not all inputs are looked at; default {SAMPLES}"
    option(parser, "--samples", whole(1, MAX_SAMPLES), "N", text, default=SAMPLES)
    text = "the largest sum has 10^N terms; default 7"
    option(parser, "--decades", whole(3, 9), "N", text, default=7)
    text = "go on with a sweep that was ended, if it was the same"
    parser.add_argument("--resume", action="store_true", help=text)
    cpus, text = machine.usable_cpus(), "that share the work; default all CPUs"
    option(parser, "--processes", whole(1, cpus), "N", text, default=cpus)
    text = (
        "of tables, pictures and journals; a row that is there already is kept, unless it is "
        f"measured again; default {FOLDER}"
    )
    kind = arguments.output_folder
    option(parser, "--output", kind, "FOLDER", text, dest="folder", default=FOLDER)


def run(options: argparse.Namespace) -> int:
    """Carry out the studies, each of which is written as it ends."""
    from xent_numba.accuracy import certify, functions, study, summation
    from xent_numba.accuracy.workers import Workers
    from xent_numba.reporting import accuracy
    from xent_numba.results.provenance import Provenance

    provenance = Provenance.now(options.command)
    studies = expand(options.study, STUDIES, STUDIES[:1])
    names = expand(options.implementation, registry.names(), (DEFAULT_IMPLEMENTATION,))
    dtypes = expand(options.dtype, DTYPES, DTYPES)
    # Made here and not before, so that a mistake in another option leaves no folder behind.
    options.folder.mkdir(parents=True, exist_ok=True)
    folder = accuracy.Report(options.folder, provenance)

    def workers() -> contextlib.closing[Workers]:
        return contextlib.closing(Workers(options.processes))

    with output.progress(options.errors) as progress:

        def show(what: str, done: int, parts: int) -> None:
            progress(what, done / parts)

        if "sweep" in studies:
            operations = expand(options.operation, OPERATIONS, tuple(OPERATIONS))
            scope = study.Scope(names, operations, dtypes, options.exhaustive, options.samples)
            with workers() as some:
                found = study.measure(
                    scope,
                    options.folder / "journals",
                    workers=some,
                    provenance=provenance,
                    resume=options.resume,
                    progress=show,
                )
            folder.add_study(found, output.console(options.output))
        if "sums" in studies:
            folder.add_sums(
                summation.measure(names, dtypes, options.decades, workers=workers, progress=show)
            )
        if "functions" in studies:
            with workers() as some:
                of_functions = functions.measure(
                    dtypes,
                    exhaustive=options.exhaustive,
                    samples=options.samples,
                    workers=some,
                    progress=show,
                )
            folder.add_functions(of_functions)
        if "reference" in studies:
            about = functools.partial(show, "reference against mpmath")
            with workers() as some:
                folder.add_certificates(certify.check(options.samples, some, about))
    return 0
