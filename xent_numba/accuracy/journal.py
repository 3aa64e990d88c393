"""What a sweep has done is on disk, chunk by chunk: one that is killed goes on from there.

A journal is a folder. ``sweep.json`` says what is swept, on which inputs, by which code and with
which versions; others do not go on with it. ``chunk-N.json`` is what the N-th chunk counted,
written when it is done, whole or not at all: none is lost or counted twice.
"""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import xent_numba
from xent_numba.accuracy.error_counts import ErrorCounts
from xent_numba.accuracy.plans import Plan
from xent_numba.accuracy.sweep import Quantity, Sweep, inspect
from xent_numba.accuracy.workers import Workers
from xent_numba.errors import ResultFileError
from xent_numba.results import store
from xent_numba.results.provenance import Provenance


class OtherSweepError(ResultFileError):
    """A journal cannot be gone on with."""


@dataclass(frozen=True, slots=True)
class Header:
    """What a journal belongs to.

    Attributes
    ----------
    sweep : Sweep
        What is swept.
    plan : str
        On which inputs, in which chunks.
    sources : str
        Digest of the code on which the counts depend.
    """

    sweep: Sweep
    plan: str
    sources: str


@dataclass(frozen=True, slots=True)
class Chunk:
    """What was counted in a chunk, by operation, result and label."""

    counts: dict[str, ErrorCounts]


HEADER = store.Kind("sweep", 2, Header)
CHUNK = store.Kind("chunk of a sweep", 1, Chunk)
_FIRST = "sweep.json"

Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class Journal:
    """The journal of one sweep.

    Attributes
    ----------
    folder : pathlib.Path
        Where it is.
    sweep : Sweep
        What is swept.
    plan : Plan
        On which inputs.
    provenance : Provenance
        Of this run.
    """

    folder: Path
    sweep: Sweep
    plan: Plan
    provenance: Provenance

    def carry_out(
        self,
        workers: Workers,
        *,
        resume: bool = False,
        progress: Progress = lambda done, chunks: None,
    ) -> list[dict[Quantity, ErrorCounts]]:
        """Carry out the plan, chunk by chunk in several processes.

        Parameters
        ----------
        workers : Workers
            Share out the chunks.
        resume : bool
            Whether to go on with what is in the journal, rather than to begin anew.
        progress : callable
            Called with the number of finished chunks and of all.

        Returns
        -------
        list of dict of Quantity to ErrorCounts
            Of every chunk.

        Raises
        ------
        OtherSweepError
            If the journal to go on with is one of another sweep, plan, source code or version.
        ResultFileError
            If it holds a file that is none of a journal's.
        """
        finished = self._read() if resume else {}
        if not finished:
            self._begin()
        remaining = [chunk for chunk in range(self.plan.chunks) if chunk not in finished]
        progress(len(finished), self.plan.chunks)
        tasks = [(self.sweep, self.plan, chunk) for chunk in remaining]
        for place, counts in workers.results(inspect, tasks):
            chunk = remaining[place]
            content = Chunk({_key(quantity): found for quantity, found in counts.items()})
            store.write(self._path(chunk), CHUNK, self.provenance, content)
            finished[chunk] = counts
            progress(len(finished), self.plan.chunks)
        return [finished[chunk] for chunk in sorted(finished)]

    @property
    def _header(self) -> Header:
        return Header(self.sweep, repr(self.plan), sources_digest(self.sweep.implementation))

    def _path(self, chunk: int) -> Path:
        return self.folder / f"chunk-{chunk}.json"

    def _begin(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        for path in self.folder.glob("chunk-*.json"):
            path.unlink()
        store.write(self.folder / _FIRST, HEADER, self.provenance, self._header)

    def _read(self) -> dict[int, dict[Quantity, ErrorCounts]]:
        """What is finished, by chunk."""
        first = self.folder / _FIRST
        if not first.exists():
            return {}
        try:
            known = store.read(first, HEADER)
            paths = sorted(self.folder.glob("chunk-*.json"))
            self._require_same(known)
            return {self._number(path): self._counts(path) for path in paths}
        except OtherSweepError:
            raise
        except ResultFileError as error:
            raise ResultFileError(
                f"{error}; accepted is the journal of a sweep, or to begin anew, without --resume"
            ) from None

    def _require_same(self, known: store.Stored[Header]) -> None:
        before, now = known.provenance.machine, self.provenance.machine
        made_with = [(machine.cpu, machine.python, machine.versions) for machine in (before, now)]
        if known.content != self._header or made_with[0] != made_with[1]:
            raise OtherSweepError(
                f"the journal {self.folder.name} belongs to another sweep, plan, source code, "
                "processor or version; accepted is to begin anew, without --resume"
            )

    def _number(self, path: Path) -> int:
        digits = path.stem.removeprefix("chunk-")
        if not digits.isdecimal() or int(digits) >= self.plan.chunks:
            raise ResultFileError(
                f"{str(path)!r} is no chunk of this sweep, which has {self.plan.chunks}"
            )
        return int(digits)

    def _counts(self, path: Path) -> dict[Quantity, ErrorCounts]:
        found = store.read(path, CHUNK).content.counts
        quantities = {_key(quantity): quantity for quantity in self.sweep.quantities()}
        if set(found) != set(quantities):
            raise ResultFileError(f"{str(path)!r} holds counts of other quantities")
        return {quantities[key]: counts for key, counts in found.items()}


def _key(quantity: Quantity) -> str:
    label = "" if quantity.label is None else f" {quantity.label:+g}"
    return f"{quantity.operation} {quantity.result}{label}"


@functools.cache
def sources_digest(implementation: str) -> str:
    """SHA-256 of all sources on which the counts of an implementation depend.

    Counts of other code must not be added up. Other implementations are left out, as is what
    only times and reports.
    """
    root = Path(xent_numba.__file__).parent
    own = root / "implementations" / f"{implementation}.py"
    folders = (".", "kernels", "kernels/cpu", "kernels/cuda", "accuracy")
    shared = [path for folder in folders for path in (root / folder).glob("*.py")]
    digest = hashlib.sha256()
    for path in sorted(p for p in (*shared, own) if p.is_file()):
        digest.update(path.read_bytes())
    return digest.hexdigest()
