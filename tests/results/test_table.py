"""One description, three renderings; nothing is cut, and nothing in a cell leaves it."""

import csv
import io
import re

import pytest
from markdown_it import MarkdownIt
from rich.console import Console

from xent_numba.results import table
from xent_numba.results.table import Code, Marked, Table

PLAIN = Table(("name", "ULP", "time"), [("ours", 0.5, "1.5 ms"), ("theirs", 17000000.0, None)])
HOSTILE = [
    "a|b",
    "a\nb",
    "a\\|b",
    "`a`b|",
    "*bold* _too_ <b>",
    "[x](http://example.com)",
    "back\\",
    "\x1b[31mred\x1b[0m",
    "\u202eabc",
    "",
    "`",
]


def printed(shown, *, width, terminal=True, color=None):
    stream = io.StringIO()
    table.show(
        shown, Console(file=stream, width=width, force_terminal=terminal, color_system=color)
    )
    return stream.getvalue()


def cells_of(markdown):
    """The rows of a table as a reader of GitHub's Markdown sees them."""
    rows, row = [], None
    for token in MarkdownIt("commonmark").enable(["table", "strikethrough"]).parse(markdown):
        if token.type == "tr_open":
            row = []
            rows.append(row)
        elif token.type == "inline" and row is not None:
            assert all(child.type in ("text", "code_inline") for child in token.children), token
            row.append("".join(child.content for child in token.children))
    return rows


def test_csv_holds_the_numbers():
    rows = list(csv.reader(io.StringIO(table.as_csv(PLAIN))))
    assert rows == [
        ["name", "ULP", "time"],
        ["ours", "0.5", "1.5 ms"],
        ["theirs", "17000000.0", ""],
    ]


def test_markdown_is_the_table():
    assert cells_of(table.markdown(PLAIN))[1:] == [
        ["ours", "0.5", "1.5 ms"],
        ["theirs", "17000000.0", ""],
    ]
    assert table.markdown(PLAIN).splitlines()[1] == "| --- | ---: | ---: |"


@pytest.mark.parametrize("kind", [str, Code])
@pytest.mark.parametrize("text", HOSTILE)
def test_whatever_a_cell_holds_stays_in_it(text, kind):
    shown = Table(("name", "x"), [(kind(text), 1), (text, 2)])
    rows = cells_of(table.markdown(shown))
    assert len(rows) == 3
    assert rows[2] == [table.printable(text).strip(), "2"]
    if kind is str or text:
        assert rows[1] == [table.printable(text).strip(), "1"]


def test_markdown_of_our_own_stays_what_it_is():
    shown = Table(("x",), [(Marked("**3 x** | _a_"),)], title="of *a* | b")
    assert "**3 x** \\| _a_" in table.markdown(shown)
    assert "**of \\*a\\* \\| b**" in table.markdown(shown)
    assert "3 x | _a_" in printed(shown, width=80)


@pytest.mark.parametrize("text", HOSTILE)
def test_nothing_steers_a_terminal(text):
    shown = printed(Table(("name", "x"), [(text, 1)], title=text), width=80)
    assert not re.search(r"[^\n -~]", shown)


@pytest.mark.parametrize("width", [1, 5, 12, 20, 30, 40, 80])
def test_numbers_are_whole_at_any_width(width):
    columns = ("implementation", *(f"column {k}" for k in range(8)))
    numbers = [[f"{10.0 ** (k + r):.6g}" for k in range(8)] for r in range(3)]
    rows = [(f"name {r}", *numbers[r]) for r in range(3)]
    text = printed(Table(columns, rows), width=width)
    words = text.split()
    assert all(number in words for several in numbers for number in several)
    if width >= 30:
        assert max(map(len, text.splitlines())) <= width


def test_without_a_terminal_the_width_is_that_of_the_table():
    shown = Table([f"column {k}" for k in range(30)], [["x" * 20] * 30], title="t" * 300)
    assert printed(shown, width=80, terminal=False).count("\n") == 3


def test_right_columns_end_where_they_should_and_wide_letters_count_twice():
    lines = printed(Table(("a", "b"), [("日本", 1), ("xyzw", 22)]), width=80).splitlines()
    assert lines == ["a      b", "日本   1", "xyzw  22"]


def test_a_style_colours_a_row_and_nothing_else():
    shown = Table(("a", "b"), [("[red]x", 1)], styles=["bold red"])
    assert "\x1b[1;31m[red]x" in printed(shown, width=80, color="standard")
