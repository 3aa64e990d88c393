"""Who computes it: how an implementation declares itself, and how it is found.

One file in ``implementations/`` is one implementation. Its functions carry
:func:`implements`; the file may also define

``unavailable() -> str | None``
    Why the implementation cannot run here, in words that say what to install; None if it can.
    Without it the implementation runs everywhere.
``bind(operation, inputs, reduction) -> callable``
    A call without arguments that computes the operation on `inputs` (first argument, labels, and
    so on, as NumPy arrays) in the implementation's own array type, for timing. Without it the
    public function is timed.
``on_host(result) -> ndarray``
    What a bound call returns, or each of two, as an array of NumPy's. Without it, `numpy.asarray`.
``timer(call) -> callable``
    What makes so many calls and returns their seconds by the clock of a device, on which a call
    leaves its result and waits for nothing. Without it, the clock of the host.
``clock() -> callable``
    The clock of a device as asv reads it.
``small_call() -> SmallCall``
    A shorter way to results of few samples, without the checks that plain arrays need none of.
``short_way(type) -> callable or None``
    What computes a `Call` whose first argument is of a type that is not NumPy's, before any check,
    if it is like one before it; its None sends the call the longer way.
``loss_rows(operation, samples, scaling) -> ndarray``
    Partial results of whole sections, from which `kernels.cpu.pieces` makes the sum over an array
    that lies in pieces. Without it, each piece is summed for itself.
``DISTRIBUTION``
    Name of the package whose version a report names beside what is called.
``arrays``
    How device arrays are taken in (`validation.Arrays`). Without it only host arrays are accepted.

The folder is listed without importing anything; a file is imported when it is asked for.
"""

from __future__ import annotations

import functools
import importlib
import inspect
import pkgutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import ModuleType
from typing import Any, Literal, NamedTuple, TypeVar, cast

import numpy as np
from numpy import ndarray

from xent_numba.errors import ImplementationUnavailableError, not_one_of
from xent_numba.host_arrays import HOST
from xent_numba.known_failures import KnownFailure
from xent_numba.operations import OPERATIONS, Call
from xent_numba.validation import Arrays

Formulation = Literal["textbook", "stable"]
Device = Literal["cpu", "cuda"]
_F = TypeVar("_F", bound=Callable[..., Any])

_PACKAGE = f"{__package__}.implementations"
"""Imported when it is asked for, by name: an import statement would run up the house."""


@dataclass(frozen=True, slots=True)
class Declaration:
    """What one function says of itself: the operation, and how well it is computed.

    Attributes
    ----------
    operation : str
        Name of the operation.
    function : callable
        Called with a `Call` whose arrays are checked.
    summary : str
        What it computes or calls, in one line.
    device : {"cpu", "cuda"}
        Where the arithmetic happens.
    formulation : {"textbook", "stable"}
        The formula as the mathematics writes it, or one rearranged to survive rounding.
    max_ulp : mapping of str to float
        Largest error of a per-sample loss or sigmoid with hard labels, in ULP, by dtype name,
        outside the known failures.
    max_ulp_gradient : mapping of str to float
        The same for the gradient; empty where there is none.
    known_failures : tuple of KnownFailure
        Where the result is wrong by nature.
    max_ulp_soft : mapping of str to float
        Largest error of a loss with soft labels; where a dtype is missing, that of hard ones.
    upstream : str
        Address of the report, in the tracker of the library that is called, of what is wrong; empty
        where none is known.
    """

    operation: str
    function: Callable[[Call], Any]
    summary: str
    device: Device
    formulation: Formulation
    max_ulp: Mapping[str, float]
    max_ulp_gradient: Mapping[str, float]
    known_failures: tuple[KnownFailure, ...]
    max_ulp_soft: Mapping[str, float]
    upstream: str = ""

    def known_failures_at(
        self, first: ndarray, labels: ndarray | None
    ) -> list[tuple[KnownFailure, ndarray]]:
        """The declared failures that occur in some samples, each with the samples it covers."""
        wide = first.astype(np.float64)  # the ends of an interval may be beyond float32
        covered = ((f, f.covers(wide, labels, str(first.dtype))) for f in self.known_failures)
        return [(failure, samples) for failure, samples in covered if samples.any()]

    def known_failure(self, first: float, label: float | None, dtype: str) -> KnownFailure | None:
        """The declared failure that covers an input, or None."""
        return next((f for f in self.known_failures if f.covers(first, label, dtype)), None)


def implements(
    *operations: str,
    device: Device = "cpu",
    formulation: Formulation,
    max_ulp: Mapping[str, float],
    max_ulp_gradient: Mapping[str, float] | None = None,
    known_failures: tuple[KnownFailure, ...] = (),
    max_ulp_soft: Mapping[str, float] | None = None,
    summary: str = "",
    upstream: str = "",
) -> Callable[[_F], _F]:
    """Declare the decorated function to compute `operations`; see `Declaration`.

    Decorators stack where the operations of one function differ in what is declared. Without a
    `summary` it is the first line of the docstring.
    """
    for operation in operations:
        if operation not in OPERATIONS:
            raise ValueError(f"operation is {not_one_of(OPERATIONS, operation)}")

    def declare(function: _F) -> _F:
        signature = inspect.signature(function, follow_wrapped=False)
        if len(signature.parameters) != 1:
            raise TypeError(
                f"{function.__name__} takes {signature}; accepted is one argument, the "
                "xent_numba.operations.Call, as in CONTRIBUTING.md"
            )
        said = summary or (function.__doc__ or "").partition("\n")[0]
        how = function, said, device, formulation
        how_well = max_ulp, max_ulp_gradient or {}, known_failures, max_ulp_soft or {}
        function.declarations = (  # type: ignore[attr-defined]
            *getattr(function, "declarations", ()),
            *(Declaration(operation, *how, *how_well, upstream) for operation in operations),
        )
        return function

    return declare


