"""The command ``xent-numba``: reads the arguments, leaves the work to others, writes files."""

from __future__ import annotations

import argparse
import dataclasses
import difflib
import functools
import importlib.util
import itertools
import math
import os
import re
import shlex
import shutil
import sys
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from xent_numba import __version__, registry, workloads
from xent_numba.host_arrays import LABEL_DTYPES
from xent_numba.measurement.participant import Contestant
from xent_numba.measurement.suite import FULL, PARTS, SUBJECT, log_spaced
from xent_numba.operations import OPERATIONS, REDUCTIONS

if TYPE_CHECKING:
    from rich.progress import Progress

    from xent_numba.measurement.case import Case
    from xent_numba.measurement.comparison import Comparison
    from xent_numba.measurement.suite import Entries

DEFAULT_OPERATIONS = ("sigmoid", "binary_cross_entropy", "logistic_loss")
DEFAULT_WORKLOAD = "flights"
DEFAULT_BASELINE = "numpy_stable"
DEFAULT_IMPLEMENTATION = "numba_parallel"
SAMPLES = 1_000_000
STUDIES = ("sweep", "sums", "reference")
DTYPES = ("float32", "float64")
BUDGET, QUICK_BUDGET = 60.0, 4.0
MAX_SIZE = 2**30
FACTOR = 4
ALL = "all"
_EXTRA = ("jinja2", "matplotlib", "mpmath", "psutil", "rich", "scipy")


class UsageError(Exception):
    """What was asked for cannot be done; the message says why, in one sentence."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command.

    Parameters
    ----------
    argv : sequence of str, optional
        Arguments; those of the process if not given.

    Returns
    -------
    int
        Exit status: 0, 2 for an argument that is not accepted, 130 after an interruption; for
        what `gate` concludes see its help.
    """
    argv = sys.argv[1:] if argv is None else list(argv)
    options = _parser().parse_args(argv)
    try:
        _require_extra()
        status: int | None = options.run(options, shlex.join(["xent-numba", *argv]))
    except UsageError as error:
        print(f"xent-numba {options.subcommand}: {error}", file=sys.stderr)
        return 2
    except OSError as error:
        print(
            f"xent-numba {options.subcommand}: {error.filename!r}: {error.strerror}",
            file=sys.stderr,
        )
        return 2
    except KeyboardInterrupt:
        print(f"xent-numba {options.subcommand}: interrupted", file=sys.stderr)
        return 130
    return status or 0


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: {message}\n")


def _parser() -> argparse.ArgumentParser:
    parser = _Parser("xent-numba", description="Sigmoid and cross-entropy kernels, compared.")
    parser.add_argument("--version", action="version", version=f"xent-numba {__version__}")
    commands = parser.add_subparsers(
        dest="subcommand", required=True, metavar="{info,compare,accuracy,report,gate}"
    )
    info = commands.add_parser("info", help="what this machine is, and what can run on it")
    info.add_argument(
        "--cpu", action="store_true", help="only what computes, in one line, for asv machine --cpu"
    )
    info.set_defaults(run=_info)
    _add_compare(commands.add_parser("compare", help="judge and time implementations"))
    _add_accuracy(commands.add_parser("accuracy", help="measure errors over the whole range"))
    _add_report(commands.add_parser("report", help="show what was measured as one page"))
    _add_gate(commands.add_parser("gate", help="whether a change made anything slower or worse"))
    return parser


def _several(
    parser: argparse.ArgumentParser, flag: str, read: Callable[[str], object], text: str
) -> None:
    help_text = f"{text}; may be given again"
    parser.add_argument(flag, action="append", type=read, metavar=flag[2:].upper(), help=help_text)


