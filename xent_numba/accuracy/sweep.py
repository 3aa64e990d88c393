"""How far an implementation is from the truth over the whole floating-point range.

float32 is swept exhaustively: all 2^32 bit patterns, or all of those in the domain, in the order of
their values. float64 is sampled in strata, the same number of random significands from every sign
and exponent, so the result is a lower bound of the largest error.

The work is cut into numbered chunks. What a chunk found is one line of a journal, written when it
is done: a sweep that is killed goes on from there, and no chunk is lost or counted twice.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import multiprocessing
import os
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, ProcessPoolExecutor, as_completed
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy import ndarray

import xent_numba
from xent_numba.accuracy import reference
from xent_numba.accuracy.findings import Findings
from xent_numba.accuracy.ulp import Truth
from xent_numba.operations import OPERATIONS, Operation

#: Inputs of a chunk, and of the pieces it is computed in, which stay in the caches.
CHUNK, PIECE = 1 << 22, 1 << 15


class OtherSweepError(ValueError):
    """A journal cannot be gone on with."""


@dataclass(frozen=True, slots=True)
class Target:
    """What is swept.

    Attributes
    ----------
    implementation, operation : str
        Names.
    dtype : {"float32", "float64"}
        dtype of the scores or probabilities.
    label : float or None
        The label of every sample; None where the operation takes none.
    result : {"loss", "gradient"}
        Which of the results; the sigmoid counts as a loss.
    """

    implementation: str
    operation: str
    dtype: str
    label: float | None = None
    result: str = "loss"

    @property
    def table_entry(self) -> Operation:
        """The operation."""
        return OPERATIONS[self.operation]

    @property
    def direction(self) -> int:
        """+1 if the result grows with the input, -1 if it falls."""
        labels = self.table_entry.labels
        rises = labels is None or self.result == "gradient" or self.label == labels.hard[0]
        return 1 if rises else -1

    def mirrored(self) -> float | None:
        """The label of the other class."""
        labels = self.table_entry.labels
        return None if labels is None else sum(labels.hard) - (self.label or 0.0)

    def compute(self, inputs: ndarray, label: float | None) -> ndarray:
        """What the implementation makes of inputs, all with one label; NaN where it raises."""
        try:
            return self._call(inputs, label)
        except (ArithmeticError, ValueError):
            if inputs.size == 1:
                return np.full(inputs.shape, np.nan, inputs.dtype)
            halves = np.array_split(inputs, 2)
            return np.concatenate([self.compute(half, label) for half in halves])

    def _call(self, inputs: ndarray, label: float | None) -> ndarray:
        function = getattr(xent_numba, self.operation)
        options: dict[str, Any] = {"implementation": self.implementation}
        if label is None:
            return np.asarray(function(inputs, **options))
        # int8 has every hard label, and costs the least to make.
        labels = np.full(inputs.shape, label, np.int8)
        result = function(inputs, labels, reduction="none", **options)
        if not self.table_entry.gradient:
            return np.asarray(result)
        return np.asarray(result[self.result == "gradient"])

    def truth(self, inputs: ndarray) -> Truth:
        """What it should make of them."""
        labels = None if self.label is None else np.array([self.label])
        if self.result == "loss":
            wide = reference.losses(self.table_entry, inputs, labels)
        else:
            assert labels is not None
            wide, _ = reference.gradients(self.table_entry, inputs, labels)
        return Truth.from_wide(wide, inputs.dtype)


def targets(implementation: str, operation: str, dtype: str) -> Iterator[Target]:
    """Every label, and every result, of one operation."""
    entry = OPERATIONS[operation]
    for label in entry.labels.hard if entry.labels else (None,):
        for result in ("loss", "gradient")[: 1 + entry.gradient]:
            yield Target(implementation, operation, dtype, label, result)


def inspect(target: Target, inputs: ndarray, before: ndarray | None = None) -> Findings:
    """Hold the results for given inputs to the truth.

    Parameters
    ----------
    target : Target
        What to compute.
    inputs : ndarray of target.dtype, shape (n,)
        Scores or probabilities.
    before : ndarray of target.dtype, shape (0,) or (1,), optional
        The input before these, which ascend: their results must not step back. Without it they
        are in no order.

    Returns
    -------
    Findings
    """
    got, truth = target.compute(inputs, target.label), target.truth(inputs)
    is_loss = target.result == "loss"
    error = truth.error(got)
    finite = np.isfinite(error)

    found = Findings()
    found.nonfinite.add(inputs, ~finite)
    judged = finite & ~np.isnan(got)
    right = got == truth.nearest
    for errors, part in (
        (found.subnormal, truth.subnormal & judged),
        (found.normal, ~truth.subnormal & judged),
    ):
        # A copy of what is selected costs as much as the judging; mostly it is all or nothing.
        if part.all():
            errors.add(inputs, error, right)
        elif part.any():
            errors.add(inputs[part], error[part], right[part])
    if is_loss:
        found.sign.add(inputs, np.signbit(got) & ~np.isnan(got))
    if before is not None:
        path = np.concatenate([target.compute(before, target.label), got])
        with np.errstate(invalid="ignore"):
            back = path[1:] < path[:-1] if target.direction > 0 else path[1:] > path[:-1]
        found.monotonicity.add(np.concatenate([before, inputs])[1:], back)
    if target.table_entry.first == "scores" and is_loss:
        found.symmetry.add(inputs, _asymmetric(target, inputs, got))
    return found


def _asymmetric(target: Target, inputs: ndarray, got: ndarray) -> ndarray:
    other = target.compute(-inputs, target.mirrored())
    if target.label is None:
        wide = np.float64 if got.dtype == np.float32 else np.longdouble
        apart = np.abs((got.astype(wide) + other) - 1)
        return np.asarray(apart > np.finfo(got.dtype).eps)
    return np.asarray((got != other) & ~(np.isnan(got) & np.isnan(other)))


@dataclass(frozen=True, slots=True)
class Exhaustive:
    """Every float32 of the domain, in ascending order, NaNs included where the domain is the line.

    Attributes
    ----------
    first, stop : int
        Range of ordinals, see `ordinals_to_floats`.
    """

    first: int
    stop: int

    @classmethod
    def over(cls, operation: Operation) -> Exhaustive:
        """The plan for the domain of an operation."""
        if operation.first == "scores":
            return cls(0, 1 << 32)
        low, high = (float_to_ordinal(x) for x in operation.domain)
        return cls(low, high + 1)

    @property
    def chunks(self) -> int:
        """How many chunks the work is cut into."""
        return -(-(self.stop - self.first) // CHUNK)

    def pieces(self, chunk: int) -> Iterator[tuple[ndarray, ndarray | None]]:
        """The inputs of a chunk in pieces, each with the input before it."""
        start = self.first + chunk * CHUNK
        stop = min(start + CHUNK, self.stop)
        for low in range(start, stop, PIECE):
            before = ordinals_to_floats(max(low - 1, self.first), low)
            yield ordinals_to_floats(low, min(low + PIECE, stop)), before


def float_to_ordinal(x: float) -> int:
    """Position of a float32 among all, by value; -0.0 comes before 0.0, NaNs at both ends."""
    bits = int(np.float32(x).view(np.uint32))
    return (0xFFFFFFFF - bits) if bits >> 31 else bits + (1 << 31)


def ordinals_to_floats(start: int, stop: int) -> ndarray:
    """The float32 with ordinals from start to stop, exclusive."""
    ordinals = np.arange(start, stop, dtype=np.uint64).astype(np.uint32)
    negative = ordinals < np.uint32(1 << 31)
    return np.where(negative, ~ordinals, ordinals - np.uint32(1 << 31)).view(np.float32)


@dataclass(frozen=True, slots=True)
class Strata:
    """Random significands of every sign and exponent of the domain, equally many of each.

    Attributes
    ----------
    operation, dtype : str
        Say which inputs there are.
    samples : int
        How many are drawn at least.
    seed : int
        Chunk k draws from the k-th stream of the seed.
    """

    operation: str
    dtype: str
    samples: int
    seed: int = 0

    @property
    def chunks(self) -> int:
        """How many chunks the work is cut into."""
        return -(-self.samples // (CHUNK // 16))

    def pieces(self, chunk: int) -> Iterator[tuple[ndarray, ndarray | None]]:
        """The inputs of a chunk, the same for the same chunk on every machine."""
        rng = np.random.default_rng([self.seed, chunk])
        for _ in range(0, CHUNK // 16, PIECE):
            yield self._draw(rng), None

    def _draw(self, rng: np.random.Generator) -> ndarray:
        info, bits = np.finfo(self.dtype), np.dtype(self.dtype).itemsize * 8
        unsigned = np.dtype(f"uint{bits}")
        signs = 2 if OPERATIONS[self.operation].first == "scores" else 1
        # Of probabilities, exponents up to that of the largest float below 1.
        exponents = (1 << info.nexp) - 1 if signs == 2 else -int(info.minexp) + 1
        strata = rng.permutation(PIECE) % (signs * exponents)
        significand = rng.integers(0, 1 << info.nmant, PIECE, dtype=unsigned)
        high = (strata % exponents).astype(unsigned) << unsigned.type(info.nmant)
        sign = (strata // exponents).astype(unsigned) << unsigned.type(bits - 1)
        return np.asarray((high | sign | significand).view(self.dtype))


class Plan(Protocol):
    """Which inputs are looked at, in numbered chunks; its repr identifies it."""

    @property
    def chunks(self) -> int:
        """How many chunks the work is cut into."""

    def pieces(self, chunk: int) -> Iterator[tuple[ndarray, ndarray | None]]:
        """The inputs of a chunk in pieces, each with the input before it if they ascend."""


def sweep(
    target: Target,
    plan: Plan,
    journal: Path,
    *,
    pool: Executor,
    resume: bool = False,
    report: Callable[[int, int], None] = lambda done, chunks: None,
) -> Findings:
    """Carry out a plan, chunk by chunk in several processes.

    Parameters
    ----------
    target : Target
        What is swept.
    plan : Plan
        On which inputs.
    journal : pathlib.Path
        File that gets a line for every finished chunk.
    pool : concurrent.futures.Executor
        Shares out the chunks; see `processes`.
    resume : bool
        Whether to go on with what is in the journal, rather than to begin anew.
    report : callable
        Called with the number of finished chunks and of all.

    Returns
    -------
    Findings
        Of all chunks together.

    Raises
    ------
    OtherSweepError
        If the journal to go on with is one of another target, plan or source code.
    """
    header = {
        "target": asdict(target),
        "plan": repr(plan),
        "chunk": CHUNK,
        "sources": sources_digest(),
    }
    finished = _read_journal(journal, header) if resume else {}
    _write_journal(journal, header, finished)
    remaining = [chunk for chunk in range(plan.chunks) if chunk not in finished]
    report(len(finished), plan.chunks)
    with journal.open("a") as lines:
        futures = {pool.submit(_inspect_chunk, target, plan, chunk): chunk for chunk in remaining}
        for future in as_completed(futures):
            chunk = futures[future]
            finished[chunk] = future.result()
            lines.write(_line(chunk, finished[chunk]))
            lines.flush()
            report(len(finished), plan.chunks)
    total = Findings()
    for chunk in sorted(finished):
        total.merge(finished[chunk])
    return total


def sources_digest() -> str:
    """SHA-256 of the package's sources: findings of other code must not be added up."""
    digest = hashlib.sha256()
    root = Path(xent_numba.__file__).parent
    for folder in ("kernels", "implementations", "accuracy"):
        for path in sorted((root / folder).glob("*.py")):
            digest.update(path.read_bytes())
    return digest.hexdigest()


