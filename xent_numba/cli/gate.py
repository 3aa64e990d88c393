"""``xent-numba gate``: whether a change made anything slower or worse."""

from __future__ import annotations

import argparse
import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

from xent_numba.cli import arguments, output
from xent_numba.cli.arguments import option, several
from xent_numba.errors import UsageError
from xent_numba.results import machine

if TYPE_CHECKING:
    from xent_numba.gate.project import Project


def add(parser: argparse.ArgumentParser) -> None:
    """Declare its arguments."""
    parser.description = (
        "Compare the asv benchmarks of two revisions of the project in this folder. Exit status: "
        "0 no regression, 1 a regression, 2 an error, 3 nothing can be said (with --strict)."
    )
    parser.add_argument("baseline", metavar="BASELINE", help="a revision, as git reads it")
    text = "a revision; the working tree if not given"
    parser.add_argument("candidate", nargs="?", metavar="CANDIDATE", help=text)
    option(parser, "--config", arguments.input_file, "FILE", "of asv; default asv.conf.json here")
    text = "as for asv run: virtualenv, or virtualenv:3.12; what FILE says if it is not given"
    option(parser, "--environment", str, "TYPE[:PYTHON]", text, default="")
    text = "time this program, of both revisions' sources, and no asv benchmarks"
    option(parser, "--command", str, "LINE", text, dest="line", default="")
    text = "time the benchmarks that pytest-benchmark has of these paths, with these arguments"
    option(parser, "--pytest", str, "ARGUMENTS", text, default="")
    text = "for --command and --pytest: run once before, in each side's sources"
    option(parser, "--build", str, "LINE", text, default="")
    text = "count what needs no clock, and compare exactly: all track_ benchmarks"
    parser.add_argument("--exact", action="store_true", help=text)
    text = "regular expression, as for asv run; all if it is not given"
    several(parser, "--bench", arguments.pattern, text)
    text = (
        "leave out benchmarks that load and open no file that differs: each runs once on either "
        "side before. In doubt (data, compiled code, configuration) they are compared"
    )
    parser.add_argument("--touched", action="store_true", help=text)
    text = "for the clock, at most; default 5"
    option(parser, "--budget", arguments.seconds, "MINUTES", text, default=5.0)
    text = "the change that matters; default 5"
    option(parser, "--threshold", arguments.percent, "PERCENT", text, default=0.05)
    text = "a benchmark that is INCONCLUSIVE is no success"
    parser.add_argument("--strict", action="store_true", help=text)
    text = (
        "build no environments: run the sources of both revisions with this Python and its "
        "packages; for a project that needs no building"
    )
    option(parser, "--python", str, "PROGRAM", text)
    text = (
        "CPUs that both sides run on, as 1 or 2-5, with as many threads. On one CPU they are "
        "not told apart by how fast their CPUs are: fewer pairs are needed"
    )
    option(parser, "--cpu-affinity", arguments.cpus, "LIST", text, default=())
    text = (
        "both sides at the same time, one a CPU: the two of --cpu-affinity, or the last two. For "
        "benchmarks of one thread, on a machine where others disturb"
    )
    parser.add_argument("--duet", action="store_true", help=text)
    text = "to wait until other programs rest; default 60"
    option(parser, "--patience", arguments.seconds, "SECONDS", text, default=60.0)
    arguments.files(parser, json="everything that was found", markdown="the table")


def run(options: argparse.Namespace) -> int:
    """Compare, write, and then print."""
    from xent_numba.gate import GateError, gate, tables
    from xent_numba.gate.outcome import OUTCOME
    from xent_numba.gate.pairs import Limits
    from xent_numba.results import store
    from xent_numba.results.files import write
    from xent_numba.results.provenance import Provenance

    duet = _duet(options)
    request = gate.Request(
        baseline=options.baseline,
        candidate=options.candidate,
        exact=options.exact,
        chosen=options.bench or (),
        limits=Limits(60 * options.budget, options.threshold, duet=duet),
        python=_program(options.python),
        # As many threads as CPUs: one of each side in a duet.
        cpus=duet[:1] or options.cpu_affinity,
        patience=options.patience,
        touched=options.touched,
    )
    try:
        project = _project(options)
        provenance = Provenance.now(options.command)
        with output.progress(options.errors) as progress:
            outcome = gate.run(project, request, progress)
    except GateError as error:
        raise UsageError(str(error)) from None
    if options.json:
        store.write(options.json, OUTCOME, provenance, outcome)
    if options.markdown:
        write(options.markdown, tables.markdown(outcome))
    if summary := os.environ.get("GITHUB_STEP_SUMMARY"):
        with Path(summary).open("a", encoding="utf-8") as file:
            file.write(tables.markdown(outcome))
    tables.show(outcome, output.console(options.output))
    if os.environ.get("GITHUB_ACTIONS") == "true":
        print("\n".join(tables.workflow_commands(outcome)), file=options.output)
    return outcome.status(strict=options.strict)


def _project(options: argparse.Namespace) -> Project:
    from xent_numba.gate.project import CommandProject, Project, SuiteProject

    line = options.line or options.pytest
    if not line:
        return Project(options.config or Path.cwd(), options.environment)
    given = {"--exact": options.exact, "--config": options.config, "--touched": options.touched}
    if options.line:
        given |= {"--bench": options.bench, "--pytest": options.pytest}
    else:
        given["--duet"] = options.duet
    if wrong := next((name for name, value in given.items() if value), ""):
        flag = "--command" if options.line else "--pytest"
        raise UsageError(f"{flag} is given with {wrong}; accepted is either")
    kind = CommandProject if options.line else SuiteProject
    return kind(Path.cwd(), line, options.build)


def _duet(options: argparse.Namespace) -> tuple[int, ...]:
    if not options.duet:
        return ()
    found = options.cpu_affinity or (machine.affinity() or [])[-2:]
    if len(found) != 2:
        raise UsageError(f"--duet has {len(found)} CPUs; accepted is --cpu-affinity with two")
    return tuple(found)


def _program(text: str | None) -> str | None:
    if text is None:
        return None
    if (found := shutil.which(text)) is None:
        raise UsageError(f"--python is {text!r}; accepted is a program that can be run")
    return os.path.abspath(found)  # noqa: PTH100 - a link to Python makes its environment
