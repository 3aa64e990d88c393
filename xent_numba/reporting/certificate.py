"""How the reference stands up to mpmath, as a table."""

from __future__ import annotations

import math

from xent_numba.accuracy.certify import Certificates
from xent_numba.results import table
from xent_numba.results.provenance import Provenance
from xent_numba.results.table import Table

_LEGEND = (
    "The true values that results are held against, at random inputs: each exponent as likely as",
    "another, where there is something to compute. Scores have four values each, sigmoid and",
    "softplus of both signs; probabilities two, the losses of both labels. A soft label is random;",
    "a score has its loss and gradient then, a probability its loss. Errors are relative, those of",
    "a gradient with a soft label to the sum of the two terms that it is the difference of.",
)
_HEADS = ("judges", "random inputs", "values", "largest error", "at", "promised", "kept")


def markdown(check: Certificates, provenance: Provenance) -> str:
    """Return the certificates."""
    rows = [
        (
            f"{found.dtype}, {found.first}{', soft labels' if found.soft else ''}",
            f"{found.inputs:,}",
            f"{found.values:,}",
            f"2^{math.log2(found.largest):.1f}",
            f"{float.fromhex(found.at):.9g}",
            f"2^{math.log2(found.bound):g}",
            "yes" if found.holds else "NO",
        )
        for found in check.certificates
    ]
    return table.page(
        "The reference against mpmath",
        _LEGEND,
        table.markdown(Table(_HEADS, rows)),
        table.prose(str(provenance)),
    )
