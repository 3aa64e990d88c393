"""Draw the sigmoid and both losses against the score: ``python tools/plot_losses.py``."""

from __future__ import annotations

from pathlib import Path

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np

import xent_numba

BLUE, ORANGE, GREY = "#0072B2", "#D55E00", "#767676"


def main() -> None:
    """Write ``figures/losses.svg`` beside this file."""
    mpl.rcParams.update({"svg.hashsalt": "xent_numba", "font.size": 11})
    figure, (left, right) = plt.subplots(1, 2, figsize=(10, 4), layout="constrained")
    scores = np.linspace(-6, 6, 601)

    left.axhline(0.5, color=GREY, linewidth=0.8, linestyle=":")
    left.plot(scores, xent_numba.sigmoid(scores, implementation="numpy_stable"), color=BLUE)
    left.set(title="Sigmoid g(s)", xlabel="score s", ylabel="probability of the class 1")

    for label, colour in ((1.0, BLUE), (-1.0, ORANGE)):
        labels = np.full_like(scores, label)
        loss = xent_numba.logistic_loss(
            scores, labels, reduction="none", implementation="numpy_stable"
        )
        right.plot(scores, loss, color=colour)
        right.plot(scores, np.maximum(-label * scores, 0), color=colour, linewidth=1, dashes=(2, 2))
    right.annotate("label +1 (or 1)", (-3.6, 5.2), color=BLUE)
    right.annotate("label -1 (or 0)", (3.6, 5.2), color=ORANGE, ha="right")
    right.annotate("log 2", (0, np.log(2)), (0, 1.6), ha="center", arrowprops={"arrowstyle": "-"})
    right.set(
        title="Loss L, and dotted the penalty max(-ys, 0)",
        xlabel="score s",
        ylabel="loss L",
        ylim=(-0.15, 6.2),
    )
    for axes in (left, right):
        axes.spines[["top", "right"]].set_visible(False)
        axes.grid(alpha=0.2)
    docs = Path(__file__).parents[1] / "docs"
    target = docs / "figures" / "losses.svg"
    target.parent.mkdir(exist_ok=True)
    figure.savefig(target, metadata={"Date": None})
    print(f"wrote {target.relative_to(docs)}")  # noqa: T201


if __name__ == "__main__":
    main()