def _add_compare(parser: argparse.ArgumentParser) -> None:
    parser.set_defaults(run=_compare)
    _several(parser, "--operation", _one_of((*OPERATIONS, ALL)), f"{ALL} or a name")
    _several(parser, "--dtype", _one_of((*DTYPES, ALL)), f"{ALL}, float32 or float64")
    _several(parser, "--size", _size, "number of samples; 2^20 is read too")
    parser.add_argument(
        "--sizes",
        type=_sizes,
        metavar="LOW:HIGH[:FACTOR]",
        help=f"log-spaced numbers of samples, as 1:2^27; each {FACTOR} times the one before",
    )
    _several(parser, "--workload", _one_of((*workloads.names(), ALL)), f"{ALL} or a name")
    _several(
        parser,
        "--implementation",
        _contestant,
        "name, or path of a .py file; with @1 after it, on one thread",
    )
    parser.add_argument(
        "--suite",
        type=_one_of((FULL, *PARTS)),
        metavar="PART",
        help="all that the reports hold (full), or one part of it, into --output; "
        + "; ".join(f"{part.name}: {part.summary}" for part in PARTS.values()),
    )
    parser.add_argument(
        "--output",
        type=_output_folder,
        default=Path("reports/compare"),
        metavar="FOLDER",
        help="for --suite: gets PART.json, PART.md and PART.csv; default reports/compare",
    )
    parser.add_argument(
        "--reduction",
        type=_one_of(REDUCTIONS),
        default="sum",
        metavar="REDUCTION",
        help="of the losses: none, sum (default) or mean",
    )
    parser.add_argument(
        "--label-dtype",
        type=_one_of([str(dtype) for dtype in LABEL_DTYPES]),
        metavar="DTYPE",
        help="of the labels; the dtype of the scores if not given",
    )
    parser.add_argument(
        "--baseline",
        type=_implementation,
        default=DEFAULT_BASELINE,
        metavar="NAME",
        help=f"what a speed-up divides by; default {DEFAULT_BASELINE}",
    )
    parser.add_argument(
        "--threads",
        type=_whole(1, _usable_cpus()),
        default=_usable_cpus(),
        metavar="N",
        help="for every library; default all CPUs",
    )
    parser.add_argument("--quick", action="store_true", help="float32 only, and few rounds")
    parser.add_argument(
        "--budget",
        type=_seconds,
        metavar="SECONDS",
        help=f"for all timed rounds; default {BUDGET:g}, with --quick {QUICK_BUDGET:g}",
    )
    parser.add_argument(
        "--from-json",
        type=_input_file,
        metavar="FILE",
        help="show a comparison that --json kept, and measure nothing",
    )
    for flag, what in (
        ("--json", "everything that was measured"),
        ("--markdown", "the tables"),
        ("--csv", "one line for each row"),
        ("--figure", "a picture, SVG"),
    ):
        parser.add_argument(flag, type=_output_file, metavar="FILE", help=f"write {what}")


def _add_accuracy(parser: argparse.ArgumentParser) -> None:
    parser.set_defaults(run=_accuracy)
    _several(
        parser,
        "--study",
        _one_of((*STUDIES, ALL)),
        f"{ALL}, sweep (default), sums, or reference, which holds the judge itself to mpmath",
    )
    _several(parser, "--operation", _one_of((*OPERATIONS, ALL)), f"{ALL} (default) or a name")
    _several(parser, "--dtype", _one_of((*DTYPES, ALL)), f"{ALL} (default), float32 or float64")
    _several(parser, "--implementation", _one_of((*registry.names(), ALL)), f"{ALL} or a name")
    parser.add_argument(
        "--exhaustive", action="store_true", help="all 2^32 float32 scores; minutes for each row"
    )
    parser.add_argument(
        "--samples",
        type=_whole(1, 2**40),
        default=SAMPLES,
        metavar="N",
        help=f"in strata, where not all inputs are looked at; default {SAMPLES}",
    )
    parser.add_argument(
        "--decades",
        type=_whole(3, 9),
        default=7,
        metavar="N",
        help="the largest sum has 10^N terms; default 7",
    )
    parser.add_argument(
        "--resume",
        action="store_true",
        help="go on with a sweep that was ended, if it was the same",
    )
    parser.add_argument(
        "--processes",
        type=_whole(1, _usable_cpus()),
        default=_usable_cpus(),
        metavar="N",
        help="that share the work; default all CPUs",
    )
    parser.add_argument(
        "--output",
        type=_output_folder,
        default=Path("reports/accuracy"),
        metavar="FOLDER",
        help="of tables, pictures and journals; a row that is there already is kept, unless it is "
        "measured again; default reports/accuracy",
    )


