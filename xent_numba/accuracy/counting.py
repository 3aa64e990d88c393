"""Results held to the truth, and their errors counted, in one compiled pass.

A result g is wrong by |g - t| / ulp(t) ULP, t being the true value; see `ulp`. It is correctly
rounded if that is below 1/2, since no other float is as near. Where the error is closer to 1/2 than
the truth is known, the caller is told to ask mpmath.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace

import numpy as np
from numba import njit
from numpy import ndarray

from xent_numba.accuracy.error_counts import FINE, STEPS, ErrorCounts, Errors, Grade, Violations
from xent_numba.accuracy.reference import BOUND_ULP, Curve

#: Decides a hard case: the signed input and the result, to the error in ULP and whether the result
#: is the float nearest to the truth.
Decide = Callable[[float, np.floating], tuple[float, bool]]

_compile = njit(cache=True, error_model="numpy")

_OCTAVES = 1025
_NORMAL, _SUBNORMAL = 0, 1
_LARGEST = float(np.finfo(np.float64).max)
# Grades are kept for sixteenths of an octave of the input; 52 octaves of them are subnormal.
_STEP_BITS, _BELOW = 48, 52 * 16 + 1


class ErrorCounter:
    """Counts the errors of one quantity.

    Parameters
    ----------
    dtype : {"float32", "float64"}
        Of inputs and results.
    decide : callable
        Asked in hard cases.
    rises : bool
        Whether the function rises with the signed input.
    signed : bool
        Whether a result with a minus sign is wrong.
    """

    def __init__(self, dtype: str, decide: Decide, *, rises: bool, signed: bool) -> None:
        info = np.finfo(dtype)
        self._decide, self._rises, self._signed = decide, rises, signed
        self._bound = BOUND_ULP[dtype]
        self._tiny = float(info.smallest_normal)
        self._grades = np.full((2, _where(math.inf) + 1), -1, np.int8)
        self._histogram = np.zeros((2, FINE + _OCTAVES), np.int64)
        self._right = np.zeros(2, np.int64)
        self._peaks = np.full(2, -1.0)
        self._worst: list[tuple[float, np.floating] | None] = [None, None]
        self._found = ErrorCounts()

    def add(self, inputs: ndarray, got: ndarray, truth: Curve, *, negative: bool) -> ndarray:
        """Count the errors of the results for some inputs.

        Parameters
        ----------
        inputs : ndarray, shape (n,)
            Magnitudes in ascending order, without a sign.
        got : ndarray, shape (n,)
            Results.
        truth : Curve
            True values.
        negative : bool
            Whether the results are those for minus the inputs.

        Returns
        -------
        ndarray of float64, shape (n,)
            Errors in ULP, as far as `truth` knows.
        """
        if truth.rounded is None:
            error = np.empty(got.size)
            differing = _errors(got, truth.values, error)
        else:
            error, differing = truth.rounded.error(got), 1
        if self._signed and (signs := np.signbit(got)).any():
            self._found.sign.add(_signed(inputs, negative), signs & ~np.isnan(got))
        if differing or not self._add_alike(inputs, got, truth, error, negative):
            self._add_each(inputs, got, truth, error, negative)
        return error

    def _add_alike(
        self, inputs: ndarray, got: ndarray, truth: Curve, error: ndarray, negative: bool
    ) -> bool:
        """Count errors that are all of one step, if they are of one kind and one band besides.

        Most of float32 is so: where a result is a constant or the input, to the last step.
        """
        part = _part(truth.values, self._tiny)
        step = int(min(error[0] * STEPS, FINE))
        where = _where(inputs[0])
        hard = abs(error[0] - 0.5) <= self._bound
        if step >= STEPS or hard or part < 0 or where != _where(inputs[-1]):
            return False
        if math.isnan(truth.values[0]):
            return True  # rightly NaN, which has no error to count
        self._histogram[part, step] += got.size
        self._right[part] += got.size * (error[0] < 0.5)
        peak = int(error.argmax())
        if error[peak] > self._peaks[part]:
            self._peaks[part] = error[peak]
            self._worst[part] = _sign(inputs[peak], negative), got[peak]
        grades = self._grades[int(negative)]
        grades[where] = max(grades[where], Grade.ONE)
        return True

    def _add_each(
        self, inputs: ndarray, got: ndarray, truth: Curve, error: ndarray, negative: bool
    ) -> None:
        hard = np.empty(got.size, np.intp)
        before = self._peaks.copy()
        at, wrong, first, hard_count = _count(
            (error, got, truth.values, inputs),
            (self._histogram, self._right, self._peaks, self._grades[int(negative)]),
            hard,
            self._tiny,
            self._bound,
        )
        for kind in (_NORMAL, _SUBNORMAL):
            if self._peaks[kind] > before[kind]:
                self._worst[kind] = _sign(inputs[at[kind]], negative), got[at[kind]]
        if wrong:
            self._found.nonfinite.merge(Violations(wrong, _sign(inputs[first], negative).hex()))
        for i in hard[:hard_count]:
            self._found.decided += 1
            _, right = self._decide(_sign(inputs[i], negative), got[i])
            self._right[_SUBNORMAL if 0 < truth.values[i] < self._tiny else _NORMAL] += right

    def step(
        self, inputs: ndarray, got: ndarray, before: ndarray | None, *, negative: bool
    ) -> None:
        """Look for steps back in the results for ascending magnitudes, `before` the last of them.

        The inputs of a step back are named by the later magnitude.
        """
        up = self._rises != negative
        with np.errstate(invalid="ignore"):
            back = got[1:] < got[:-1] if up else got[1:] > got[:-1]
            if back.any():
                self._found.monotonicity.add(_signed(inputs[1:], negative), back)
            if before is not None and (got[0] < before if up else got[0] > before):
                self._found.monotonicity.merge(Violations(1, _sign(inputs[0], negative).hex()))

    def mirror(self, inputs: ndarray, broken: ndarray) -> None:
        """Count inputs whose results do not mirror those of the other sign."""
        if broken.any():
            self._found.symmetry.add(inputs, broken)

    def counts(self) -> ErrorCounts:
        """What was counted so far; mpmath has the last word on the largest errors."""
        normal, subnormal = (self._errors(kind) for kind in (_NORMAL, _SUBNORMAL))
        grades = {
            ~int(where) if negative else int(where): int(of_sign[where])
            for negative, of_sign in enumerate(self._grades)
            for where in np.flatnonzero(of_sign >= 0)
        }
        return replace(self._found, normal=normal, subnormal=subnormal, grades=grades)

    def _errors(self, kind: int) -> Errors:
        counts = self._histogram[kind]
        histogram = {int(i): int(counts[i]) for i in np.flatnonzero(counts)}
        errors = Errors(int(counts.sum()), int(self._right[kind]), histogram=histogram)
        if worst := self._worst[kind]:
            errors.worst = worst[0].hex()
            errors.max_ulp, _ = self._decide(*worst)
        return errors


def band_starts(where: int) -> float:
    """The least input of a sixteenth of an octave by its number; 0 is zero alone."""
    bits = where - _BELOW
    if where == 0:
        return 0.0
    if bits < 16:
        return math.ldexp(float(np.int64((bits + 52 * 16) << _STEP_BITS).view(np.float64)), -52)
    return float(np.int64(bits << _STEP_BITS).view(np.float64))


@_compile
def _where(value: float) -> int:
    """Number of the sixteenth of an octave that an input >= 0 is in."""
    x = np.float64(value)
    if x == 0:
        return 0
    if x < 2.0**-1022:
        return int(np.float64(x * 2.0**52).view(np.int64) >> _STEP_BITS) + 1
    return int(x.view(np.int64) >> _STEP_BITS) + _BELOW


def _signed(inputs: ndarray, negative: bool) -> ndarray:
    return -inputs if negative else inputs


def _sign(value: float, negative: bool) -> float:
    return -float(value) if negative else float(value)


@_compile
def _errors(got: ndarray, truth: ndarray, error: ndarray) -> int:
    """Errors of float32 in ULP, and how many are not in the first one's step."""
    integers = truth.view(np.int64)
    differing, low = 0, 0.0
    for i in range(got.size):
        g, t = np.float64(got[i]), truth[i]
        exponent = np.int64(2069) - max(integers[i] >> np.int64(52), np.int64(897))
        steps = abs(g - t) * np.int64(exponent << np.int64(52)).view(np.float64)
        steps = steps if steps < math.inf else _of_nonfinite(g, t)
        error[i] = steps
        if i == 0:
            low = math.floor(min(steps, FINE) * STEPS) / STEPS
        differing += (steps < low) | (steps >= low + 1 / STEPS)
    return differing


