"""A comparison as data, for scripts and notebooks."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Any

from xent_numba.measurement import compare as measuring
from xent_numba.measurement.comparison import COMPARISON, Comparison
from xent_numba.measurement.request import Request
from xent_numba.reporting import tables
from xent_numba.results import store
from xent_numba.results.store import Stored

if TYPE_CHECKING:
    import pandas  # type: ignore[import-untyped]


@dataclasses.dataclass(frozen=True, slots=True)
class Shown:
    """A run that shows itself: as text, and in Jupyter as tables.

    Attributes
    ----------
    run : Stored
        What was measured.
    """

    run: Stored[Comparison]

    def records(self) -> list[dict[str, Any]]:
        """One flat dictionary for each case and implementation, as ``--csv`` writes them."""
        return tables.records(self.run)

    def to_pandas(self) -> pandas.DataFrame:
        """The records as a data frame; needs pandas."""
        import pandas

        return pandas.DataFrame(self.records())

    def save(self, path: str | Path) -> None:
        """Write what ``xent-numba report`` reads."""
        store.write(Path(path), COMPARISON, self.run.provenance, self.run.content)

    def __str__(self) -> str:
        return tables.markdown(self.run)

    def _repr_html_(self) -> str:
        return tables.html(self.run)


def compare(**choices: Any) -> Shown:
    """Judge and time implementations, as ``xent-numba compare`` does.

    Parameters
    ----------
    **choices : object
        Attributes of `xent_numba.measurement.request.Request`: `operations`, `sizes`, `dtypes`,
        `workloads`, `implementations`, `budget` and the rest.

    Returns
    -------
    Shown
        What was measured.

    Examples
    --------
    >>> from xent_numba.reporting.notebook import compare
    >>> found = compare(operations="sigmoid", sizes=1000, budget=2)  # doctest: +SKIP
    >>> found.to_pandas()[["implementation", "ns_per_element"]]  # doctest: +SKIP
    """
    entries, plan = Request(**choices).resolve()
    command = f"compare({', '.join(f'{name}={value!r}' for name, value in choices.items())})"
    return Shown(measuring.compare(entries, plan, command=command))
