"""Names and reasons are data: a table, a picture and a page show them, and obey none."""

from __future__ import annotations

import dataclasses
import html
import io
import json
import re
from xml.etree import ElementTree

import fabricated
import pytest
from markdown_it import MarkdownIt
from rich.console import Console

from xent_numba import cli
from xent_numba.measurement.comparison import COMPARISON
from xent_numba.measurement.participant import Preparation
from xent_numba.reporting import figure, headline, tables
from xent_numba.reporting.sources import Sources
from xent_numba.results import store, table

NAMES = {
    "numpy_stable": "$x^{$",
    "numexpr_vm": "a|b",
    "numba_simple": "<script>alert(1)</script>",
    "torch_eager": "\x1b]0;owned\x07",
    "jax_jit": "[red]",
    "scipy_special": "`a` **b**",
}
"""What participants are called, who are files of somebody's."""
REASON = "\x1b[2J\x9b31m <img src=x onerror=alert(1)> | *not* our words"


def steers(text: str) -> bool:
    """Whether a terminal would find more in it than letters and lines."""
    return re.search(r"[^\n\t -~\u00a0-\uffff]", text) is not None


@pytest.fixture(scope="module")
def named():
    """A run in which participants have such names, and one such a reason."""
    run = fabricated.comparison("operations")
    rows = []
    for row in run.content.rows:
        name = NAMES.get(row.implementation, row.implementation)
        row = dataclasses.replace(row, implementation=name)
        if name == "numpy_textbook":
            row = dataclasses.replace(row, preparation=Preparation("wrong", REASON))
        rows.append(row)
    found = dataclasses.replace(run.content, rows=rows, baseline=NAMES["numba_simple"])
    return dataclasses.replace(run, content=found)


@pytest.fixture(scope="module")
def folder(named, tmp_path_factory):
    """A folder to report on."""
    folder = tmp_path_factory.mktemp("reports")
    (folder / "compare").mkdir()
    path = folder / "compare" / "operations.json"
    store.write(path, COMPARISON, named.provenance, named.content)
    return folder


def test_a_terminal_is_not_steered(named):
    stream = io.StringIO()
    tables.show(named, Console(file=stream, width=200, force_terminal=True, color_system=None))
    assert not steers(stream.getvalue())
    assert "*not* our words" in stream.getvalue()
    assert all(table.printable(name) in stream.getvalue() for name in NAMES.values())


def test_a_picture_shows_names(named):
    drawn = figure.draw(named)
    ElementTree.fromstring(drawn)
    assert not steers(drawn)
    assert "<script" not in drawn


@pytest.mark.parametrize("what", ["comparison", "headline"])
def test_markdown_shows_names(named, folder, what):
    if what == "comparison":
        text = tables.markdown(named)
        # The machine is called "An <abacus> & beads".
        assert "An \\<abacus\\> & beads" in text
        assert "by `xent-numba compare --suite operations` at" in text
    else:
        text = headline.markdown(Sources.read(folder))
    assert not steers(text)
    tokens = MarkdownIt("commonmark").enable("table").parse(text)
    inline = [token for token in tokens if token.type == "inline"]
    parts = [part for token in inline for part in token.children]
    assert not {part.type for part in parts} & {"html_inline", "link_open", "image"}
    assert not any(token.type == "html_block" for token in tokens)
    shown = [part.content for part in parts]
    assert all(table.printable(name) in shown for name in NAMES.values())


def test_a_page_shows_names(folder, capsys):
    assert cli.main(["report", "--folder", str(folder)]) == 0
    page = (folder / "index.html").read_text()
    assert "<script>alert" not in page
    assert "<img src=x" not in page
    for shown in ("<img src=x onerror=alert(1)>", "$x^{$", "<script>alert(1)</script>"):
        assert html.escape(shown) in page
    for kept in folder.rglob("*.svg"):
        ElementTree.parse(kept)
    assert not steers("".join(capsys.readouterr()))


def test_a_kept_run_is_strict_json(named):
    def refuse(word):
        raise AssertionError(word)

    json.loads(store.dumps(COMPARISON, named.provenance, named.content), parse_constant=refuse)


@pytest.mark.parametrize("where", ["argument", "folder"])
def test_what_is_said_of_an_argument_steers_no_terminal(tmp_path, capsys, where):
    hostile = "\x1b]0;owned\x07"
    try:
        if where == "argument":
            cli.main(["compare", "--quick", hostile])
        else:
            cli.main(["report", "--folder", str(tmp_path / hostile)])
    except SystemExit:
        pass
    said = capsys.readouterr().err
    assert "owned" in said
    assert not steers(said)
