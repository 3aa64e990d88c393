"""``xent-numba report``: show what was measured, as one page or one run."""

from __future__ import annotations

import argparse
from pathlib import Path

from xent_numba.cli import arguments, output
from xent_numba.cli.arguments import option

README = Path("README.md")


def add(parser: argparse.ArgumentParser) -> None:
    """Declare its arguments."""
    text = "a run that compare --json kept: print it, and write nothing"
    option(parser, "file", arguments.input_file, "RUN", text, nargs="?")
    folder, text = Path("reports"), "holds compare/ and accuracy/, gets index.html and headline.md"
    option(
        parser,
        "--folder",
        arguments.output_folder,
        "FOLDER",
        f"{text}; default {folder}",
        default=folder,
    )
    text = f"write the results between the marks of FILE too, {README} if it is not given"
    option(parser, "--readme", arguments.input_file, "FILE", text, nargs="?", const=README)


def run(options: argparse.Namespace) -> int:
    """Read what was measured, draw it, and write it."""
    from xent_numba.measurement.comparison import COMPARISON
    from xent_numba.reporting import headline, page, readme, tables
    from xent_numba.reporting.sources import Sources
    from xent_numba.results import store
    from xent_numba.results.files import write

    if options.file:
        tables.show(store.read(options.file, COMPARISON), output.console(options.output))
        return 0
    folder: Path = options.folder
    sources = Sources.read(folder)
    made: dict[Path, str | None] = {}
    if options.readme:
        made[options.readme] = readme.updated(options.readme.read_text("utf-8"), sources)
    made |= {
        folder / "index.html": page.render(sources),
        folder / "headline.md": headline.markdown(sources) + "\n",
        folder / "headline.svg": headline.picture(sources),
    }
    for path, content in made.items():
        if content is not None:
            write(path, content)
            print(f"wrote {path}", file=options.output)
    return 0
