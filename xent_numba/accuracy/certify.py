"""Whether the yardstick keeps its word: its values at random inputs against mpmath."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator
from concurrent.futures import Executor
from dataclasses import asdict, dataclass
from typing import Any, Literal, Self

import mpmath
import numpy as np
from numpy import ndarray

from xent_numba.accuracy import oracle, reference
from xent_numba.accuracy.reference import BOUND, Curve
from xent_numba.operations import OPERATIONS

#: Inputs a process is given at a time.
BATCH = 5000
_KINDS = tuple(
    (first, dtype) for first in ("scores", "probabilities") for dtype in ("float32", "float64")
)
_LOGISTIC, _PROBABILITY, _SIGMOID = (
    OPERATIONS[name] for name in ("logistic_loss", "binary_cross_entropy", "sigmoid")
)


@dataclass(frozen=True, slots=True)
class Certificate:
    """The largest error of the yardstick that was seen.

    Attributes
    ----------
    first : {"scores", "probabilities"}
        Which inputs.
    dtype : {"float32", "float64"}
        What the values judge.
    inputs : int
        How many random inputs; each has two values (probabilities) or four.
    largest : float
        Largest relative error.
    at : str
        Where it was, as a hexadecimal float.
    bound : float
        What is promised.
    """

    first: Literal["scores", "probabilities"]
    dtype: str
    inputs: int
    largest: float
    at: str
    bound: float

    @property
    def holds(self) -> bool:
        """Whether the promise was kept."""
        return self.largest <= self.bound


@dataclass(frozen=True, slots=True)
class Check:
    """Certificates, and what they were made with.

    Attributes
    ----------
    certificates : list of Certificate
        For each kind of input and dtype.
    origin : dict
        Command, commit, machine and versions.
    """

    certificates: list[Certificate]
    origin: dict[str, Any]

    def to_json(self) -> str:
        """Everything, for a file."""
        return json.dumps(asdict(self), indent=1) + "\n"

    @classmethod
    def from_json(cls, text: str) -> Self:
        """Read back what `to_json` wrote."""
        document = json.loads(text)
        return cls([Certificate(**c) for c in document["certificates"]], document["origin"])


def check(
    inputs: int,
    *,
    pool: Executor,
    origin: dict[str, Any],
    report: Callable[[int, int], None] = lambda done, batches: None,
) -> Check:
    """Hold the yardstick to mpmath.

    Parameters
    ----------
    inputs : int
        How many random inputs, rounded up to whole batches: two fifths are scores of each dtype,
        a tenth probabilities.
    pool : concurrent.futures.Executor
        Shares out the work.
    origin : dict
        Kept with the result.
    report : callable
        Called with the number of finished batches and of all.

    Returns
    -------
    Check
    """
    share = {"scores": 0.4, "probabilities": 0.1}
    size = min(BATCH, max(1, inputs // 10))
    batches = [
        (first, dtype, size, seed)
        for first, dtype in _KINDS
        for seed in range(math.ceil(share[first] * inputs / size))
    ]
    found: dict[tuple[str, str], list[tuple[float, float]]] = {kind: [] for kind in _KINDS}
    futures = [(batch, pool.submit(_largest, *batch)) for batch in batches]
    for done, ((first, dtype, _, _), future) in enumerate(futures, 1):
        found[first, dtype].append(future.result())
        report(done, len(batches))
    return Check(
        [
            Certificate(first, dtype, size * len(worst), *_named(max(worst)), BOUND[dtype])  # type: ignore[arg-type]
            for (first, dtype), worst in found.items()
        ],
        origin,
    )


def _named(worst: tuple[float, float]) -> tuple[float, str]:
    return worst[0], worst[1].hex()


def draw(first: str, dtype: str, size: int, seed: int) -> ndarray:
    """Random inputs where there is something to compute: each exponent as likely as another.

    Beyond the ends a result is 1/2, ln 2, the input or zero to all the digits there are. Half of
    the probabilities are complements of such.
    """
    rng = np.random.default_rng([seed, np.dtype(dtype).itemsize, first == "scores"])
    info = np.finfo(dtype)
    if first == "scores":
        low, high = -int(info.nmant) - 5, math.log2(-math.log(float(info.smallest_subnormal)))
        return np.exp2(rng.uniform(low, high, size)).astype(dtype)
    small = np.exp2(rng.uniform(int(info.minexp), 0, size))
    near_one = 1 - np.exp2(rng.uniform(-int(info.nmant), 0, size))
    drawn = np.where(rng.random(size) < 0.5, small, near_one).astype(dtype)
    return np.asarray(np.clip(drawn, info.smallest_subnormal, 1 - info.epsneg))


def _largest(first: str, dtype: str, size: int, seed: int) -> tuple[float, float]:
    """The largest relative error among random inputs, and where it is."""
    inputs = draw(first, dtype, size, seed)
    worst = (0.0, 0.0)
    for curve, exact in _curves(first, inputs):
        for i, value in enumerate(inputs.tolist()):
            true = exact(value)
            error = float(abs(_value(curve, i, dtype) - true) / true)
            worst = max(worst, (error, value))
    return worst


def _curves(first: str, inputs: ndarray) -> Iterator[tuple[Curve, Callable[[float], Any]]]:
    if first == "probabilities":
        curves = reference.of_probabilities(inputs)
        yield curves.wrong, lambda p: oracle.exact(_PROBABILITY, p, 0.0)
        yield curves.right, lambda p: oracle.exact(_PROBABILITY, p, 1.0)
        return
    curves = reference.of_scores(inputs)
    assert curves.high is not None
    assert curves.low is not None
    yield curves.wrong, lambda s: oracle.exact(_LOGISTIC, s, -1.0)
    yield curves.right, lambda s: oracle.exact(_LOGISTIC, s, 1.0)
    yield curves.high, lambda s: oracle.exact(_SIGMOID, s)
    yield curves.low, lambda s: oracle.exact(_SIGMOID, -s)


def _value(curve: Curve, i: int, dtype: str) -> Any:
    if dtype == "float32":
        return mpmath.mpf(curve.values[i])
    with mpmath.workprec(oracle.PRECISION):
        units = mpmath.mpf(curve.units[i]) + mpmath.mpf(curve.rest[i])
        return units / mpmath.mpf(curve.scales[0, i]) / mpmath.mpf(curve.scales[1, i])
