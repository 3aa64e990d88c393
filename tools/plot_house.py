"""Draw the house from the contract that holds it, for docs/architecture.md.

Run it with ``python tools/plot_house.py`` where a room has come, gone or changed its first line.
"""

from __future__ import annotations

import ast
import tomllib
from collections.abc import Iterator
from pathlib import Path

from matplotlib import rc_context
from matplotlib.figure import Figure
from matplotlib.patches import FancyBboxPatch

ROOT = Path(__file__).parents[1]
PICTURE = ROOT / "docs" / "figures" / "house.svg"
BLUE, GREY = "#2F8FD0", "#7A7A7A"
# Text stays text: a test reads it.
STYLE = {
    "svg.hashsalt": "xent_numba",
    "svg.fonttype": "none",
    "font.family": "sans-serif",
    "font.size": 10,
    "text.color": GREY,
}


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


def rows() -> Iterator[tuple[int, str]]:
    """Yield each room with the number of its storey."""
    for number, rooms in enumerate(storeys()):
        for room in rooms:
            yield number, room


def draw() -> Figure:
    """Draw one box for each storey, and in it each room with what it is for."""
    lines = list(rows())
    figure = Figure(figsize=(10, 0.36 * len(lines)))
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set(xlim=(0, 1), ylim=(len(lines), 0))
    axes.set_axis_off()
    for number in sorted({storey for storey, _ in lines}):
        places = [place for place, (storey, _) in enumerate(lines) if storey == number]
        box = FancyBboxPatch(
            (0.012, places[0] + 0.12),
            0.976,
            len(places) - 0.24,
            boxstyle="round,pad=0,rounding_size=0.01",
            mutation_aspect=len(lines),
            facecolor="none",
            edgecolor=GREY,
            linewidth=0.8,
        )
        axes.add_patch(box)
    for place, (_, room) in enumerate(lines):
        folder = (ROOT / "xent_numba" / room).is_dir()
        name = f"{room}/" if folder else f"{room}.py"
        axes.text(0.03, place + 0.5, name, va="center", color=BLUE, family="monospace")
        axes.text(0.18, place + 0.5, purpose(room), va="center")
    return figure


def main() -> None:
    """Write the picture."""
    PICTURE.parent.mkdir(exist_ok=True)
    with rc_context(STYLE):
        draw().savefig(PICTURE, metadata={"Date": None}, transparent=True)


if __name__ == "__main__":
    main()
