"""How a picture is kept: as SVG, the same bytes for the same picture."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any

from xent_numba.results import table

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_METADATA: Any = dict.fromkeys(("Date", "Creator", "Format", "Type"))


def render(figure: Figure, *, name: str = "xent-numba", text: bool = False) -> str:
    """Return a picture as SVG.

    Parameters
    ----------
    figure : matplotlib.figure.Figure
        The picture; its own background is kept, so that a page can be seen through it.
    name : str
        What the ids of its parts are made from.
    text : bool
        Whether letters stay text, in the font of the reader, or become outlines.

    Returns
    -------
    str
        Without a date, a version, or anything else that changes from run to run.
    """
    from matplotlib import rc_context

    stream = io.StringIO()
    with rc_context({"svg.hashsalt": name, "svg.fonttype": "none" if text else "path"}):
        figure.savefig(stream, format="svg", facecolor="auto", metadata=_METADATA)
    return stream.getvalue()


def plain(text: str) -> str:
    """Return text that matplotlib shows as it is; between dollar signs it reads formulas."""
    return table.printable(text).replace("$", r"\$")
