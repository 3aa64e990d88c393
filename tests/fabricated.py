"""Comparisons and surveys that nobody measured, for tests of what the reports make of them."""

from __future__ import annotations

import dataclasses
import functools

from xent_numba import registry
from xent_numba.measurement.case import Case
from xent_numba.measurement.comparison import COMPARISON, Comparison, Row
from xent_numba.measurement.participant import AGAIN, MEMORY_LIMIT, Participant, Preparation
from xent_numba.measurement.statistics import Interval
from xent_numba.measurement.suite import PARTS, SUBJECT
from xent_numba.measurement.worker import WarmUp
from xent_numba.results import store
from xent_numba.results.machine import Machine
from xent_numba.results.provenance import Provenance
from xent_numba.results.store import Stored

#: Nanoseconds an element, beyond a microsecond a call.
COST = {MEMORY_LIMIT: 0.125, SUBJECT: 0.5, f"{SUBJECT}@1": 1.0, "torch_compiled": 1.0}
ROUNDS = 8


def seconds(label: str, size: int) -> float:
    """Of a call: threads cost a launch, and everything else is slower."""
    per_element = COST.get(label.removesuffix(AGAIN), 10.0)
    per_call = 0.0 if label == MEMORY_LIMIT else 500.0 if label.endswith("@1") else 4000.0
    return (per_call + per_element * size) * 1e-9


def comparison(part: str, **changed) -> Stored[Comparison]:
    """A run of a part in which every turn took what `seconds` says, but for a ripple."""
    rows = []
    for case, members in PARTS[part].enter(registry.names(), 2).items():
        labels = (MEMORY_LIMIT, *(one.label for one in members), SUBJECT + AGAIN)
        for label in labels:
            rows.append(_row(case, label, labels, PARTS[part].baseline))
    found = Comparison(
        baseline=PARTS[part].baseline,
        control=SUBJECT,
        settings={"threads": 2, "budget": 1.0, "seed": 1},
        numba={"simd_bits": 256, "cpu": "generic", "threads": 2, "threading_layer": "omp"},
        activity={"load": 0.1, "load_after": 0.2, "steal_seconds": 0.0, "others_percent": 1.0},
        calls={"numpy_stable": {"sigmoid": "1 / (1 + exp(-s)), <folded>"}},
        rows=rows,
        overall=Interval(1.0, 0.99, 1.01),
    )
    command = f"xent-numba compare --suite {part}"
    provenance = Provenance(
        command, "2026-01-02T03:04:05+00:00", "0123456789abcdef", False, MACHINE
    )
    return Stored(provenance, dataclasses.replace(found, **changed))


MACHINE = Machine(
    cpu="An <abacus> & beads",
    architecture="x86_64",
    cores=2,
    cpus=2,
    usable_cpus=2,
    affinity=[0, 1],
    caches={"L1d": "32K"},
    memory_bytes=2**34,
    system="Linux",
    python="3.11",
    versions={"numba": "0.1", "numpy": "2.0"},
)


def _row(case, label, labels, baseline) -> Row:
    name = Participant.of(label.removesuffix(AGAIN), 2).label.partition("@")[0]
    if name != MEMORY_LIMIT and case.operation not in registry.get(name).operations:
        return Row(case, label, Preparation("n/a", f"does not compute {case.operation}"))
    if name == "numpy_textbook":
        return Row(case, label, Preparation("wrong", "result[0] is 0.0 and should be 1.0"))
    if name == "numba_cuda":
        return Row(case, label, Preparation("unavailable", "no CUDA device"))
    compared_with = [other for other in (baseline, SUBJECT, MEMORY_LIMIT) if other in labels]
    timed = _timed(label, case.size, tuple(compared_with), baseline)
    return dataclasses.replace(
        timed,
        case=case,
        rounds=dict(timed.rounds),
        preparation=Preparation("partly", "the tail is lost", 1e7)
        if name == "sklearn_loss"
        else Preparation("ok", "", 0.9 if name == SUBJECT else 2.5, None, 0.5),
        warm_up=WarmUp(1, True, False),
    )


@functools.cache
def _timed(label: str, size: int, compared_with: tuple[str, ...], baseline: str) -> Row:
    """The statistics of a row; of what case, and whether it agreed, is filled in by who asks.

    To compute them takes as long as to draw a page, and most cases have the same.
    """
    times = {
        other: {turn: seconds(other, size) * (1 + 0.01 * (turn % 3 - 1)) for turn in range(ROUNDS)}
        for other in (label, *compared_with)
    }
    case = Case("sigmoid", "gaussian", size, "float32", None, "none")
    row = Row(case, label, Preparation("ok", "", 0.9))
    return row.timed(times, baseline, SUBJECT, MEMORY_LIMIT)


def write(folder, *parts: str) -> None:
    """Lay the files of some parts, or of all, where a report is made from them."""
    (folder / "compare").mkdir(parents=True, exist_ok=True)
    for part in parts or PARTS:
        run = comparison(part)
        store.write(folder / "compare" / f"{part}.json", COMPARISON, run.provenance, run.content)