@contextlib.contextmanager
def processes(number: int) -> Iterator[Executor]:
    """Processes that share the chunks; they end at once when the work is interrupted."""
    pool = ProcessPoolExecutor(
        number, mp_context=multiprocessing.get_context("spawn"), initializer=_one_thread
    )
    try:
        yield pool
    finally:
        pool.shutdown(wait=False, cancel_futures=True)


def _one_thread() -> None:
    """Before anything computes: the processes are the threads here."""
    os.environ["NUMBA_NUM_THREADS"] = "1"


def _inspect_chunk(target: Target, plan: Plan, chunk: int) -> Findings:
    total = Findings()
    for inputs, before in plan.pieces(chunk):
        total.merge(inspect(target, inputs, before))
    return total


def _line(chunk: int, findings: Findings) -> str:
    return json.dumps({"chunk": chunk, **findings.to_json()}) + "\n"


def _read_journal(journal: Path, header: dict[str, Any]) -> dict[int, Findings]:
    if not journal.exists():
        return {}
    first, *lines = journal.read_text().splitlines(keepends=True)
    if json.loads(first) != json.loads(json.dumps(header)):
        raise OtherSweepError(
            f"the journal {journal.name} belongs to another target, plan or source code; accepted "
            "is to begin anew, without --resume"
        )
    finished = {}
    for line in lines:
        if line.endswith("\n"):  # a process killed while writing leaves a line without an end
            document = json.loads(line)
            chunk = document.pop("chunk")
            finished[chunk] = Findings.from_json(document)
    return finished


def _write_journal(journal: Path, header: dict[str, Any], finished: dict[int, Findings]) -> None:
    """Begin the file with what is known, whole lines only; in place of the old one at once."""
    journal.parent.mkdir(parents=True, exist_ok=True)
    fresh = journal.with_suffix(".partial")
    lines = [json.dumps(header) + "\n", *(_line(c, f) for c, f in finished.items())]
    fresh.write_text("".join(lines))
    fresh.replace(journal)
