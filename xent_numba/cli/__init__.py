"""The command ``xent-numba``: one file a command, each of which leaves the work to others."""

from __future__ import annotations

import argparse
import errno
import importlib
import importlib.util
import shlex
import sys
import time
import traceback
from collections.abc import Sequence
from typing import NoReturn

from xent_numba import __version__
from xent_numba.cli.output import Output
from xent_numba.errors import ResultFileError, UsageError
from xent_numba.results import table

_COMMANDS = {
    "info": "what this machine is, and what can run on it",
    "compare": "judge and time implementations",
    "accuracy": "measure errors over the whole range",
    "report": "show what was measured as one page",
    "history": "where the history that asv keeps has changed",
    "gate": "whether a change made anything slower or worse",
}
_GATE = ("asv", "msgspec", "platformdirs", "psutil", "rich", "scipy")
_BENCH = (*_GATE, "jinja2", "matplotlib", "mpmath")


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command.

    Parameters
    ----------
    argv : sequence of str, optional
        Arguments; those of the process if not given.

    Returns
    -------
    int
        Exit status: 0; 1 where what was judged is wrong, or worse than before; 2 for a mistake, in
        an argument, a file or the program; 3 where nothing can be said, with ``--strict``; 130
        after an interruption.
    """
    started = time.monotonic()
    argv = sys.argv[1:] if argv is None else list(argv)
    try:
        options = parser(argv).parse_args(argv)
    except UsageError as error:
        print(f"xent-numba: {error}", file=sys.stderr)
        return 2
    options.output, options.errors = Output(sys.stdout), Output(sys.stderr)
    options.command, options.started = shlex.join(["xent-numba", *argv]), started
    said = ""
    try:
        status: int = options.run(options)
        options.output.flush()
    except (Exception, KeyboardInterrupt) as error:  # noqa: BLE001 - 1 would be a verdict
        status, said = _failure(error, options)
    name = f"xent-numba {options.subcommand}"
    if said:
        print(f"{name}: {_printable(said)}", file=options.errors)
    failed = options.output.error
    if failed is not None and failed.errno not in (errno.EPIPE, errno.EINVAL):
        said = f"standard output: {failed.strerror}; files are complete"
        print(f"{name}: {said}", file=options.errors)
        status = status or 2
    return status


def _failure(error: BaseException, options: argparse.Namespace) -> tuple[int, str]:
    """Exit status, and the sentence that is said."""
    match error:
        case UsageError() | ResultFileError():
            return 2, str(error)
        case OSError():
            return 2, f"{error.filename!r}: {error.strerror}" if error.filename else str(error)
        case KeyboardInterrupt():
            return 130, "interrupted"
    if options.debug:
        traceback.print_exception(error)
    shown = f"{type(error).__name__}: {error}".replace("\n", " ")
    return 2, f"{shown}; `xent-numba --debug {options.subcommand}` shows where"


def _printable(said: str) -> str:
    """What is said, in lines; names in it may hold what would steer a terminal."""
    return "\n".join(map(table.printable, said.splitlines()))


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: {_printable(message)}\n")


def parser(argv: Sequence[str] | None = None) -> argparse.ArgumentParser:
    """Return what reads the arguments.

    Parameters
    ----------
    argv : sequence of str, optional
        The arguments: of the command that they name, and of no other, the file is imported. Without
        them, as shtab asks, that of each.

    Raises
    ------
    UsageError
        If that needs a package that is not installed.
    """
    found = _Parser("xent-numba", description="Sigmoid and cross-entropy kernels, compared.")
    found.add_argument("--version", action="version", version=f"xent-numba {__version__}")
    found.add_argument("--debug", action="store_true", help="show where the program failed")
    named = f"{{{','.join(_COMMANDS)}}}"
    commands = found.add_subparsers(dest="subcommand", required=True, metavar=named)
    asked = next((text for text in argv or () if not text.startswith("-")), None)
    for name, summary in _COMMANDS.items():
        command = commands.add_parser(name, help=summary)
        if argv is None or name == asked:
            _require_extra(name)
            module = importlib.import_module(f"xent_numba.cli.{name}")
            module.add(command)
            command.set_defaults(run=module.run)
    return found


def _require_extra(command: str) -> None:
    if command == "info":
        return
    extra, needed = ("gate", _GATE) if command == "gate" else ("bench", _BENCH)
    if missing := [name for name in needed if importlib.util.find_spec(name) is None]:
        raise UsageError(
            f"{command} needs {', '.join(missing)}: pip install 'xent-numba[{extra}]' has them"
        )
