"""Draw the sigmoid and the losses, for docs/derivation.md: ``python tools/plot_losses.py``."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy import ndarray

import xent_numba
from xent_numba.results import svg
from xent_numba.results.files import write

FOLDER = Path(__file__).parents[1] / "docs" / "figures"
# Read on white and on black alike; told apart by those who see no red or no green.
BLUE, ORANGE, GREY = "#2F8FD0", "#D9661F", "#7A7A7A"
STYLE = {
    "figure.facecolor": "none",
    "axes.facecolor": "none",
    "font.size": 11,
    "axes.grid": True,
    "grid.alpha": 0.25,
    "axes.spines.top": False,
    "axes.spines.right": False,
    **dict.fromkeys(
        ("text.color", "axes.labelcolor", "axes.edgecolor", "xtick.color", "ytick.color"), GREY
    ),
}


def draw_sigmoid(axes: Axes) -> None:
    """Draw its limits, and its value at 0."""
    scores = np.linspace(-8, 8, 401)
    for limit in (0, 0.5, 1):
        axes.axhline(limit, color=GREY, linewidth=0.8, linestyle=":")
    axes.plot(scores, xent_numba.sigmoid(scores, implementation="numpy_stable"), color=BLUE)
    axes.annotate("g(s) → 1", (8, 0.93), ha="right", va="top", color=BLUE)
    axes.annotate("g(s) → 0", (-8, 0.07), va="bottom", color=BLUE)
    axes.annotate("g(0) = ½", (0.4, 0.46), va="top", color=BLUE)
    axes.set(xlabel="score s", ylabel="probability of the class 1")


def draw_probabilities(axes: Axes) -> None:
    """Draw the loss of each label, and what confidence in the wrong class costs."""
    probabilities = np.linspace(0.0005, 0.9995, 1000)
    for label, colour in ((1, BLUE), (0, ORANGE)):
        axes.plot(
            probabilities, _losses("binary_cross_entropy", probabilities, label), color=colour
        )
    for wrong in (0.9, 0.99):
        (loss,) = _losses("binary_cross_entropy", np.array([wrong]), 0)
        axes.plot(wrong, loss, "o", color=ORANGE, markersize=4)
        axes.annotate(f"{loss:.1f} at p = {wrong}", (wrong - 0.02, loss), ha="right", color=ORANGE)
    axes.annotate("label 1: -log p", (0.03, 5.6), color=BLUE)
    axes.annotate("label 0: -log(1 - p)", (0.97, 5.6), color=ORANGE, ha="right")
    axes.set(xlabel="probability p of the class 1", ylabel="loss L", ylim=(-0.15, 6.2))


def draw_losses(axes: Axes) -> None:
    """Draw the loss of each label, and the line that it approaches."""
    scores = np.linspace(-6, 6, 601)
    for label, colour in ((1, BLUE), (-1, ORANGE)):
        axes.plot(scores, _losses("logistic_loss", scores, label), color=colour)
        axes.plot(scores, np.maximum(-label * scores, 0), color=colour, linewidth=1, dashes=(2, 2))
    axes.annotate("label +1 (or 1)", (-3.6, 5.2), color=BLUE)
    axes.annotate("label -1 (or 0)", (3.6, 5.2), color=ORANGE, ha="right")
    axes.annotate(
        "log 2",
        (0, np.log(2)),
        (0, 1.6),
        ha="center",
        arrowprops={"arrowstyle": "-", "color": GREY},
    )
    axes.set(xlabel="score s", ylabel="loss L, dotted max(-ys, 0)", ylim=(-0.15, 6.2))


PICTURES: dict[str, Callable[[Axes], None]] = {
    "sigmoid.svg": draw_sigmoid,
    "probabilities.svg": draw_probabilities,
    "losses.svg": draw_losses,
}


def _losses(operation: str, first: ndarray, label: int) -> ndarray:
    function = getattr(xent_numba, operation)
    labels = np.full(first.shape, label, np.int8)
    losses: ndarray = function(first, labels, reduction="none", implementation="numpy_stable")
    return losses


def main() -> None:
    """Write one picture each."""
    for name, draw in PICTURES.items():
        with rc_context(STYLE):
            figure = Figure(figsize=(6.4, 3.6), layout="constrained")
            draw(figure.add_subplot())
            write(FOLDER / name, svg.render(figure))


if __name__ == "__main__":
    main()
