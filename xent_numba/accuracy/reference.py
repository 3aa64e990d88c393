"""The true values that results are held against, fast enough for billions of them.

For a score of magnitude x, e = exp(-x) gives all there is to compute on scores with hard labels:

    g(x)  = 1 / (1 + e)         softplus(x)  = x + log1p(e)
    g(-x) = e / (1 + e)         softplus(-x) = log1p(e)

A loss is the softplus of minus the margin, the magnitude of its gradient the sigmoid of it. The
losses on probabilities are -log p and -log1p(-p). A soft label y weighs the two labels by y and
1 - y.

A sweep of float32 holds results against the double nearest to these, with exp, log and log1p of the
C library. It documents them to be within 1 ULP [1]_. No step of the formulas amplifies a relative
error, and none makes more than four roundings of u = 2^-53, so with 2 u for each of at most two
functions the error is below 8 u.

Everything else is held against pairs of doubles; see `double_double`. A gradient at a soft label is
the difference of two terms: its bound is relative to their sum.

All bounds are checked against mpmath; see `certify`. What a bound leaves undecided, on which side
of a rounding boundary a value lies, mpmath decides; see `sweep`.

This folder imports nothing that it judges, and no library's polynomials but those of the C library.

References
----------
.. [1] The GNU C Library Reference Manual, "Known Maximum Errors in Math Functions".
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np
from numba import njit
from numpy import ndarray

from xent_numba.accuracy import double_double
from xent_numba.accuracy.ulp import Truth
from xent_numba.operations import Operation

#: Largest relative error of a true value.
BOUND = MappingProxyType({"float32": 2.0**-50, "float64": 2.0**-90})
#: The same in ULP of the format that is judged: a value is below 2^p of its ULPs.
BOUND_ULP = MappingProxyType(
    {name: bound * 2.0 ** (np.finfo(name).nmant + 1) for name, bound in BOUND.items()}
)

# Functions here call functions of this file alone, so that a cached one cannot be out of date.
_compile = njit(cache=True, error_model="numpy")


@dataclass(frozen=True, slots=True)
class Curve:
    """True values of one function, which rises or falls, for ascending inputs that are >= 0.

    Attributes
    ----------
    values : ndarray of float64, shape (n,)
        The true values rounded to double.
    rounded : Truth or None
        What results of float64 are held against; those of float32 are held against `values`.
    """

    values: ndarray
    rounded: Truth | None = None


@dataclass(frozen=True, slots=True)
class Curves:
    """Every function of a piece of inputs: what `wrong` and `right` are depends on what is asked.

    Attributes
    ----------
    wrong, right : Curve
        Losses on the wrong and on the right side: softplus(x) and softplus(-x).
        Of probabilities, -log1p(-p), the loss of label 0, and -log p, that of label 1.
    high, low : Curve or None
        g(x) and g(-x); none for probabilities.
    """

    wrong: Curve
    right: Curve
    high: Curve | None = None
    low: Curve | None = None


def of_scores(magnitudes: ndarray) -> Curves:
    """Evaluate sigmoid and softplus at +-`magnitudes`, which may be infinite or NaN."""
    return Curves(*_curves(_scores_float32, double_double.of_scores, 4, magnitudes))


def of_probabilities(probabilities: ndarray) -> Curves:
    """Evaluate -log1p(-p) and -log p."""
    return Curves(
        *_curves(_probabilities_float32, double_double.of_probabilities, 2, probabilities)
    )


def _curves(
    single: Callable[..., None], double: Callable[..., None], number: int, inputs: ndarray
) -> Iterator[Curve]:
    if inputs.dtype == np.float32:
        yield from map(Curve, _float32(single, number, inputs))
        return
    shape = (number, inputs.size)
    heads, tails = np.empty(shape), np.empty(shape)
    exponents = np.empty(shape, np.int64)
    double(inputs, heads, tails, exponents)
    for pairs in map(Pairs, heads, tails, exponents):
        truth = pairs.truth(inputs.dtype)
        # That a value is not zero survives rounding.
        values = np.where(pairs.heads > 0, np.maximum(truth.nearest, 5e-324), truth.nearest)
        yield Curve(values, truth)


@dataclass(frozen=True, slots=True)
class Pairs:
    """True values of samples, (head + tail) 2^-exponent each.

    Attributes
    ----------
    heads, tails : ndarray of float64, shape (n,)
        A tail is at most half an ULP of its head.
    exponents : ndarray of int64, shape (n,)
        Not 0 where a double would overflow, or be subnormal.
    """

    heads: ndarray
    tails: ndarray
    exponents: ndarray

    def times(self, factors: ndarray | float, divisor: float = 1.0) -> Pairs:
        """Multiply by factors >= 0, such as weights, and divide by a number, such as their sum."""
        product = Pairs(self.heads.copy(), self.tails.copy(), self.exponents.copy())
        factors = np.broadcast_to(np.asarray(factors, np.float64), self.heads.shape)
        double_double.multiply(
            np.ascontiguousarray(factors),
            divisor,
            product.heads,
            product.tails,
            product.exponents,
        )
        return product

    def doubles(self) -> tuple[ndarray, ndarray]:
        """Doubles whose sum each value is, as far as its range goes: the nearest, and the rest."""
        return np.ldexp(self.heads, -self.exponents), np.ldexp(self.tails, -self.exponents)

    def truth(self, dtype: np.dtype) -> Truth:
        """In the form in which results are held against them."""
        return Truth.from_pairs(self.heads, self.tails, self.exponents, dtype)


def samples(operation: Operation, first: ndarray, labels: ndarray | None = None) -> Pairs:
    """Loss, or sigmoid, of each sample.

    Parameters
    ----------
    operation : Operation
        What is computed; of an operation with a gradient, the loss.
    first : ndarray of float32 or float64, shape (n,)
        Scores or probabilities.
    labels : ndarray, shape (n,), optional
        Labels, soft ones too, where the operation takes them.

    Returns
    -------
    Pairs
        Within `BOUND` of the dtype of `first`.
    """
    if labels is None:
        return _gradients(first, np.zeros(first.size))[0]  # of the loss of label 0
    positive = _positive_share(operation, labels)
    if first.dtype == np.float64:
        in_pairs = {
            "scores": double_double.losses_of_scores,
            "probabilities": double_double.losses_of_probabilities,
        }
        return Pairs(*_filled(in_pairs[operation.first], first, positive))
    with np.errstate(invalid="ignore"):
        if operation.first == "probabilities":
            of_zero, of_one = _float32(_probabilities_float32, 2, first)
            return _doubles(
                np.where(positive > 0, positive * of_one, 0)
                + np.where(positive < 1, (1 - positive) * of_zero, 0)
            )
        _, tail, _, _ = _float32(_scores_float32, 4, np.abs(first))
        wrong = np.where(first < 0, positive, 1 - positive)
        return _doubles(np.where(wrong > 0, wrong * np.abs(first), 0) + tail)


def gradients(operation: Operation, scores: ndarray, labels: ndarray) -> tuple[Pairs, Pairs]:
    """Derivative of the loss of each sample with respect to its score.

    Parameters
    ----------
    operation : Operation
        An operation on scores.
    scores : ndarray of float32 or float64, shape (n,)
        Scores.
    labels : ndarray, shape (n,)
        Labels, soft ones too.

    Returns
    -------
    gradients, terms : Pairs
        The gradients, and the sum of the magnitudes of the two terms each is the difference of:
        `BOUND` is relative to that. With a hard label it is the magnitude of the gradient.
    """
    return _gradients(scores, _positive_share(operation, labels))


def _gradients(scores: ndarray, positive: ndarray) -> tuple[Pairs, Pairs]:
    if scores.dtype == np.float64:
        found = _filled(double_double.gradients_of_scores, scores, positive, rows=2)
        gradient, terms = (Pairs(*(array[row] for array in found)) for row in range(2))
        return gradient, terms
    _, _, high, low = _float32(_scores_float32, 4, np.abs(scores))
    up = (1 - positive) * np.where(scores < 0, low, high)
    down = positive * np.where(scores < 0, high, low)
    return _doubles(up - down), _doubles(up + down)


def _doubles(values: ndarray) -> Pairs:
    return Pairs(values, np.zeros(values.size), np.zeros(values.size, np.int64))


def _float32(loop: Callable[..., None], rows: int, inputs: ndarray) -> ndarray:
    values = np.empty((rows, inputs.size))
    loop(inputs, values)
    return values


def _filled(loop: Callable[..., None], *inputs: ndarray, rows: int = 1) -> tuple[ndarray, ...]:
    doubles = [np.ascontiguousarray(array, np.float64) for array in inputs]
    shape = (rows, doubles[0].size) if rows > 1 else doubles[0].shape
    results = np.empty(shape), np.empty(shape), np.empty(shape, np.int64)
    loop(*doubles, *results)
    return results


def _positive_share(operation: Operation, labels: ndarray) -> ndarray:
    assert operation.labels is not None
    negative, positive = operation.labels.hard
    return np.asarray((labels.astype(np.float64) - negative) / (positive - negative))


# float32: doubles.


@_compile
def _scores_float32(magnitudes: ndarray, values: ndarray) -> None:
    below_one, below_half = 1 - 2.0**-53, 0.5 - 2.0**-54
    for i in range(magnitudes.size):
        x = np.float64(magnitudes[i])
        e = 0.0 if x > 800 else math.exp(-x)  # the C library is slow where exp underflows
        tail = math.log1p(e)
        high, low = 1 / (1 + e), e / (1 + e)
        if x < math.inf:
            # In which binade a value is, and that it is not zero, survives rounding.
            high = min(high, below_one)
            tail, low = max(tail, 5e-324), max(low, 5e-324)
            if x > 0:
                low = min(low, below_half)
        values[0, i], values[1, i] = x + tail, tail
        values[2, i], values[3, i] = high, low


@_compile
def _probabilities_float32(probabilities: ndarray, values: ndarray) -> None:
    for i in range(probabilities.size):
        p = np.float64(probabilities[i])
        values[0, i] = -math.log1p(-p) if p > 0 else 0.0
        values[1, i] = -math.log(p) if p < 1 else 0.0
