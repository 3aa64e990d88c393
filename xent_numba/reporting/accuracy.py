"""The folder ``reports/accuracy``: results as JSON, and tables and pictures made of them."""

from __future__ import annotations

from pathlib import Path

from rich.console import Console

from xent_numba.accuracy.certify import Check
from xent_numba.accuracy.study import Survey
from xent_numba.accuracy.sums import Sums
from xent_numba.reporting import certificate, stability, study, sums
from xent_numba.results.files import write

#: Pictures of the stability map: file, dtype, and whether of the operations with a gradient.
MAPS = (
    ("stability.svg", "float32", False),
    ("stability_float64.svg", "float64", False),
    ("stability_gradients.svg", "float32", True),
    ("stability_gradients_float64.svg", "float64", True),
)


class Report:
    """The folder, to which results are added.

    Parameters
    ----------
    folder : pathlib.Path
        Where it is.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def add_survey(self, found: Survey, console: Console) -> None:
        """Print a study, and write it: other rows that are there stay."""
        study.show(found, console)
        kept = self._folder / "accuracy.json"
        known = Survey.from_json(kept.read_text()) if kept.exists() else Survey()
        together = known.updated(found)
        write(kept, together.to_json())
        write(self._folder / "accuracy.md", study.markdown(together))
        write(self._folder / "stability.md", stability.markdown(together))
        for name, dtype, gradients in MAPS:
            if picture := stability.draw(together, dtype, gradients=gradients):
                write(self._folder / name, picture)

    def add_sums(self, found: Sums) -> None:
        """Write the errors of sums."""
        write(self._folder / "sums.json", found.to_json())
        write(self._folder / "sums.md", sums.markdown(found))
        write(self._folder / "sums.svg", sums.draw(found))

    def add_check(self, found: Check) -> None:
        """Write how the reference stands up to mpmath."""
        write(self._folder / "reference.json", found.to_json())
        write(self._folder / "reference.md", certificate.markdown(found))
