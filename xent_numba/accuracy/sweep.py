"""How far an implementation is from the truth over the whole floating-point range.

All operations of an implementation that take the same inputs are swept together, for every label
and both signs of a score: the true values of one piece of magnitudes serve them all.

float32 is swept exhaustively: all 2^32 bit patterns, or all of those in the domain, in the order of
their magnitudes. Other inputs are sampled in strata, the same number of random significands from
every sign and exponent, so the result is a lower bound of the largest error.

The work is cut into numbered chunks. What a chunk found is one line of a journal, written when it
is done: a sweep that is killed goes on from there, and no chunk is lost or counted twice. The
journal begins with what was swept, by which code, with which versions; others refuse it.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import json
import multiprocessing
import os
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import Executor, ProcessPoolExecutor, as_completed
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal, Protocol

import numpy as np
from numpy import ndarray

import xent_numba
from xent_numba.accuracy import oracle, reference
from xent_numba.accuracy.counting import Tally
from xent_numba.accuracy.error_counts import Findings
from xent_numba.accuracy.reference import Curve, Curves
from xent_numba.accuracy.ulp import Truth
from xent_numba.operations import OPERATIONS, Operation
from xent_numba.results.machine import thread_variables

#: Magnitudes of a chunk, and of the pieces it is computed in, which stay in the caches.
CHUNK, PIECE = 1 << 22, 1 << 15

#: Workers compute on one thread, as the processes are the threads; and the C library keeps what is
#: freed, as memory fresh from the system costs more than what is computed in it.
_ENVIRONMENT = {
    **thread_variables(1),
    **dict.fromkeys(("MALLOC_TRIM_THRESHOLD_", "MALLOC_MMAP_THRESHOLD_"), str(1 << 28)),
}


class OtherSweepError(ValueError):
    """A journal cannot be gone on with."""


@dataclass(frozen=True, slots=True)
class Target:
    """What gets a row: one result of one operation of one implementation, for one label.

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
    def _positive(self) -> bool:
        labels = self.table_entry.labels
        return labels is not None and self.label == labels.hard[1]

    @property
    def rises(self) -> bool:
        """Whether the result, or the magnitude of the gradient, rises with the input."""
        return not self._positive

    @property
    def mirrored(self) -> Target:
        """The target with the same results at minus the inputs."""
        labels = self.table_entry.labels
        other = None if labels is None else sum(labels.hard) - (self.label or 0.0)
        return Target(self.implementation, self.operation, self.dtype, other, self.result)

    def truth(self, curves: Curves, *, negative: bool) -> Curve:
        """What it should make of a piece of inputs, or of minus those; of a gradient, |dL/ds|."""
        if self.table_entry.first == "probabilities":
            return curves.right if self._positive else curves.wrong
        right_side = self._positive != negative
        if self.result == "loss" and self.label is not None:
            return curves.right if right_side else curves.wrong
        # g(s), and the magnitude of the gradient, which is g(-m) of the margin m.
        curve = curves.low if right_side else curves.high
        assert curve is not None
        return curve

    def exact(self, signed: float, got: np.floating) -> tuple[float, bool]:
        """Error of one result in ULP, and whether it is the nearest float, from mpmath."""
        if self.result == "loss":
            value = oracle.exact(self.table_entry, signed, self.label)
        else:
            value = abs(oracle.exact_gradient(self.table_entry, signed, self.label))
        truth = Truth.from_exact([value], got.dtype)
        return float(truth.error(np.array([got]))[0]), bool(truth.nearest[0] == got)

    def tally(self) -> Tally:
        """An empty tally of it."""
        is_loss = self.result == "loss"
        return Tally(self.dtype, self.exact, rises=self.rises, signed=is_loss)


