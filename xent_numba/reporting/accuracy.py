"""The folder ``reports/accuracy``: results as JSON, and tables and pictures made of them."""

from __future__ import annotations

from dataclasses import replace
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
        Where it is. What is there is read now, before anything is added to it.
    provenance : Provenance
        Of what will be added.

    Raises
    ------
    ResultFileError
        If what is there is of another form.
    """

    def __init__(self, folder: Path, provenance: Provenance) -> None:
        self._folder, self._provenance = folder, provenance
        self._study = self._kept("accuracy", STUDY)
        self._sums = self._kept("sums", SUM_ERRORS)
        self._functions = self._kept("functions", VECTOR_MATH)

    def add_study(self, found: Study, console: Console) -> None:
        """Write a study, and print it: other rows that are there stay."""
        together = self._study.updated(found)
        self._keep("accuracy", STUDY, together)
        write(self._folder / "accuracy.md", study.markdown(together))
        write(self._folder / "stability.md", stability.markdown(together))
        for name, dtype, gradients in MAPS:
            if picture := stability.draw(together, dtype, gradients=gradients):
                write(self._folder / name, picture)
        study.show(found, console)

    def add_sums(self, found: SumErrors) -> None:
        """Write the errors of sums: those of other implementations and dtypes stay."""
        together = self._sums.updated(replace(found, runs=[self._provenance]))
        self._keep("sums", SUM_ERRORS, together)
        write(self._folder / "sums.md", sums.markdown(together))
        write(self._folder / "sums.svg", sums.draw(together))

    def add_functions(self, found: VectorMath) -> None:
        """Write the errors of the functions of vectormath: those in the other dtype stay."""
        together = self._functions.updated(replace(found, runs=[self._provenance]))
        self._keep("functions", VECTOR_MATH, together)
        write(self._folder / "functions.md", functions.markdown(together))

    def add_certificates(self, found: Certificates) -> None:
        """Write how the reference stands up to mpmath."""
        self._keep("reference", CERTIFICATES, found)
        write(self._folder / "reference.md", certificate.markdown(found, self._provenance))

    def _kept(self, name: str, kind: store.Kind[T]) -> T:
        path = self._folder / f"{name}.json"
        return store.read(path, kind).content if path.exists() else kind.content()

    def _keep(self, name: str, kind: store.Kind[T], found: T) -> None:
        store.write(self._folder / f"{name}.json", kind, self._provenance, found)