def _add_report(parser: argparse.ArgumentParser) -> None:
    parser.set_defaults(run=_report)
    parser.add_argument(
        "--folder",
        type=_output_folder,
        default=Path("reports"),
        metavar="FOLDER",
        help="holds compare/ and accuracy/, gets index.html and headline.md; default reports",
    )


def _add_gate(parser: argparse.ArgumentParser) -> None:
    parser.set_defaults(run=_gate)
    parser.description = (
        "Compare the asv benchmarks of two revisions of the project in this folder. Exit status: "
        "0 no regression, 1 a regression, 2 an error, 3 nothing can be said (with --strict)."
    )
    parser.add_argument("baseline", metavar="BASELINE", help="a revision, as git reads it")
    parser.add_argument(
        "contender",
        nargs="?",
        metavar="CONTENDER",
        help="a revision; the working tree if not given",
    )
    parser.add_argument(
        "--exact",
        action="store_true",
        help="count what needs no clock, and compare exactly: all track_ benchmarks",
    )
    _several(
        parser, "--bench", _pattern, "regular expression, as for asv run; all if it is not given"
    )
    parser.add_argument(
        "--budget",
        type=_seconds,
        default=5.0,
        metavar="MINUTES",
        help="for the clock, at most; default 5",
    )
    parser.add_argument(
        "--threshold",
        type=_percent,
        default=0.05,
        metavar="PERCENT",
        help="the change that matters; default 5",
    )
    parser.add_argument(
        "--strict", action="store_true", help="a benchmark that is INCONCLUSIVE is no success"
    )
    parser.add_argument(
        "--python",
        metavar="PROGRAM",
        help="build no environments: run the sources of both revisions with this Python and its "
        "packages; for a project that needs no building",
    )
    parser.add_argument(
        "--cpu-affinity",
        type=_cpus,
        default=(),
        metavar="LIST",
        help="CPUs that both sides run on, as 1 or 2-5, with as many threads. On one CPU they are "
        "not told apart by how fast their CPUs are: fewer pairs are needed",
    )
    parser.add_argument(
        "--patience",
        type=_seconds,
        default=60.0,
        metavar="SECONDS",
        help="to wait until other programs rest; default 60",
    )
    for flag, what in (("--json", "everything that was found"), ("--markdown", "the table")):
        parser.add_argument(flag, type=_output_file, metavar="FILE", help=f"write {what}")


def _info(options: argparse.Namespace, command: str) -> None:
    from rich.console import Console

    from xent_numba.reporting import info

    if options.cpu:
        Console(highlight=False, soft_wrap=True).print(info.processors(), markup=False)
    else:
        info.show(Console(highlight=False))


def _compare(options: argparse.Namespace, command: str) -> None:
    from rich.console import Console

    from xent_numba.reporting import figure, tables
    from xent_numba.results.files import write

    if options.suite:
        _run_suite(options)
        return
    files = [f for f in (options.json, options.markdown, options.csv, options.figure) if f]
    if len(set(files)) < len(files):
        raise UsageError(
            "two of --json, --markdown, --csv and --figure name one file; accepted are two"
        )
    comparison = _read(options.from_json) if options.from_json else _compare_asked(options, command)
    tables.show(comparison, Console(highlight=False))
    for path, render in (
        (options.json, type(comparison).to_json),
        (options.markdown, tables.markdown),
        (options.csv, tables.as_csv),
        (options.figure, figure.draw),
    ):
        if path:
            write(path, render(comparison))