@_compile
def _of_nonfinite(g: float, t: float) -> float:
    """The error where a difference is no finite number; finite if both are."""
    if abs(g) < math.inf and abs(t) < math.inf:
        return _LARGEST
    return 0.0 if g == t or (g != g and t != t) else math.inf


@_compile
def _part(truth: ndarray, tiny: float) -> int:
    """Whether all true values are normal or zero (0), all subnormal (1), or some of each (-1)."""
    subnormal = 0
    for i in range(truth.size):
        subnormal += (truth[i] > 0) & (truth[i] < tiny)
    return 0 if subnormal == 0 else 1 if subnormal == truth.size else -1


@_compile
def _grade(error: float, got: float, truth: float) -> int:
    """Grade one result; see `error_counts.Grade`."""
    if error <= 1:
        return 0
    if error == math.inf:
        return 6 if got != got else 5
    if abs(got - truth) >= 0.5 * abs(truth):
        return 4
    return 1 if error <= 4 else 2 if error <= 100 else 3


@_compile
def _count(
    results: tuple[ndarray, ndarray, ndarray, ndarray],
    counts: tuple[ndarray, ndarray, ndarray, ndarray],
    hard: ndarray,
    tiny: float,
    bound: float,
) -> tuple[tuple[int, int], int, int, int]:
    """Count results; where the new peaks are, how many are wrongly non-finite, and hard cases.

    `results` are errors in ULP, what was computed, true values, and inputs, n each; `counts` are
    those of the counter: histogram, correctly rounded, peaks and grades.
    """
    error, got, truth, inputs = results
    histogram, right, peaks, grades = counts
    at_normal = at_subnormal = first = wrong = cases = 0
    for i in range(error.size):
        e = error[i]
        if truth[i] == truth[i]:
            where = _where(inputs[i])
            grades[where] = max(grades[where], _grade(e, got[i], truth[i]))
        if e == math.inf:
            first = first if wrong else i
            wrong += 1
            continue
        if got[i] != got[i]:
            continue
        part = 1 if 0 < truth[i] < tiny else 0
        if e > peaks[part]:
            peaks[part] = e
            at_normal, at_subnormal = (at_normal, i) if part else (i, at_subnormal)
        if abs(e - 0.5) <= bound:
            hard[cases] = i
            cases += 1
        elif e < 0.5:
            right[part] += 1
        step = int(e * STEPS) if e * STEPS < FINE else FINE + math.frexp(e)[1]
        histogram[part, step] += 1
    return (at_normal, at_subnormal), wrong, first, cases
