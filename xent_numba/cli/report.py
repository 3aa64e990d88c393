"""``xent-numba report``: show what was measured as one page."""

from __future__ import annotations

import argparse
from pathlib import Path

from xent_numba.cli import arguments
from xent_numba.cli.arguments import option
from xent_numba.errors import UsageError


def add(parser: argparse.ArgumentParser) -> None:
    """Declare its arguments."""
    folder, text = Path("reports"), "holds compare/ and accuracy/, gets index.html and headline.md"
    option(parser, "--folder", arguments.output_folder, "FOLDER", text, default=folder)


def run(options: argparse.Namespace) -> int:
    """Read what was measured, draw it, and write it."""
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
    print(f"wrote {options.folder / 'index.html'}", file=options.output)
    return 0