def _run_suite(options: argparse.Namespace) -> None:
    chosen = ("operation", "dtype", "size", "sizes", "workload", "implementation", "from_json")
    if given := [name for name in chosen if getattr(options, name) is not None]:
        raise UsageError(
            f"--suite is given with --{given[0].replace('_', '-')}, which it decides; accepted are "
            "--output, --budget and --threads"
        )
    from rich.console import Console

    from xent_numba.reporting import tables
    from xent_numba.results.files import write

    console = Console(highlight=False)
    options.output.mkdir(parents=True, exist_ok=True)
    names = list(registry.names())
    for part in PARTS.values() if options.suite == FULL else [PARTS[options.suite]]:
        entries = part.enter(names, options.threads)
        command = f"xent-numba compare --suite {part.name}"
        budget = options.budget or part.budget
        comparison = _measure(entries, part.baseline, SUBJECT, budget, command, part.name)
        tables.show(comparison, console)
        for ending, content in (
            ("json", comparison.to_json()),
            ("md", tables.markdown(comparison)),
            ("csv", tables.as_csv(comparison)),
        ):
            write(options.output / f"{part.name}.{ending}", content)


def _accuracy(options: argparse.Namespace, command: str) -> None:
    from rich.console import Console

    from xent_numba.accuracy import certify, study, sums, sweep
    from xent_numba.reporting import accuracy
    from xent_numba.results import machine

    described = machine.fingerprint()
    origin = {
        "command": command,
        **machine.commit(),
        "cpu": described["cpu"],
        "python": described["python"],
        "versions": described["versions"],
    }
    studies = _expand(options.study, STUDIES, STUDIES[:1])
    names = _expand(options.implementation, registry.names(), (DEFAULT_IMPLEMENTATION,))
    dtypes = _expand(options.dtype, DTYPES, DTYPES)
    # Made here and not before, so that a mistake in another option leaves no folder behind.
    options.output.mkdir(parents=True, exist_ok=True)
    report = accuracy.Report(options.output)
    workers = functools.partial(sweep.processes, options.processes)
    with _progress() as progress:
        task = progress.add_task("starting", total=1.0)

        def show(what: str, done: int, parts: int) -> None:
            progress.update(task, description=what, completed=done / parts)

        if "sweep" in studies:
            operations = _expand(options.operation, OPERATIONS, tuple(OPERATIONS))
            try:
                with workers() as pool:
                    found = study.survey(
                        names,
                        operations,
                        dtypes,
                        options.output / "journals",
                        exhaustive=options.exhaustive,
                        samples=options.samples,
                        resume=options.resume,
                        pool=pool,
                        origin=origin,
                        report=show,
                    )
            except sweep.OtherSweepError as error:
                raise UsageError(f"--resume: {error}") from None
            report.add_survey(found, Console(highlight=False))
        if "sums" in studies:
            report.add_sums(
                sums.measure(
                    names, dtypes, options.decades, executor=workers, origin=origin, report=show
                )
            )
        if "reference" in studies:
            with workers() as pool:
                report.add_check(
                    certify.check(
                        options.samples,
                        pool=pool,
                        origin=origin,
                        report=functools.partial(show, "reference against mpmath"),
                    )
                )


def _report(options: argparse.Namespace, command: str) -> None:
    from xent_numba.reporting import report
    from xent_numba.results.files import write

    try:
        sources = report.Sources.read(options.folder)
    except ValueError as error:
        raise UsageError(
            f"--folder: {error}; accepted is a folder that compare --suite and accuracy wrote to"
        ) from None
    write(options.folder / "index.html", report.page(sources))
    write(options.folder / "headline.md", report.headline_markdown(sources))
    write(options.folder / "headline.svg", report.picture(sources))
    print(f"wrote {options.folder / 'index.html'}")


def _gate(options: argparse.Namespace, command: str) -> int:
    from rich.console import Console

    from xent_numba.gate import GateError, gate, tables
    from xent_numba.gate.environments import Project
    from xent_numba.results.files import write

    request = gate.Request(
        baseline=options.baseline,
        contender=options.contender,
        exact=options.exact,
        chosen=options.bench or (),
        threshold=options.threshold,
        budget=60 * options.budget,
        python=_program(options.python),
        cpus=options.cpu_affinity,
        patience=options.patience,
    )
    try:
        with _progress() as progress:
            task = progress.add_task("starting", total=1.0)

            def show(what: str, done: float) -> None:
                progress.update(task, description=what, completed=done)

            outcome = gate.run(Project(Path.cwd()), request, command, show)
    except GateError as error:
        raise UsageError(str(error)) from None
    tables.show(outcome, Console(highlight=False))
    if options.json:
        write(options.json, outcome.to_json())
    if options.markdown:
        write(options.markdown, tables.markdown(outcome))
    if os.environ.get("GITHUB_ACTIONS") == "true":
        print("\n".join(tables.workflow_commands(outcome)))
    if summary := os.environ.get("GITHUB_STEP_SUMMARY"):
        with Path(summary).open("a") as file:
            file.write(tables.markdown(outcome))
    return outcome.status(strict=options.strict)


