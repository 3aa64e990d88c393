r"""The functions of `vectormath` held to the truth, in a loop as a user writes it.

The true values are those of NumPy in the next wider format: float64 for float32, and the 64 bits of
x86's extended precision for float64. What they lack is below 2^-20 and 2^-7 ULP. mpmath has the
last word on the largest error of every part of the work.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from typing import Any, Self

import mpmath
import numpy as np
from numba import njit
from numpy import ndarray

from xent_numba import vectormath
from xent_numba.accuracy.oracle import PRECISION
from xent_numba.accuracy.plans import Exhaustive, Plan, Seams, Strata
from xent_numba.accuracy.runs import together
from xent_numba.accuracy.ulp import Truth
from xent_numba.accuracy.workers import Workers
from xent_numba.codegen import assembly
from xent_numba.errors import UsageError
from xent_numba.results import store
from xent_numba.results.provenance import Provenance

#: Steps to either side of a seam.
REACH = 200
_WIDER: dict[str, type[np.floating[Any]]] = {"float32": np.float64, "float64": np.longdouble}


@dataclass(frozen=True, slots=True)
class Function:
    """What a function of `vectormath` should be.

    Attributes
    ----------
    wide : callable
        In NumPy, for arrays of the wider format.
    exact : callable
        In mpmath.
    """

    wide: Callable[[Any], Any]
    exact: Callable[[Any], Any]


def _g(x: Any) -> Any:
    e = np.exp(-np.abs(x))
    return np.where(x < 0, e, 1) / (1 + e)


def _exact_softplus(x: Any) -> Any:
    return max(x, mpmath.mpf(0)) + mpmath.log1p(mpmath.exp(-abs(x)))


def _softplus(x: Any) -> Any:
    return np.maximum(x, 0) + np.log1p(np.exp(-np.abs(x)))


FUNCTIONS = {
    "exp": Function(np.exp, mpmath.exp),
    "expm1": Function(np.expm1, mpmath.expm1),
    "log": Function(np.log, mpmath.log),
    "log1p": Function(np.log1p, mpmath.log1p),
    "log1p_derivative": Function(lambda x: 1 / (1 + x), lambda x: 1 / (1 + x)),
    "sigmoid": Function(_g, lambda x: 1 / (1 + mpmath.exp(-x))),
    "sigmoid_derivative": Function(
        lambda x: _g(x) * _g(-x),
        lambda x: mpmath.exp(-abs(x)) / (1 + mpmath.exp(-abs(x))) ** 2,
    ),
    "softplus": Function(_softplus, _exact_softplus),
    "log_sigmoid": Function(lambda x: -_softplus(-x), lambda x: -_exact_softplus(-x)),
}


@dataclass(frozen=True, slots=True)
class FunctionErrors:
    """What was found out about a function in one dtype.

    Attributes
    ----------
    name, dtype : str
        What it is.
    search : str
        On which inputs, in words.
    inputs : int
        How many of them have a finite result.
    correctly_rounded : int
        How many results were the float nearest to the true value.
    normal, subnormal : tuple of float and str
        Largest error in ULP, and the input where it is, as a hexadecimal float: of results that are
        normal numbers or zero, and of others.
    wrong : tuple of int and str
        Results that are infinite, NaN or of the other sign where the true value is not, or the
        other way round; and the input of the first.
    simd_bits : int
        Width of the registers in the user's loop; 0 where this machine's code is not understood.
    run : int
        Index of the run that found it, in `VectorMath.runs`.
    """

    name: str
    dtype: str
    search: str
    inputs: int
    correctly_rounded: int
    normal: tuple[float, str]
    subnormal: tuple[float, str]
    wrong: tuple[int, str]
    simd_bits: int
    run: int = 0

    def with_(self, other: Self) -> Self:
        """Add what was found on other inputs."""
        return type(self)(
            self.name,
            self.dtype,
            self.search if other.search in self.search else f"{self.search}, {other.search}",
            self.inputs + other.inputs,
            self.correctly_rounded + other.correctly_rounded,
            max(self.normal, other.normal),
            max(self.subnormal, other.subnormal),
            (self.wrong[0] + other.wrong[0], self.wrong[1] or other.wrong[1]),
            self.simd_bits,
        )


@dataclass(frozen=True, slots=True)
class VectorMath:
    """The errors of functions.

    Attributes
    ----------
    rows : list of FunctionErrors
        One for each function and dtype.
    runs : list of Provenance
        Where the rows come from.
    """

    rows: list[FunctionErrors] = field(default_factory=list)
    runs: list[Provenance] = field(default_factory=list)

    def updated(self, newer: Self) -> Self:
        """Return the rows of both; the newer one's where both have a function in a dtype."""
        rows, origins = together(self, newer, lambda row: (row.name, row.dtype))
        return type(self)(sorted(rows, key=lambda row: row.dtype), origins)


VECTOR_MATH = store.Kind("functions of vectormath", 2, VectorMath)


@functools.cache
def loop(name: str) -> Any:
    """Return a user's loop over a function: ``f(inputs, results)``, compiled when it is called."""
    function = getattr(vectormath, name)

    def over(inputs, results):  # type: ignore[no-untyped-def]
        vectormath.prefer_full_vectors()
        for i in range(inputs.size):
            results[i] = function(inputs[i])

    return njit(over)


def exact_error(name: str, x: float, got: np.floating) -> float:
    """Error of one result in ULP, by mpmath."""
    with mpmath.workprec(PRECISION):
        truth = Truth.from_exact([FUNCTIONS[name].exact(mpmath.mpf(float(x)))], got.dtype)
    return float(truth.error(np.array([got]))[0])


