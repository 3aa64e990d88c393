"""``xent-numba history``: where the history that asv keeps has changed."""

from __future__ import annotations

import argparse
from pathlib import Path

from xent_numba.cli import arguments, output
from xent_numba.cli.arguments import option, several
from xent_numba.errors import UsageError


def add(parser: argparse.ArgumentParser) -> None:
    """Declare its arguments."""
    parser.description = (
        "Find where series of asv's results changed, and the command that asks the gate whether "
        "it was the code. Exit status: 0 whatever is found; 2 for an error."
    )
    text = "asv's results_dir; what asv.conf.json here says if it is not given"
    option(parser, "folder", Path, "FOLDER", text, nargs="?")
    several(parser, "--bench", arguments.pattern, "regular expression; all if it is not given")
    arguments.files(
        parser, json="every series", markdown="the table", figure="a picture, SVG, of what changed"
    )


def run(options: argparse.Namespace) -> int:
    """Read, write, and then print."""
    from xent_numba.gate import GateError, history
    from xent_numba.gate.project import Project
    from xent_numba.reporting import history as drawn
    from xent_numba.results import files, store, table
    from xent_numba.results.provenance import Provenance

    try:
        folder = options.folder
        if folder is None:
            project = Project(Path.cwd())
            folder = project.folder / str(project.configuration.results_dir)
        with output.progress(options.errors) as progress:
            found = history.read(folder, options.bench or (), progress)
    except GateError as error:
        raise UsageError(str(error)) from None
    if options.json:
        store.write(options.json, history.HISTORY, Provenance.now(options.command), found)
    if options.markdown:
        files.write(options.markdown, drawn.markdown(found))
    if options.figure:
        files.write(options.figure, drawn.draw(found))
    shown = drawn.as_table(found)
    if shown.rows:
        table.show(shown, output.console(options.output))
    print(drawn.notes(found), file=options.output)
    return 0