def _read(path: Path) -> Comparison:
    from xent_numba.measurement.comparison import Comparison

    try:
        return Comparison.from_json(path.read_text())
    except ValueError as error:
        raise UsageError(
            f"--from-json is {str(path)!r}, {error}; accepted is a file that --json wrote"
        ) from None


def _compare_asked(options: argparse.Namespace, command: str) -> Comparison:
    cases = _cases(options)
    asked = options.implementation or list(registry.names())
    members = [Contestant.of(text, options.threads) for text in asked]
    baseline = Contestant.of(options.baseline, options.threads)
    members = list(dict.fromkeys((*members, baseline)))
    labels = [one.label for one in members]
    twin = SUBJECT if SUBJECT in labels else labels[0]
    budget = options.budget or (QUICK_BUDGET if options.quick else BUDGET)
    entries: Entries = dict.fromkeys(cases, members)
    return _measure(entries, baseline.label, twin, budget, command)


def _measure(
    entries: Entries, baseline: str, twin: str, budget: float, command: str, name: str = ""
) -> Comparison:
    from xent_numba.measurement.comparison import compare

    with _progress() as progress:
        task = progress.add_task("starting", total=1.0)
        return compare(
            entries,
            baseline=baseline,
            twin=twin,
            budget=budget,
            command=command,
            report=lambda what, done: progress.update(
                task, description=f"{name} {what}".strip(), completed=done
            ),
        )


def _progress() -> Progress:
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TaskProgressColumn(),
        TimeElapsedColumn(),
    )
    return Progress(*columns, console=Console(stderr=True), transient=True)


def _cases(options: argparse.Namespace) -> list[Case]:
    """Every combination of what was asked for; one sample of each shows whether it can be drawn."""
    from xent_numba.measurement.case import Case

    combinations = itertools.product(
        _expand(options.operation, OPERATIONS, DEFAULT_OPERATIONS),
        _expand(options.workload, workloads.names(), (DEFAULT_WORKLOAD,)),
        [*(options.size or ()), *(options.sizes or ())] or [None],
        _expand(options.dtype, DTYPES, DTYPES[:1] if options.quick else DTYPES),
    )
    cases = [Case.of(*one, options.label_dtype, options.reduction) for one in combinations]
    for case in dict.fromkeys(dataclasses.replace(case, size=1) for case in cases):
        try:
            case.arguments()
        except (ValueError, ModuleNotFoundError) as error:
            raise UsageError(str(error)) from None
    return list(dict.fromkeys(cases))


def _expand(given: list[str] | None, every: Iterable[str], default: Sequence[str]) -> list[str]:
    if given is None:
        return list(default)
    return list(every) if ALL in given else given


def _require_extra() -> None:
    if missing := [name for name in _EXTRA if importlib.util.find_spec(name) is None]:
        raise UsageError(
            f"{', '.join(missing)} not installed here: pip install 'xent-numba[bench]'"
        )


def _usable_cpus() -> int:
    from xent_numba.results import machine

    return machine.usable_cpus()


def _one_of(accepted: Iterable[str]) -> Callable[[str], str]:
    names = list(accepted)

    def read(text: str) -> str:
        if text in names:
            return text
        near = difflib.get_close_matches(text, names, n=1)
        hint = f" (did you mean {near[0]!r}?)" if near else ""
        raise argparse.ArgumentTypeError(f"{text!r}{hint}; accepted are {', '.join(names)}")

    return read