class SmallCall(NamedTuple):
    """A way to compute few samples of which the call is most of the time.

    Attributes
    ----------
    ufuncs : mapping of numpy.dtype to numpy.ufunc
        Sigmoids of float32 and float64 scores, in the bits that the implementation gives them; None
        for others.
    losses : mapping of str to callable
        By operation, what is called with the first argument and the labels, one-dimensional,
        contiguous and in dtypes that are read, and with whether the mean is asked for, not the sum.
        It returns 0 and the loss, or another number where the longer way has more to say.
    limit : int
        Samples up to which it is the shorter way.
    """

    ufuncs: Mapping[np.dtype, Any]
    losses: Mapping[str, Callable[[ndarray, ndarray, bool], tuple[int, float]]]
    limit: int


@dataclass(frozen=True, slots=True)
class Implementation:
    """One implementation: a name, the operations it computes, and whether it can run here.

    Attributes
    ----------
    name : str
        Name of its file.
    summary : str
        First line of the file's docstring.
    operations : mapping of str to Declaration
        What it computes, by operation name.
    module : types.ModuleType
        The file.
    """

    name: str
    summary: str
    operations: Mapping[str, Declaration]
    module: ModuleType

    @classmethod
    def from_module(cls, module: ModuleType) -> Implementation:
        """Read the declarations of an imported file."""
        found = (getattr(value, "declarations", None) for value in vars(module).values())
        declared = {d.operation: d for some in found if isinstance(some, tuple) for d in some}
        declarations = {name: declared[name] for name in OPERATIONS if name in declared}
        name = module.__name__.rpartition(".")[2]
        return cls(name, (module.__doc__ or "").partition("\n")[0], declarations, module)

    @property
    def device(self) -> Device:
        """Where it computes."""
        return next(iter(self.operations.values())).device

    def bound(
        self, operation: str, inputs: tuple[ndarray, ...], reduction: str
    ) -> Callable[[], Any] | None:
        """What the file binds for timing; None if that is the public function."""
        bind: Callable[..., Callable[[], Any]] | None = getattr(self.module, "bind", None)
        return bind(operation, inputs, reduction) if bind else None

    def on_host(self, result: Any) -> Any:
        """Return what a bound call returns, one result or two, as arrays of NumPy's."""
        fetch = getattr(self.module, "on_host", np.asarray)
        return tuple(map(fetch, result)) if isinstance(result, tuple) else fetch(result)

    @property
    def arrays(self) -> Arrays:
        """How it takes in device arrays; host arrays alone if the file defines no ``arrays``."""
        return getattr(self.module, "arrays", HOST)

    @property
    def small_call(self) -> SmallCall | None:
        """The shorter way to results of few samples; None where there is none."""
        short: Callable[[], SmallCall] | None = getattr(self.module, "small_call", None)
        return short() if short else None

    def short_way(self, kind: type) -> Callable[[Call], Any] | None:
        """What computes a call like one before it, on arrays of a type, in less time, or None."""
        way: Callable[[type], Callable[[Call], Any] | None] | None
        way = getattr(self.module, "short_way", None)
        return way(kind) if way else None

    @property
    def loss_rows(self) -> Callable[..., ndarray] | None:
        """Partial results of whole sections; None where only whole calls are summed."""
        return getattr(self.module, "loss_rows", None)

    def unavailable(self) -> str | None:
        """Why it cannot run here, or None if it can."""
        probe: Callable[[], str | None] | None = getattr(self.module, "unavailable", None)
        return probe() if probe else None

    def require(self) -> None:
        """Raise `ImplementationUnavailableError` where it cannot run."""
        if reason := self.unavailable():
            raise ImplementationUnavailableError(
                f"implementation {self.name!r} cannot run here: {reason}"
            )


def search_path() -> list[str]:
    """Folders whose files are implementations; one that is appended is searched last."""
    return cast("list[str]", importlib.import_module(_PACKAGE).__path__)


def names() -> tuple[str, ...]:
    """Names of all implementations, without importing any of them."""
    return tuple(sorted(module.name for module in pkgutil.iter_modules(search_path())))


@functools.cache
def get(name: str) -> Implementation:
    """The implementation called `name`; ValueError with the nearest name where there is none."""
    if name not in names():
        raise ValueError(f"implementation is {not_one_of(names(), name)}")
    module = importlib.import_module(f"{_PACKAGE}.{name}")
    if getattr(module.__spec__, "_initializing", False):
        raise ImplementationUnavailableError(
            f"implementation {name!r} is called while it is imported, as by a signal handler; call "
            "it once before"
        )
    return Implementation.from_module(module)


def implementations() -> dict[str, Implementation]:
    """All implementations by name, those that cannot run here included.

    Returns
    -------
    dict of str to Implementation
        Sorted by name. `Implementation.unavailable` says why one cannot run.
    """
    return {name: get(name) for name in names()}


@functools.cache
def resolve(name: str, operation: str) -> Callable[[Call], Any]:
    """The function by which an implementation that can run here computes an operation."""
    implementation = get(name)
    implementation.require()
    if operation not in implementation.operations:
        raise ImplementationUnavailableError(
            f"implementation {name!r} does not compute {operation}; "
            f"it computes {', '.join(implementation.operations)}"
        )
    return implementation.operations[operation].function
