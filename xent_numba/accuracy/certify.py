"""Whether the reference keeps its word: its values at random inputs against mpmath."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import mpmath
import numpy as np
from numpy import ndarray

from xent_numba.accuracy import oracle, reference
from xent_numba.accuracy.reference import BOUND, Curve, Pairs
from xent_numba.accuracy.workers import Workers
from xent_numba.operations import OPERATIONS
from xent_numba.results import store

#: Inputs a process is given at a time.
BATCH = 5000
#: Which inputs, whether with soft labels, and the share of all inputs that each dtype gets.
_SHARES = {
    ("scores", False): 0.25,
    ("probabilities", False): 0.1,
    ("scores", True): 0.1,
    ("probabilities", True): 0.05,
}
_KINDS = tuple((*kind, dtype) for kind in _SHARES for dtype in ("float32", "float64"))
_LOGISTIC, _PROBABILITY, _SIGMOID, _GRADIENT = (
    OPERATIONS[name]
    for name in (
        "logistic_loss",
        "binary_cross_entropy",
        "sigmoid",
        "binary_cross_entropy_with_logits_and_grad",
    )
)


@dataclass(frozen=True, slots=True)
class Certificate:
    """The largest error of the reference that was seen.

    Attributes
    ----------
    first : {"scores", "probabilities"}
        Which inputs.
    soft : bool
        Whether each had a random label in [0, 1]; else each was evaluated for both classes.
    dtype : {"float32", "float64"}
        What the values judge.
    inputs : int
        Number of random inputs.
    values : int
        Number of values: four functions of a score, two of a probability; with soft labels a loss
        and a gradient of a score, a loss of a probability.
    largest : float
        Largest relative error; of a gradient with a soft label, relative to the sum of its terms.
    at : str
        Where it was, as a hexadecimal float.
    bound : float
        What is promised.
    """

    first: str
    soft: bool
    dtype: str
    inputs: int
    values: int
    largest: float
    at: str
    bound: float

    @property
    def holds(self) -> bool:
        """Whether the promise was kept."""
        return self.largest <= self.bound


@dataclass(frozen=True, slots=True)
class Certificates:
    """A certificate for each kind of input and dtype."""

    certificates: list[Certificate]


CERTIFICATES = store.Kind("certificates", 1, Certificates)


def check(
    inputs: int,
    workers: Workers,
    progress: Callable[[int, int], None] = lambda done, batches: None,
) -> Certificates:
    """Hold the reference to mpmath.

    Parameters
    ----------
    inputs : int
        Number of random inputs, rounded up to whole batches.
    workers : Workers
        Share out the work.
    progress : callable
        Called with the number of finished batches and of all.

    Returns
    -------
    Certificates
    """
    size = min(BATCH, max(1, inputs // 20))
    batches = [
        (*kind, size, seed)
        for kind in _KINDS
        for seed in range(math.ceil(_SHARES[kind[:2]] * inputs / size))
    ]
    found: dict[tuple[str, bool, str], list[tuple[float, float, int]]] = {k: [] for k in _KINDS}
    for done, (place, error) in enumerate(workers.results(largest_error, batches), 1):
        found[batches[place][:3]].append(error)
        progress(done, len(batches))
    return Certificates(
        [
            Certificate(
                *kind,
                inputs=size * len(errors),
                values=sum(values for _, _, values in errors),
                largest=max(errors)[0],
                at=max(errors)[1].hex(),
                bound=BOUND[kind[2]],
            )
            for kind, errors in found.items()
        ]
    )


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


def draw_labels(size: int, seed: int) -> ndarray:
    """Random labels in [0, 1]: even, near 0 and near 1 in equal parts."""
    rng = np.random.default_rng(seed)
    near = np.exp2(rng.uniform(-70, 0, size))
    return np.choose(rng.integers(0, 3, size), [rng.random(size), near, 1 - near])


def largest_error(
    first: str, soft: bool, dtype: str, size: int, seed: int
) -> tuple[float, float, int]:
    """The largest relative error among random inputs, where it is, and the number of values."""
    inputs = draw(first, dtype, size, seed)
    values = _soft_values(first, inputs, seed) if soft else _hard_values(first, inputs)
    errors = [(float(abs((got - true) / base)), value) for value, got, true, base in values]
    return *max(errors), len(errors)


_Value = tuple[float, Any, Any, Any]
"""An input, the value of the reference, the true value, and what an error is relative to."""


def _hard_values(first: str, inputs: ndarray) -> Iterator[_Value]:
    if first == "probabilities":
        curves = reference.of_probabilities(inputs)
        found: list[tuple[Curve | None, Callable[[float], Any]]] = [
            (curves.wrong, lambda p: oracle.exact(_PROBABILITY, p, 0.0)),
            (curves.right, lambda p: oracle.exact(_PROBABILITY, p, 1.0)),
        ]
    else:
        curves = reference.of_scores(inputs)
        found = [
            (curves.wrong, lambda s: oracle.exact(_LOGISTIC, s, -1.0)),
            (curves.right, lambda s: oracle.exact(_LOGISTIC, s, 1.0)),
            (curves.high, lambda s: oracle.exact(_SIGMOID, s)),
            (curves.low, lambda s: oracle.exact(_SIGMOID, -s)),
        ]
    for curve, exact in found:
        assert curve is not None
        for i, value in enumerate(inputs.tolist()):
            true = exact(value)
            yield value, _of_curve(curve, i), true, true


def _soft_values(first: str, inputs: ndarray, seed: int) -> Iterator[_Value]:
    labels = draw_labels(inputs.size, seed)
    scores = first == "scores"
    if scores:
        inputs = inputs * np.random.default_rng(seed).choice([-1, 1], inputs.size).astype(
            inputs.dtype
        )
    operation = _GRADIENT if scores else _PROBABILITY
    losses = reference.samples(operation, inputs, labels)
    gradients, terms = reference.gradients(operation, inputs, labels) if scores else (None, None)
    for i, (value, label) in enumerate(zip(inputs.tolist(), labels.tolist(), strict=True)):
        true = oracle.exact(operation, value, label)
        yield value, _of_pairs(losses, i), true, true
        if gradients is not None and terms is not None:
            true = oracle.exact_gradient(operation, value, label)
            yield value, _of_pairs(gradients, i), true, _of_pairs(terms, i)


def _of_curve(curve: Curve, i: int) -> Any:
    if curve.rounded is None:
        return mpmath.mpf(curve.values[i])
    truth = curve.rounded[i]
    with mpmath.workprec(oracle.PRECISION):
        return mpmath.mpf(truth.nearest) + mpmath.ldexp(truth.residual, int(truth.exponent))


def _of_pairs(pairs: Pairs, i: int) -> Any:
    with mpmath.workprec(oracle.PRECISION):
        total = mpmath.mpf(pairs.heads[i]) + mpmath.mpf(pairs.tails[i])
        return mpmath.ldexp(total, -int(pairs.exponents[i]))
