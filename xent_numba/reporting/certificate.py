"""How the reference stands up to mpmath, as a table."""

from __future__ import annotations

import math

from xent_numba.accuracy.certify import Check
from xent_numba.reporting.study import line

_LEGEND = (
    "The true values that results are held against, at random inputs: each exponent as likely as",
    "another, where there is something to compute. Scores have four values each, sigmoid and",
    "softplus of both signs; probabilities two, the losses of both labels. A soft label is random;",
    "a score has its loss and gradient then, a probability its loss. Errors are relative, those of",
    "a gradient with a soft label to the sum of the two terms that it is the difference of.",
)


def markdown(check: Check) -> str:
    """Return the certificates."""
    heads = ("judges", "random inputs", "values", "largest error", "at", "promised", "kept")
    lines = ["# The reference against mpmath", "", *_LEGEND, "", line(heads)]
    lines.append(line(["---"] * len(heads)))
    for found in check.certificates:
        lines.append(
            line(
                (
                    f"{found.dtype}, {found.first}{', soft labels' if found.soft else ''}",
                    f"{found.inputs:,}",
                    f"{found.values:,}",
                    f"2^{math.log2(found.largest):.1f}",
                    f"{float.fromhex(found.at):.9g}",
                    f"2^{math.log2(found.bound):g}",
                    "yes" if found.holds else "NO",
                )
            )
        )
    lines += ["", *(f"- {key}: {value}" for key, value in check.origin.items()), ""]
    return "\n".join(lines)
