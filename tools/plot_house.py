"""Draw the house from the contract that holds it, for docs/architecture.md.

Run it with ``python tools/plot_house.py`` where a room has come, gone or changed its first line.
"""

from __future__ import annotations

import ast
import itertools
import tomllib
from pathlib import Path

from matplotlib import rc_context
from matplotlib.figure import Figure
from matplotlib.patches import FancyBboxPatch

from xent_numba.results import svg
from xent_numba.results.files import write

ROOT = Path(__file__).parents[1]
PICTURE = ROOT / "docs" / "figures" / "house.svg"
BLUE, GREY = "#2F8FD0", "#7A7A7A"
STYLE = {"font.family": "sans-serif", "font.size": 10, "text.color": GREY}


def storeys() -> list[list[str]]:
    """Return the rooms from the roof down, those that may use each other together."""
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]
    (house,) = (one for one in contracts["contracts"] if one["id"] == "house")
    return [[room.strip() for room in layer.split(":")] for layer in house["layers"]]


def purpose(room: str) -> str:
    """Return the first sentence of a room's docstring."""
    folder = ROOT / "xent_numba" / room
    source = folder / "__init__.py" if folder.is_dir() else folder.with_suffix(".py")
    summary = (ast.get_docstring(ast.parse(source.read_text())) or "").partition("\n\n")[0]
    return summary.replace("\n", " ").replace("`", "")


def draw() -> Figure:
    """Draw one box for each storey, and in it each room with what it is for."""
    floors = storeys()
    lines = list(itertools.chain(*floors))
    figure = Figure(figsize=(10, 0.36 * len(lines)), facecolor="none")
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set(xlim=(0, 1), ylim=(len(lines), 0))
    axes.set_axis_off()
    tops = itertools.accumulate(map(len, floors), initial=0)
    for top, rooms in zip(tops, floors, strict=False):
        box = FancyBboxPatch(
            (0.012, top + 0.12),
            0.976,
            len(rooms) - 0.24,
            boxstyle="round,pad=0,rounding_size=0.01",
            mutation_aspect=len(lines),
            facecolor="none",
            edgecolor=GREY,
            linewidth=0.8,
        )
        axes.add_patch(box)
    for place, room in enumerate(lines):
        folder = (ROOT / "xent_numba" / room).is_dir()
        name = f"{room}/" if folder else f"{room}.py"
        axes.text(0.03, place + 0.5, name, va="center", color=BLUE, family="monospace")
        axes.text(0.18, place + 0.5, purpose(room), va="center")
    return figure


def main() -> None:
    """Write the picture."""
    with rc_context(STYLE):
        # Text stays text: a test reads it.
        write(PICTURE, svg.render(draw(), text=True))


if __name__ == "__main__":
    main()
