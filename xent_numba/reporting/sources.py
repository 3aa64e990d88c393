"""What a report is made of: the runs that a folder holds."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from xent_numba.accuracy.study import STUDY, Study
from xent_numba.errors import ResultFileError
from xent_numba.measurement.case import Case
from xent_numba.measurement.comparison import COMPARISON, Comparison, Row
from xent_numba.measurement.participant import AGAIN, LIMITS
from xent_numba.measurement.roofline import ROOFLINE, Roofline
from xent_numba.measurement.suite import PARTS
from xent_numba.reporting import tables
from xent_numba.results import store
from xent_numba.results.store import Stored

DTYPES = ("float32", "float64")


@dataclass(frozen=True, slots=True)
class Sources:
    """The files a report is made of.

    Attributes
    ----------
    folder : Path
        Where they lie, and where the report is going to lie.
    runs : dict of str to Stored
        Comparisons, by the name of their part of the suite.
    studies : sequence of Study
        Studies of accuracy.
    accuracy : mapping
        Largest error in ULP by implementation, operation and dtype.
    roofline : Stored or None
        What memory and arithmetic allow.
    """

    folder: Path
    runs: Mapping[str, Stored[Comparison]]
    studies: Sequence[Study]
    accuracy: Mapping[tuple[str, str, str], float]
    roofline: Stored[Roofline] | None

    @classmethod
    def read(cls, folder: Path) -> Sources:
        """Read what a folder of reports holds.

        Parameters
        ----------
        folder : Path
            With ``compare/PART.json`` of the suite, ``accuracy/accuracy.json``, ``roofline.json``.

        Returns
        -------
        Sources
            Without what is not there.

        Raises
        ------
        ResultFileError
            If a file is there and is not what it should be, or if there is no comparison at all.
        """
        paths = {name: folder / "compare" / f"{name}.json" for name in PARTS}
        runs = {name: store.read(p, COMPARISON) for name, p in paths.items() if p.is_file()}
        # One that differs from itself shows nothing of others.
        runs = {name: run for name, run in runs.items() if not tables.doubtful(run.content)}
        if not runs:
            raise ResultFileError(
                f"{str(folder / 'compare')!r} holds no comparison of the suite: accepted is a "
                "folder that `xent-numba compare --suite` wrote to"
            )
        studies = [
            store.read(path, STUDY).content
            for path in sorted((folder / "accuracy").rglob("accuracy.json"))
        ]
        path = folder / "roofline.json"
        roof = store.read(path, ROOFLINE) if path.is_file() else None
        return cls(folder, runs, studies, _errors(studies), roof)

    def files(self) -> list[Path]:
        """What the report was made of, for whoever wants the numbers."""
        ends = (".json", ".csv")
        found = [self.folder / "compare" / f"{name}{end}" for end in ends for name in self.runs]
        found = [path for path in found if path.is_file()]
        found += [self.folder / "roofline.json"] * (self.roofline is not None)
        return [*found, *sorted((self.folder / "accuracy").rglob("accuracy.json"))]

    def cases(self, part: str) -> list[tuple[Case, list[Row]]]:
        """Cases of a part with their rows; none if it is not there."""
        return list(self.runs[part].content.cases()) if part in self.runs else []

    def error(self, row: Row) -> float:
        """Largest error known, in ULP: of the study of accuracy, or of what was timed; or NaN."""
        timed = row.preparation.max_ulp if row.preparation.max_ulp is not None else math.nan
        case = row.case
        return self.accuracy.get((row.implementation, case.operation, case.dtype), timed)

    def worst(self, implementation: str, dtype: str) -> float | None:
        """Largest error of all operations, in ULP; None if none was studied."""
        known = self.accuracy.items()
        errors = [e for (name, _, kind), e in known if (name, kind) == (implementation, dtype)]
        return max(errors, default=None)


def others(rows: Iterable[Row]) -> Iterator[Row]:
    """Yield the rows of implementations, each once: not of the memory limit or the A/A control."""
    for row in rows:
        if row.implementation not in LIMITS and not row.implementation.endswith(AGAIN):
            yield row


def _errors(studies: Iterable[Study]) -> dict[tuple[str, str, str], float]:
    """Largest error of each implementation, operation and dtype."""
    found: dict[tuple[str, str, str], float] = {}
    for row in (row for study in studies for row in study.rows):
        quantity = row.quantity
        if quantity.result == "gradient":
            continue
        key = (quantity.implementation, quantity.operation, quantity.dtype)
        # Of normal results, as in the tables. Infinite or NaN where it should not be, the other way
        # round, or a loss of -0.0: infinitely wrong.
        wrong = row.nonfinite.count or row.sign.count
        error = math.inf if wrong else row.normal.max_ulp
        found[key] = max(found.get(key, 0.0), error)
    return found