def inspect(name: str, inputs: ndarray, search: str = "") -> FunctionErrors:
    """Hold the results for some inputs to the truth.

    Parameters
    ----------
    name : str
        Name of the function.
    inputs : ndarray of float32 or float64, shape (n,)
        Any, NaN included.
    search : str
        What they are, in words.
    """
    dtype = inputs.dtype
    info = np.finfo(dtype)
    got = np.empty_like(inputs)
    loop(name)(inputs, got)
    with np.errstate(all="ignore"):
        true = FUNCTIONS[name].wide(inputs.astype(_WIDER[dtype.name]))
        nearest = true.astype(dtype)
        error = np.abs((got - true) * _per_ulp(true)).astype(np.float64)
        finite = np.isfinite(got) & np.isfinite(nearest)
        alike = (got == nearest) & (np.signbit(got) == np.signbit(nearest))
        alike |= np.isnan(got) & np.isnan(nearest)
        wrong = ~np.where(finite, (got == 0) <= (np.signbit(got) == np.signbit(true)), alike)
        small = (np.abs(true) < info.smallest_normal) & (true != 0)
    return FunctionErrors(
        name,
        dtype.name,
        search,
        int(finite.sum()),
        int((alike & finite).sum()),
        _worst(inputs, np.where(finite & ~small, error, -1.0)),
        _worst(inputs, np.where(finite & small, error, -1.0)),
        (int(wrong.sum()), float(inputs[wrong.argmax()]).hex() if wrong.any() else ""),
        0,
    )


def _per_ulp(true: ndarray) -> ndarray:
    """1 / ULP, in the format that is judged, of true values in the wider one."""
    if true.dtype == np.float64:
        # By the exponent's bits, since billions are asked for.
        exponent = np.maximum((true.view(np.int64) >> 52) & 0x7FF, 1023 - 126)
        return np.asarray(((2 * 1023 + 23 - exponent) << 52).view(np.float64))
    _, octave = np.frexp(true)
    return np.asarray(np.ldexp(np.longdouble(1), 52 - np.maximum(octave - 1, -1022)))


def _worst(inputs: ndarray, error: ndarray) -> tuple[float, str]:
    at = int(error.argmax())
    return (0.0, "") if error[at] < 0 else (float(error[at]), float(inputs[at]).hex())


def count_chunk(name: str, plan: Plan, search: str, chunk: int) -> FunctionErrors:
    """Return the errors of a function on one chunk of a plan, of either sign."""
    found = _together(
        inspect(name, signed, search)
        for magnitudes in plan.pieces(chunk)
        for signed in (magnitudes, -magnitudes)
    )
    normal, subnormal = (_decided(found, worst) for worst in (found.normal, found.subnormal))
    return replace(found, normal=normal, subnormal=subnormal)


def _decided(found: FunctionErrors, worst: tuple[float, str]) -> tuple[float, str]:
    """The largest error by mpmath."""
    if not worst[1]:
        return worst
    one = np.array([float.fromhex(worst[1])], found.dtype)
    got = np.empty_like(one)
    loop(found.name)(one, got)
    return exact_error(found.name, one[0], got[0]), worst[1]


def _together(parts: Iterable[FunctionErrors]) -> FunctionErrors:
    return functools.reduce(lambda one, other: one.with_(other), parts)


def simd_bits(name: str, dtype: str) -> int:
    """Width of the vector registers that a user's loop over a function takes."""
    if not assembly.readable():
        return 0
    array = assembly.array_type(dtype)
    text = assembly.assembly(loop(name).py_func, (array, array))
    return assembly.read_loops(text, assembly.SUFFIXES[dtype], (1,)).width


def measure(
    dtypes: Iterable[str],
    *,
    exhaustive: bool,
    samples: int,
    workers: Workers,
    progress: Callable[[str, int, int], None] = lambda what, done, chunks: None,
) -> VectorMath:
    """Hold all functions to the truth.

    Parameters
    ----------
    dtypes : iterable of str
        float32, float64.
    exhaustive : bool
        Whether to go through all of float32.
    samples : int
        In strata, where not all inputs are looked at, for each function.
    workers : Workers
        Share out the work.
    progress : callable
        Called with what is being done, and the number of finished chunks and of all.

    Returns
    -------
    VectorMath
    """
    rows = []
    for dtype in dtypes:
        if np.finfo(_WIDER[dtype]).nmant <= np.finfo(dtype).nmant + 8:
            raise UsageError(
                f"--dtype is {dtype} with --study functions, and this machine's long double is no "
                "wider; accepted is float32"
            )
        plans: dict[str, Plan] = {
            f"{samples:,} samples in strata": Strata("scores", dtype, samples),
            f"all within {REACH} steps of a seam": Seams("scores", dtype, REACH),
        }
        if exhaustive and dtype == "float32":
            plans = {"all 2^32 inputs": Exhaustive(0, 1 << 31)}
        for name in FUNCTIONS:
            tasks = [
                (name, plan, words, chunk)
                for words, plan in plans.items()
                for chunk in range(plan.chunks)
            ]
            parts = []
            for _, part in workers.results(count_chunk, tasks):
                parts.append(part)
                progress(f"{name}, {dtype}", len(parts), len(tasks))
            parts.sort(key=lambda part: [*plans].index(part.search))
            rows.append(replace(_together(parts), simd_bits=simd_bits(name, dtype)))
    return VectorMath(rows)
