"""Measure commits from the whole log by today's benchmarks, and publish what asv has of them.

    python tools/history.py run --commits 30      # and options of ``asv run``
    python tools/history.py publish

`publish` is ``asv publish``, with graphs that open on a logarithmic axis, which a thousand samples
and a million share, and with a page of commits for its links, so that no host is needed for them.
"""

from __future__ import annotations

import argparse
import html
import subprocess
import sys
import tempfile
from pathlib import Path

from asv import environment
from asv.config import Config

ROOT = Path(__file__).parents[1]
FIRST_WITH = "xent_numba/implementations/numba_parallel.py"
LOGARITHMIC = {
    "summarygrid.js": (
        """href="#' + bm.name +""",
        """href="#' + bm.name + '?y-axis-scale=log' +""",
    ),
    "graphdisplay.js": (
        """<a href="#' + bm_name + '">""",
        """<a href="#' + bm_name + '?y-axis-scale=log">""",
    ),
}
PAGE = """<!doctype html><meta charset="utf-8"><title>Commits</title>
<style>body{{max-width:50em;margin:2em auto;font:16px/1.5 sans-serif;padding:0 1em}}
pre{{white-space:pre-wrap;font:inherit}}section:target{{background:#ffc}}</style>
<h1>Commits</h1><p>Newest first.</p>
{}"""


def git(*arguments: str) -> str:
    """What git answers about this repository."""
    command = ["git", "-C", str(ROOT), *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def spread(commits: list[str], number: int) -> list[str]:
    """Take so many commits, evenly from the first to the last."""
    step = max(1.0, (len(commits) - 1) / max(1, number - 1))
    return [commits[round(step * i)] for i in range(min(number, len(commits)))]


def candidates(last: str) -> list[str]:
    """Commits that changed the package, oldest first, from that on which has the subject."""
    first = git("log", "--reverse", "--format=%H", last, "--", FIRST_WITH).split()[0]
    changed = git("log", "--reverse", "--format=%H", f"{first}^..{last}", "--", "xent_numba")
    return changed.split()


def run(configuration: Config, options: argparse.Namespace, more: list[str]) -> int:
    """Let asv measure what it has no results of, in the newest environment of its matrix."""
    newest = next(environment.get_environments(configuration, None)).name
    with tempfile.NamedTemporaryFile("w", suffix=".txt") as file:
        file.write("\n".join(spread(candidates(options.last), options.commits)))
        file.flush()
        command = ["run", "--environment", newest, "--skip-existing-successful", "--show-stderr"]
        command += [*more, f"HASHFILE:{file.name}"]
        return subprocess.run([sys.executable, "-m", "asv", *command], cwd=ROOT).returncode


def publish(configuration: Config, *_: object) -> int:
    """Let asv draw what it has, and add what it lacks."""
    folder = ROOT / configuration.html_dir
    subprocess.run([sys.executable, "-m", "asv", "publish", "--no-pull"], cwd=ROOT, check=True)
    for name, (before, after) in LOGARITHMIC.items():
        script = (folder / name).read_text("utf-8")
        if script.count(before) != 1:
            raise SystemExit(f"{name} of this asv has no {before!r}; accepted is asv 0.6.6")
        (folder / name).write_text(script.replace(before, after), "utf-8")
    log = git("log", "--format=%H%x00%h%x00%cs%x00%s%x00%b%x01").split("\x01")
    sections = []
    for commit in filter(None, map(str.strip, log)):
        full, short, day, subject, body = map(html.escape, commit.split("\0"))
        # asv links to eight letters of a commit from a graph, and to all from its regressions.
        sections.append(
            f'<section id="{full}"><a id="{full[:8]}"></a><h3>{subject}</h3>'
            f"<p><code>{short}</code>, {day}</p><pre>{body}</pre></section>"
        )
    (folder / "commits.html").write_text(PAGE.format("\n".join(sections)), "utf-8")
    return 0


def main() -> int:
    """Do what is asked."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    commands = parser.add_subparsers(required=True)
    measure = commands.add_parser("run", help="measure commits of the log")
    measure.add_argument("--commits", type=int, default=30, metavar="N")
    measure.add_argument("--last", default="main", metavar="COMMIT")
    measure.set_defaults(act=run)
    commands.add_parser("publish", help="draw the dashboard").set_defaults(act=publish)
    options, more = parser.parse_known_args()
    status: int = options.act(Config.load(str(ROOT / "asv.conf.json")), options, more)
    return status


if __name__ == "__main__":
    sys.exit(main())
