"""The set of comparisons that the reports are made of: ``xent-numba compare --suite full``."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

from xent_numba.measurement.case import Case
from xent_numba.measurement.participant import Participant
from xent_numba.operations import OPERATIONS, Operation, Reduction

FULL = "full"
SUBJECT = "numba_parallel"
"""The one that is compared with the others, and so the one that is entered twice."""

Entries = dict[Case, Sequence[Participant]]
_Enter = Callable[[Sequence[str], int], Entries]

_VALUES = ("sigmoid", "binary_cross_entropy", "logistic_loss", "binary_cross_entropy_with_logits")
#: Sizes by dtype; None is the own one of a workload.
_IN_CACHE = MappingProxyType({"float32": (2**22,), "float64": (2**21,)})
_IN_MEMORY = MappingProxyType({"float32": (2**27,), "float64": (2**26,)})
_OWN = MappingProxyType(dict.fromkeys(_IN_CACHE, (None,)))
_FEW = MappingProxyType(dict.fromkeys(_IN_CACHE, (1, 64, 1000)))
_ON_GPU = ("numba_cuda", "torch_eager_cuda", "torch_compiled_cuda", "cupy_fused")
_FAST = (SUBJECT, "torch_eager", "torch_compiled", *_ON_GPU)
#: Largest size of a sweep at which a call still takes less than about a second.
_FAST_UP_TO = 2**27
_UP_TO = MappingProxyType({"naive": 2**18, **dict.fromkeys((*_FAST, "jax_jit"), _FAST_UP_TO)})
_OTHERS_UP_TO = 2**24


@dataclass(frozen=True, slots=True)
class Part:
    """One comparison, and one set of files.

    Attributes
    ----------
    name : str
        Of its files.
    summary : str
        What it is for.
    budget : float
        Seconds for its rounds.
    baseline : str
        What a speed-up divides by.
    enter : callable
        Makes the entries from the names of all implementations and a number of threads.
    """

    name: str
    summary: str
    budget: float
    baseline: str
    enter: _Enter


def log_spaced(low: int, high: int, factor: int) -> list[int]:
    """Sizes from `low` up, each `factor` times the one before, and `high`."""
    sizes = [low]
    while sizes[-1] * factor < high:
        sizes.append(sizes[-1] * factor)
    return sizes if low == high else [*sizes, high]


def _each(
    operations: Iterable[str],
    sizes: Mapping[str, Iterable[int | None]],
    takes_part: Callable[[str], bool] = lambda name: True,
    workload: str = "gaussian",
) -> _Enter:
    """Return what enters each operation in each dtype and size."""

    def enter(names: Sequence[str], threads: int) -> Entries:
        cases = (
            _case(operation, workload, size, dtype)
            for operation in operations
            for dtype in sizes
            for size in sizes[dtype]
        )
        return _enter(cases, [*filter(takes_part, names)], threads)

    return enter


def _labels(names: Sequence[str], threads: int) -> Entries:
    asked: list[tuple[str, str, str | None, Reduction]] = [
        (name, f"gaussian{variant}", None, "sum")
        for name, operation in OPERATIONS.items()
        for variant in _variants(operation)
    ]
    asked += [
        ("logistic_loss", "gaussian", "int8", "sum"),
        ("binary_cross_entropy_with_logits", "gaussian", "bool", "sum"),
        ("logistic_loss", "gaussian", None, "none"),
        ("binary_cross_entropy_with_logits", "gaussian", None, "none"),
    ]
    cases = (
        _case(name, workload, size, dtype, label_dtype, reduction)
        for name, workload, label_dtype, reduction in asked
        for dtype, (size,) in _IN_CACHE.items()
    )
    return _enter(cases, [name for name in names if name in (*_FAST, "numba_svml")], threads)


def _variants(operation: Operation) -> Sequence[str]:
    """What a workload's name has after it for each kind of labels and weights that is taken."""
    if operation.labels is None:
        return ("",)
    return (
        ("", "-soft", "-weighted", "-soft-weighted") if operation.labels.soft else ("", "-weighted")
    )


def _control(names: Sequence[str], threads: int) -> Entries:
    each: tuple[Reduction, ...] = ("sum", "none")
    cases = (
        _case(name, "gaussian", size, dtype, None, reduction)
        for name in OPERATIONS
        for dtype in _IN_CACHE
        for reduction in each
        for size in log_spaced(1, 2**16, 2)
    )
    return _enter(cases, [SUBJECT], threads)


def _sizes(names: Sequence[str], threads: int) -> Entries:
    entries: Entries = {}
    for size in log_spaced(1, _FAST_UP_TO, 4):
        here = [name for name in names if size <= _UP_TO.get(name, _OTHERS_UP_TO)]
        # On one thread as well, which shows where more of them pay.
        here += [f"{SUBJECT}@1"] * (SUBJECT in here)
        entries |= _enter([_case("logistic_loss", "gaussian", size, "float32")], here, threads)
    return entries


def _case(
    operation: str,
    workload: str,
    size: int | None,
    dtype: str,
    label_dtype: str | None = None,
    reduction: Reduction = "sum",
) -> Case:
    if operation == "binary_cross_entropy":
        # Among millions of normal scores some give a probability of exactly 0 or 1 to the wrong
        # label. Peers clamp that infinite loss, and could not be timed.
        workload = workload.replace("gaussian", "flights")
    return Case.of(operation, workload, size, dtype, label_dtype, reduction)


def _enter(cases: Iterable[Case], names: Sequence[str], threads: int) -> Entries:
    return {case: [Participant.of(name, threads) for name in names] for case in cases}


_flights = _each(_VALUES, _OWN, workload="flights")
_operations = _each(OPERATIONS, _IN_CACHE, lambda name: name != "naive")
_small = _each(_VALUES, _FEW)
_large = _each(_VALUES, _IN_MEMORY, lambda name: name in _FAST)

PARTS: Mapping[str, Part] = MappingProxyType(
    {
        part.name: part
        for part in (
            Part("flights", "real data, every implementation", 70, "numpy_stable", _flights),
            Part("operations", "every operation and dtype", 130, "numpy_stable", _operations),
            Part("labels", "labels and weights of each kind", 160, "torch_compiled", _labels),
            Part("small", "the price of a call", 60, "scipy_special", _small),
            Part("sizes", "from one sample to 2^27", 90, "numpy_stable", _sizes),
            Part("large", "larger than the caches", 60, "torch_compiled", _large),
        )
    }
)

CONTROL = Part(
    "control", "whether 95 % intervals hold where nothing differs", 250, SUBJECT, _control
)
"""No part of the page: hundreds of cases of one implementation against itself."""