@dataclass(frozen=True, slots=True)
class Subject:
    """What is swept together.

    Attributes
    ----------
    implementation : str
        Name.
    dtype : {"float32", "float64"}
        dtype of the inputs.
    operations : tuple of str
        Operations that take the same first argument.
    """

    implementation: str
    dtype: str
    operations: tuple[str, ...]

    @property
    def first(self) -> Literal["scores", "probabilities"]:
        """What the operations take."""
        return OPERATIONS[self.operations[0]].first

    @property
    def signs(self) -> tuple[bool, ...]:
        """Whether inputs are negative, for every sign there is."""
        return (False, True) if self.first == "scores" else (False,)

    def targets(self) -> list[Target]:
        """Every operation, label and result."""
        return [
            Target(self.implementation, operation, self.dtype, label, result)
            for operation in self.operations
            for entry in [OPERATIONS[operation]]
            for label in (entry.labels.hard if entry.labels else (None,))
            for result in ("loss", "gradient")[: 1 + entry.gradient]
        ]

    def curves(self, magnitudes: ndarray) -> Curves:
        """The true values of all functions."""
        if self.first == "scores":
            return reference.of_scores(magnitudes)
        return reference.of_probabilities(magnitudes)

    def compute(self, inputs: ndarray) -> dict[Target, ndarray]:
        """What the implementation makes of inputs; of a gradient, the magnitude."""
        computed: dict[Target, ndarray] = {}
        for operation in self.operations:
            entry = OPERATIONS[operation]
            for label in entry.labels.hard if entry.labels else (None,):
                results = _call(self.implementation, entry, inputs, label)
                for name, result in zip(("loss", "gradient"), results, strict=False):
                    target = Target(self.implementation, operation, self.dtype, label, name)
                    falls = name == "gradient" and not target.rises
                    computed[target] = -result if falls else result
        return computed


def _call(
    implementation: str, operation: Operation, inputs: ndarray, label: float | None
) -> tuple[ndarray, ...]:
    """Results for inputs that all have one label; NaN where the implementation raises."""
    function = getattr(xent_numba, operation.name)
    try:
        if label is None:
            return (np.asarray(function(inputs, implementation=implementation)),)
        labels = np.full_like(inputs, label)
        result = function(inputs, labels, reduction="none", implementation=implementation)
        return tuple(map(np.asarray, result)) if operation.gradient else (np.asarray(result),)
    except (ArithmeticError, ValueError):
        if inputs.size == 1:
            return (np.full_like(inputs, np.nan),) * (1 + operation.gradient)
        halves = (
            _call(implementation, operation, half, label) for half in np.array_split(inputs, 2)
        )
        return tuple(np.concatenate(parts) for parts in zip(*halves, strict=True))


class Plan(Protocol):
    """Inputs >= 0 to go through, cut into numbered chunks."""

    @property
    def chunks(self) -> int:
        """How many there are."""

    def pieces(self, chunk: int) -> Iterator[ndarray]:
        """The inputs of a chunk, in ascending order."""

    def lead(self, chunk: int) -> ndarray | None:
        """The inputs just before those of a chunk, if its results must go on from theirs."""


def inspect(subject: Subject, plan: Plan, chunk: int) -> dict[Target, Findings]:
    """Hold the results for the inputs of a chunk to the truth.

    Parameters
    ----------
    subject : Subject
        What computes.
    plan : Plan
        Says on which inputs.
    chunk : int
        Which of them.

    Returns
    -------
    dict of Target to Findings
        For every target of the subject.
    """
    tallies = {target: target.tally() for target in subject.targets()}
    last: dict[tuple[Target, bool], Any] = {}
    lead = plan.lead(chunk)
    if lead is not None:
        for negative in subject.signs:
            for target, got in subject.compute(-lead if negative else lead).items():
                last[target, negative] = got[-1]
    for magnitudes in plan.pieces(chunk):
        curves = subject.curves(magnitudes)
        sides = {n: subject.compute(-magnitudes if n else magnitudes) for n in subject.signs}
        for target, tally in tallies.items():
            for negative, side in sides.items():
                got, truth = side[target], target.truth(curves, negative=negative)
                tally.add(magnitudes, got, truth, negative=negative)
                tally.step(magnitudes, got, last.get((target, negative)), negative=negative)
                last[target, negative] = got[-1]
            if len(sides) == 2:
                here, there = sides[False][target], sides[True][target.mirrored]
                tally.mirror(magnitudes, _asymmetric(target, here, there))
    return {target: tally.findings() for target, tally in tallies.items()}


def _asymmetric(target: Target, here: ndarray, there: ndarray) -> ndarray:
    """Where results at an input and at minus the input, for the other label, are not mirrored."""
    if target.label is None:
        # 1 - g(s) is exact for g(s) >= 1/2.
        apart = np.abs((here.astype(np.float64) - 1) + there)
        return np.asarray(apart > np.finfo(here.dtype).eps)
    unequal = here != there
    if unequal.any():
        unequal &= ~(np.isnan(here) & np.isnan(there))
    return np.asarray(unequal)


