"""One description of a table, and its three renderings: for the terminal, Markdown and CSV."""

from __future__ import annotations

import csv
import io
import re
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from html import escape as escape_html
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console

_GAP = "  "
#: What Markdown would read as more than letters; an underscore between letters is one of them.
_SPECIAL = re.compile(r"[\\`*<>\[\]|~]|(?<![^\W_])_|_(?![^\W_])")


class Code(str):
    """A cell that is a name: Markdown shows it as code."""

    __slots__ = ()


class Marked(str):
    """A cell that is Markdown already; a terminal shows it without the marks."""

    __slots__ = ()


@dataclass(frozen=True, slots=True)
class Table:
    """Names of columns, and rows.

    Attributes
    ----------
    columns : sequence of str
        Their names.
    rows : sequence of sequence of object
        Their cells, as many as columns. None is empty; text is shown as it is, whatever it holds.
    right : range
        The columns of numbers, which are aligned at their right; all but the first if not given.
    title : str
        A line above.
    styles : sequence of str
        For the terminal, a rich style for each row; none if it is empty.
    """

    columns: Sequence[str]
    rows: Sequence[Sequence[object]]
    right: range = range(1, 1000)
    title: str = ""
    styles: Sequence[str] = field(default=())


def markdown(table: Table) -> str:
    """Return a table of GitHub's Markdown."""
    marks = ["---:" if position in table.right else "---" for position in range(len(table.columns))]
    lines = [_line(map(_cell, table.columns)), _line(marks)]
    lines += [_line(map(_cell, row)) for row in table.rows]
    title = [f"**{escape(table.title)}**", ""] if table.title else []
    return "\n".join([*title, *lines])


def page(title: str, *parts: str | Iterable[str]) -> str:
    """Return a page of Markdown: a heading and paragraphs; what is empty is left out.

    Parameters
    ----------
    title : str
        The heading.
    parts : str or iterable of str
        Text or lines; each is set apart from the one before.
    """
    texts = (part if isinstance(part, str) else "\n".join(part) for part in parts)
    return "\n\n".join([f"# {title}", *filter(None, texts)]) + "\n"


def html(table: Table) -> str:
    """Return a table of HTML, its title as the caption."""
    rows = [("th", table.columns), *(("td", row) for row in table.rows)]
    lines = ["<table>", f"<caption>{escape_html(table.title)}</caption>" if table.title else ""]
    for kind, row in rows:
        cells = (
            f'<{kind} style="text-align:{"right" if i in table.right else "left"}">'
            f"{escape_html(printable(cell))}</{kind}>"
            for i, cell in enumerate(row)
        )
        lines.append(f"<tr>{''.join(cells)}</tr>")
    return "\n".join([*lines, "</table>"])


def as_csv(table: Table) -> str:
    """Return comma-separated values; numbers as they were measured."""
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerows([table.columns, *table.rows])
    return stream.getvalue()


def show(table: Table, console: Console) -> None:
    """Print a table; where it is too wide, columns go on below, beside the first one again.

    Parameters
    ----------
    table : Table
        What to print.
    console : rich.console.Console
        Where to. Where that is no terminal, the table is as wide as it needs to be.
    """
    from rich.cells import cell_len
    from rich.text import Text

    texts = [[printable(cell) for cell in row] for row in (table.columns, *table.rows)]
    styles = ["bold", *(table.styles or [""] * len(table.rows))]
    widths = [max(map(cell_len, column)) for column in zip(*texts, strict=True)]
    if table.title:
        console.print(Text(printable(table.title), style="bold"), soft_wrap=not console.is_terminal)
    for number, chosen in enumerate(_fitting(widths, console.width if console.is_terminal else 0)):
        if number:
            console.print()
        for row, style in zip(texts, styles, strict=True):
            padded = []
            for i in chosen:
                space = " " * (widths[i] - cell_len(row[i]))
                padded.append(space + row[i] if i in table.right else row[i] + space)
            # What does not fit even so is broken by the terminal, and never cut.
            console.print(Text(_GAP.join(padded).rstrip(), style=style), soft_wrap=True)


def printable(cell: object) -> str:
    """Return what a terminal shows of a cell; what would steer it is spelled out.

    Parameters
    ----------
    cell : object
        Text or a number; None is empty.
    """
    text = "" if cell is None else str(cell)
    if isinstance(cell, Marked):
        text = re.sub(r"\\(.)|[*`]", r"\1", text)
    return "".join(
        repr(character)[1:-1] if unicodedata.category(character) in _STEERING else character
        for character in text
    )


#: Control and format characters, surrogates, and ends of lines and paragraphs.
_STEERING = ("Cc", "Cf", "Cs", "Zl", "Zp")


def escape(text: str) -> str:
    """Return text that Markdown shows as it is, in one line."""
    return _SPECIAL.sub(r"\\\g<0>", printable(text))


def prose(text: str) -> str:
    """Return a sentence that Markdown shows as it is, and as code what is between backticks."""
    parts = text.split("`")
    return "".join(code(part) if i % 2 else escape(part) for i, part in enumerate(parts))


def code(text: str) -> str:
    """Return text that Markdown shows as code, in one line, in a table too."""
    shown = printable(text)
    fence = "`" * (max(map(len, re.findall("`+", shown)), default=0) + 1)
    space = " " if shown[:1] == "`" or shown[-1:] == "`" else ""
    return f"{fence}{space}{shown}{space}{fence}".replace("|", "\\|")


def _cell(cell: object) -> str:
    if isinstance(cell, Code):
        return code(cell)
    if isinstance(cell, Marked):
        return re.sub(r"(?<!\\)\|", r"\\|", " ".join(cell.split()))
    return escape("" if cell is None else str(cell))


def _line(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _fitting(widths: Sequence[int], room: int) -> Iterator[list[int]]:
    """Yield the positions of columns that fit beside one another and the first; 0 is all room."""
    chosen, taken = [0], widths[0]
    for position, width in enumerate(widths[1:], 1):
        if room and len(chosen) > 1 and taken + len(_GAP) + width > room:
            yield chosen
            chosen, taken = [0], widths[0]
        chosen.append(position)
        taken += len(_GAP) + width
    yield chosen