def _contestant(text: str) -> str:
    """A name or a path, with the number of threads after an @ if it has one of its own."""
    implementation, at, threads = text.rpartition("@")
    if at:
        _whole(1, _usable_cpus())(threads)
    _implementation(implementation if at else text)
    return text


def _implementation(text: str) -> str:
    if not text.endswith(".py"):
        return _one_of(registry.names())(text)
    from xent_numba.measurement import worker

    try:
        worker.check_file(Path(text))
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None
    return text


def _whole(low: int, high: int) -> Callable[[str], int]:
    def read(text: str) -> int:
        try:
            value = int(text)
        except ValueError:
            value = low - 1
        if not low <= value <= high:
            raise argparse.ArgumentTypeError(
                f"{text!r}; accepted is a whole number from {low} to {high}"
            )
        return value

    return read


def _size(text: str) -> int:
    """A number of samples; 2^20 is a number."""
    base, power, exponent = text.partition("^")
    if power and base.isdecimal() and exponent.isdecimal() and int(exponent) <= 30:
        text = str(int(base) ** int(exponent))
    return _whole(1, MAX_SIZE)(text)


def _sizes(text: str) -> list[int]:
    ends = text.split(":")
    if not 2 <= len(ends) <= 3:
        raise argparse.ArgumentTypeError(f"{text!r}; accepted is LOW:HIGH or LOW:HIGH:FACTOR")
    low, high, factor = _size(ends[0]), _size(ends[1]), _size(ends[2]) if ends[2:] else FACTOR
    if low > high or factor < 2:
        raise argparse.ArgumentTypeError(
            f"{text!r}; accepted are sizes that grow, by a factor of at least 2"
        )
    return log_spaced(low, high, factor)


def _pattern(text: str) -> str:
    try:
        re.compile(text)
    except re.error as error:
        raise argparse.ArgumentTypeError(
            f"{text!r}, {error}; accepted is a regular expression"
        ) from None
    return text


def _percent(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 < value <= 100:
        raise argparse.ArgumentTypeError(f"{text!r}; accepted is a percentage from 0 to 100")
    return value / 100


def _cpus(text: str) -> tuple[int, ...]:
    from xent_numba.results import machine

    if (usable := machine.affinity()) is None:
        raise argparse.ArgumentTypeError("CPUs cannot be chosen on this system; accepted is none")
    found: set[int] = set()
    for part in text.split(","):
        low, _, high = part.partition("-")
        if low.isdecimal() and (not high or high.isdecimal()):
            found.update(range(int(low), int(high or low) + 1))
        else:
            found.add(-1)
    if not found <= set(usable):
        raise argparse.ArgumentTypeError(
            f"{text!r}; accepted are CPUs as 1, 0,2 or 2-5, from {', '.join(map(str, usable))}"
        )
    return tuple(sorted(found))


def _program(text: str | None) -> str | None:
    if text is None:
        return None
    if (found := shutil.which(text)) is None:
        raise UsageError(f"--python is {text!r}; accepted is a program that can be run")
    return os.path.abspath(found)  # noqa: PTH100 - a link to Python makes its environment


def _seconds(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 < value < math.inf:
        raise argparse.ArgumentTypeError(f"{text!r}; accepted is a number of seconds above 0")
    return value


def _input_file(text: str) -> Path:
    if not Path(text).is_file():
        raise argparse.ArgumentTypeError(f"{text!r}; accepted is a file that exists")
    return Path(text)


def _output_file(text: str) -> Path:
    path = Path(text)
    if path.is_dir() or not os.access(path.parent, os.W_OK):
        raise argparse.ArgumentTypeError(
            f"{text!r}; accepted is a file in a folder that exists and can be written to"
        )
    return path


def _output_folder(text: str) -> Path:
    path = Path(text)
    nearest = next(folder for folder in (path, *path.absolute().parents) if folder.exists())
    if not (nearest.is_dir() and os.access(nearest, os.W_OK)):
        raise argparse.ArgumentTypeError(f"{text!r}; accepted is a folder that can be written to")
    return path