@dataclass(frozen=True, slots=True)
class Exhaustive:
    """Every float32 of the domain, NaNs included where the domain is the line.

    Attributes
    ----------
    first, stop : int
        Range of bit patterns of magnitudes.
    """

    first: int
    stop: int

    @classmethod
    def over(cls, operation: Operation) -> Exhaustive:
        """The plan for the domain of an operation."""
        return cls(0, 1 << 31 if operation.first == "scores" else float_to_bits(1.0) + 1)

    @property
    def chunks(self) -> int:
        """How many chunks the work is cut into."""
        return -(-(self.stop - self.first) // CHUNK)

    def pieces(self, chunk: int) -> Iterator[ndarray]:
        """The inputs of a chunk."""
        start = self.first + chunk * CHUNK
        stop = min(start + CHUNK, self.stop)
        for low in range(start, stop, PIECE):
            yield bits_to_floats(low, min(low + PIECE, stop))

    def lead(self, chunk: int) -> ndarray | None:
        """A whole piece, as the last samples of a short one may be computed by other code."""
        start = self.first + chunk * CHUNK
        return bits_to_floats(max(start - PIECE, self.first), start) if chunk else None


@dataclass(frozen=True, slots=True)
class Strata:
    """The same number of samples from every sign and exponent, evenly spread over significands.

    Probabilities are sampled twice: by the exponents of p, and by those of 1 - p.

    Attributes
    ----------
    first : {"scores", "probabilities"}
        What is sampled.
    dtype : str
        float32 or float64.
    samples : int
        How many, rounded up to as many for every sign and exponent.
    """

    first: str
    dtype: str
    samples: int

    @property
    def chunks(self) -> int:
        """How many chunks the work is cut into."""
        return -(-self._strata // _STRATA_PER_CHUNK)

    @property
    def _strata(self) -> int:
        exponents, complements = self._exponents
        return exponents + complements

    @property
    def _exponents(self) -> tuple[int, int]:
        """How many of the input, subnormal ones as one, and of its complement."""
        info = np.finfo(self.dtype)
        if self.first == "scores":
            return int(info.maxexp - info.minexp) + 1, 0
        return 1 - int(info.minexp), int(info.nmant)

    def pieces(self, chunk: int) -> Iterator[ndarray]:
        """The samples of a chunk, exponent by exponent."""
        start = chunk * _STRATA_PER_CHUNK
        for stratum in range(start, min(start + _STRATA_PER_CHUNK, self._strata)):
            samples = self._stratum(stratum)
            yield from (samples[i : i + PIECE] for i in range(0, samples.size, PIECE))

    def lead(self, chunk: int) -> None:
        """Chunks stand alone."""

    def _stratum(self, stratum: int) -> ndarray:
        signs = 2 if self.first == "scores" else 1
        number = -(-self.samples // (signs * self._strata))
        mantissa = int(np.finfo(self.dtype).nmant)
        exponents, _ = self._exponents
        # One sample from each of so many parts of an octave: ascending without being sorted.
        jitter = np.random.default_rng(stratum).random(number)
        significands = ((np.arange(number) + jitter) / number * 2.0**mantissa).astype(np.int64)
        if stratum < exponents:
            bits = (np.int64(stratum) << mantissa) + significands
            return bits.astype(f"i{np.dtype(self.dtype).itemsize}").view(self.dtype)
        # 1 - p from 1/2 down, of which the floats above 1/2 are the multiples of 2^-(p).
        scale = np.ldexp(1.0, -1 - mantissa - (stratum - exponents) - 1)
        complements = ((significands + 2.0**mantissa) * scale)[::-1]
        return np.asarray((1 - complements).astype(self.dtype))


_STRATA_PER_CHUNK = 16


def sweep(
    subject: Subject,
    plan: Plan,
    journal: Path,
    *,
    pool: Executor,
    made_with: Mapping[str, Any] | None = None,
    resume: bool = False,
    report: Callable[[int, int], None] = lambda done, chunks: None,
) -> list[dict[Target, Findings]]:
    """Carry out a plan, chunk by chunk in several processes.

    Parameters
    ----------
    subject : Subject
        What is swept.
    plan : Plan
        On which inputs.
    journal : pathlib.Path
        File that gets a line for every finished chunk.
    pool : concurrent.futures.Executor
        Shares out the chunks; see `processes`.
    made_with : mapping, optional
        Versions, processor, and what else the results depend on besides the sources.
    resume : bool
        Whether to go on with what is in the journal, rather than to begin anew.
    report : callable
        Called with the number of finished chunks and of all.

    Returns
    -------
    list of dict of Target to Findings
        Of every chunk.

    Raises
    ------
    OtherSweepError
        If the journal to go on with is one of another subject, plan, source code or version.
    """
    header = {
        "subject": asdict(subject),
        "plan": repr(plan),
        "chunk": [CHUNK, PIECE],
        "sources": sources_digest(subject.implementation),
        "made_with": made_with or {},
    }
    targets = {_key(target): target for target in subject.targets()}
    finished = _read_journal(journal, header, targets) if resume else {}
    _write_journal(journal, header, finished)
    remaining = [chunk for chunk in range(plan.chunks) if chunk not in finished]
    report(len(finished), plan.chunks)
    with journal.open("a") as lines:
        futures = {pool.submit(inspect, subject, plan, chunk): chunk for chunk in remaining}
        for future in as_completed(futures):
            chunk = futures[future]
            finished[chunk] = future.result()
            lines.write(_line(chunk, finished[chunk]))
            lines.flush()
            report(len(finished), plan.chunks)
    return [finished[chunk] for chunk in sorted(finished)]


def total(parts: Iterable[Findings]) -> Findings:
    """Add up the findings of chunks."""
    result = Findings()
    for part in parts:
        result.merge(part)
    return result


@functools.cache
def sources_digest(implementation: str) -> str:
    """SHA-256 of all sources on which an implementation's findings depend.

    Findings of other code must not be added up. Other implementations are left out, as is what
    only times and reports.
    """
    root = Path(xent_numba.__file__).parent
    own = root / "implementations" / f"{implementation}.py"
    folders = (".", "kernels", "kernels/cpu", "kernels/cuda", "accuracy")
    shared = [path for folder in folders for path in (root / folder).glob("*.py")]
    digest = hashlib.sha256()
    for path in sorted(p for p in (*shared, own) if p.name != "cli.py" and p.is_file()):
        digest.update(path.read_bytes())
    return digest.hexdigest()


@contextlib.contextmanager
def processes(number: int) -> Iterator[Executor]:
    """Processes that share the chunks; they end at once when the work is interrupted."""
    before = {name: os.environ.get(name) for name in _ENVIRONMENT}
    os.environ.update(_ENVIRONMENT)
    pool = ProcessPoolExecutor(
        number, mp_context=multiprocessing.get_context("spawn"), initializer=_end_with_parent
    )
    try:
        yield pool
    finally:
        pool.shutdown(wait=False, cancel_futures=True)
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


def _end_with_parent() -> None:
    """Do not wait for work from a parent that was killed."""
    parent = multiprocessing.parent_process()
    assert parent is not None

    def watch() -> None:
        parent.join()
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def _key(target: Target) -> str:
    label = "" if target.label is None else f" {target.label:+g}"
    return f"{target.operation} {target.result}{label}"


def _line(chunk: int, findings: dict[Target, Findings]) -> str:
    document = {_key(target): found.to_json() for target, found in findings.items()}
    return json.dumps({"chunk": chunk, "findings": document}) + "\n"


def _read_journal(
    journal: Path, header: dict[str, Any], targets: dict[str, Target]
) -> dict[int, dict[Target, Findings]]:
    if not journal.exists():
        return {}
    first, *lines = journal.read_text().splitlines(keepends=True)
    if json.loads(first) != json.loads(json.dumps(header)):
        raise OtherSweepError(
            f"the journal {journal.name} belongs to another subject, plan, source code or version; "
            "accepted is to begin anew, without --resume"
        )
    finished = {}
    for line in lines:
        if line.endswith("\n"):  # a process killed while writing leaves a line without an end
            document = json.loads(line)
            finished[document["chunk"]] = {
                targets[key]: Findings.from_json(found)
                for key, found in document["findings"].items()
            }
    return finished


def _write_journal(
    journal: Path, header: dict[str, Any], finished: dict[int, dict[Target, Findings]]
) -> None:
    """Begin the file with what is known, whole lines only; in place of the old one at once."""
    journal.parent.mkdir(parents=True, exist_ok=True)
    fresh = journal.with_suffix(".partial")
    lines = [json.dumps(header) + "\n", *(_line(c, f) for c, f in finished.items())]
    fresh.write_text("".join(lines))
    fresh.replace(journal)


def bits_to_floats(first: int, stop: int) -> ndarray:
    """float32 magnitudes by their bit patterns, which are in the order of the values."""
    return np.arange(first, stop, dtype=np.uint32).view(np.float32)


def float_to_bits(value: float) -> int:
    """The place of a magnitude in that order."""
    return int(np.float32(value).view(np.uint32))
