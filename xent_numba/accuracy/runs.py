"""Rows that several runs found, each with the run that it comes from."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Hashable
from dataclasses import replace
from itertools import chain
from typing import Any, Protocol, TypeVar

from xent_numba.results.provenance import Provenance

Row = TypeVar("Row", bound=Any)


class Found(Protocol[Row]):
    """What runs found: rows whose `run` is an index in `runs`."""

    @property
    def rows(self) -> list[Row]:
        """What was found."""

    @property
    def runs(self) -> list[Provenance]:
        """Where it comes from."""


def together(
    older: Found[Row], newer: Found[Row], key: Callable[[Row], Hashable]
) -> tuple[list[Row], list[Provenance]]:
    """Return the rows of both, the newer one's where both have some of a key, and their runs."""
    groups: dict[Hashable, list[Row]] = {}
    for found, first in ((older, 0), (newer, len(older.runs))):
        its = defaultdict(list)
        for row in found.rows:
            its[key(row)].append(replace(row, run=row.run + first))
        groups |= its
    rows = [*chain.from_iterable(groups.values())]
    runs = [*older.runs, *newer.runs]
    used = sorted({row.run for row in rows})
    return [replace(row, run=used.index(row.run)) for row in rows], [runs[i] for i in used]
