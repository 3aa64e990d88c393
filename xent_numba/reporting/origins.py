"""Which run found what, under a table of rows from several."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from xent_numba.results import table
from xent_numba.results.provenance import Provenance


def made_by(runs: Sequence[Provenance], found: Iterable[tuple[str, int]]) -> list[str]:
    """Return a line for each run: what it found, and its provenance.

    Parameters
    ----------
    runs : sequence of Provenance
        What the indices count.
    found : iterable of tuple of str and int
        What a row is about, and the index of its run.
    """
    names: list[dict[str, None]] = [{} for _ in runs]
    for name, run in found:
        names[run][name] = None
    lines = [f"{', '.join(those)}: {run}" for those, run in zip(names, runs, strict=True)]
    return [f"{number}. {table.prose(line)}" for number, line in enumerate(lines, 1)]
