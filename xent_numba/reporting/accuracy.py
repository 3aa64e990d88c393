"""The folder ``reports/accuracy``: results as JSON, and tables and pictures made of them."""

from __future__ import annotations

from pathlib import Path
from typing import TypeVar

from rich.console import Console

from xent_numba.accuracy.certify import CERTIFICATES, Certificates
from xent_numba.accuracy.functions import VECTOR_MATH, VectorMath
from xent_numba.accuracy.study import STUDY, Study
from xent_numba.accuracy.summation import SUM_ERRORS, SumErrors
from xent_numba.reporting import certificate, functions, stability, study, sums
from xent_numba.results import store
from xent_numba.results.files import write
from xent_numba.results.provenance import Provenance

T = TypeVar("T")

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
        Where it is. A study that is there is read now, before another one is made.
    provenance : Provenance
        Of what will be added.

    Raises
    ------
    ResultFileError
        If what is there as a study is none.
    """

    def __init__(self, folder: Path, provenance: Provenance) -> None:
        self._folder, self._provenance = folder, provenance
        kept = folder / "accuracy.json"
        self._known = store.read(kept, STUDY).content if kept.exists() else Study()

    def add_study(self, found: Study, console: Console) -> None:
        """Write a study, and print it: other rows that are there stay."""
        together = self._known.updated(found)
        self._keep("accuracy", STUDY, together)
        write(self._folder / "accuracy.md", study.markdown(together))
        write(self._folder / "stability.md", stability.markdown(together))
        for name, dtype, gradients in MAPS:
            if picture := stability.draw(together, dtype, gradients=gradients):
                write(self._folder / name, picture)
        study.show(found, console)

    def add_sums(self, found: SumErrors) -> None:
        """Write the errors of sums."""
        self._keep("sums", SUM_ERRORS, found)
        write(self._folder / "sums.md", sums.markdown(found, self._provenance))
        write(self._folder / "sums.svg", sums.draw(found))

    def add_functions(self, found: VectorMath) -> None:
        """Write the errors of the functions of vectormath."""
        self._keep("functions", VECTOR_MATH, found)
        write(self._folder / "functions.md", functions.markdown(found, self._provenance))

    def add_certificates(self, found: Certificates) -> None:
        """Write how the reference stands up to mpmath."""
        self._keep("reference", CERTIFICATES, found)
        write(self._folder / "reference.md", certificate.markdown(found, self._provenance))

    def _keep(self, name: str, kind: store.Kind[T], found: T) -> None:
        store.write(self._folder / f"{name}.json", kind, self._provenance, found)
