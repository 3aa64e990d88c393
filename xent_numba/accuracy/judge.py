"""Whether a kernel agrees with the truth on given arguments: asked before any time is believed.

Every sample is held against the wide reference; the extremes, the worst and a fixed sample are held
against mpmath; the reduced loss is held against `math.fsum` over the reference.

Reduced losses may be off by `REDUCED_RTOL`. The terms are not negative, so adding n of them in any
order errs by at most (n - 1) u relative, pairwise by about u log2(n) (Higham, "Accuracy and
Stability of Numerical Algorithms", 2nd ed. 2002, section 4.2). 1e-6 is 17 u of float32: what
pairwise summation of millions needs with room, and what recursive summation in float32 misses from
some 10^5 samples on. 1e-12 is 9000 u of float64, enough for plain recursive summation of 10^8
samples, whose error grows like the root of their number.
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, NoReturn

import numpy as np
from numpy import ndarray

from xent_numba.accuracy import oracle, wide_formulas
from xent_numba.accuracy.ulp import Truth
from xent_numba.operations import Operation, Reduction
from xent_numba.registry import Declaration

#: Largest relative error of a sum or mean.
REDUCED_RTOL = MappingProxyType({"float32": 1e-6, "float64": 1e-12})
#: What the roundings of 1 - y, of its product and of one more addition may add at a soft label.
SOFT_LABEL_ULP = 3.0
#: What multiplying by a weight, and dividing by n or by the sum of the weights, may add.
WEIGHT_ULP, DIVISOR_ULP = 1.0, 2.0
#: Leading samples reduced on their own: there, one that a kernel forgets is a large share.
PREFIXES = (1, 257, 4097)

_CHUNK = 1 << 16
_CHECKED_BY_MPMATH = 48
#: Neither is ever a right result, so what a kernel leaves unwritten is noticed.
_STALE_LOSS, _STALE_GRADIENT = -1.0, np.inf


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether a kernel agreed, and how well.

    Attributes
    ----------
    ok : bool
        Whether everything agreed.
    max_ulp : float
        Largest error of a per-sample loss or sigmoid; NaN if there are none to measure.
    max_ulp_gradient : float
        The same for the gradient.
    reason : str
        Empty, or one sentence that says what was wrong first; of a kernel that agreed, with how
        many samples it failed where it declares to.
    index : int or None
        Index of the first wrong sample, in C order; None if no single sample is wrong.
    got, expected : float or None
        The wrong value and the true one, correctly rounded.
    """

    ok: bool
    max_ulp: float = math.nan
    max_ulp_gradient: float = math.nan
    reason: str = ""
    index: int | None = None
    got: float | None = None
    expected: float | None = None


class _DisagreementError(Exception):
    def __init__(
        self,
        reason: str,
        index: int | None = None,
        got: float | None = None,
        expected: float | None = None,
    ) -> None:
        super().__init__(reason)
        self.index, self.got, self.expected = index, got, expected


def judge(
    compute: Callable[..., Any],
    operation: Operation,
    arguments: tuple[ndarray, ...],
    *,
    reduction: Reduction,
    max_ulp: float,
    max_ulp_gradient: float | None = None,
    sample_weight: ndarray | None = None,
    declaration: Declaration | None = None,
) -> Verdict:
    """Hold a kernel to the truth on the arguments it is going to be timed with.

    Parameters
    ----------
    compute : callable
        Called as the public function of the operation is: ``compute(scores, out=)`` for the
        sigmoid, else ``compute(first, labels, sample_weight=, reduction=)`` with ``out=``, and with
        ``grad_out=`` for an operation with a gradient.
        ``functools.partial(xent_numba.logistic_loss, implementation=name)`` is one.
    operation : Operation
        What it should compute.
    arguments : tuple of ndarray
        Scores or probabilities of float32 or float64 and any shape, then the labels.
    reduction : {"none", "sum", "mean"}
        The reduction that is checked besides the single samples.
    max_ulp : float
        Largest error allowed per sample, in ULP. A soft label may add `SOFT_LABEL_ULP`.
    max_ulp_gradient : float, optional
        The same for the gradient; without it, `max_ulp`.
    sample_weight : ndarray, optional
        Weights.
    declaration : Declaration, optional
        Excuses single samples for which it declares a known failure, if it is a reduced loss
        that is wanted, and only from being compared one by one: the reduced loss must be right.

    Returns
    -------
    Verdict
        An exception that `compute` raises is a verdict too: not ok.
    """
    first = arguments[0].ravel()
    labels = arguments[1].ravel() if operation.labels else None
    failures = (
        declaration.known_failures_at(first, labels) if declaration and reduction != "none" else []
    )
    excused = np.zeros(first.shape, bool)
    for _, covered in failures:
        excused |= covered
    samples = _Samples(
        operation,
        first,
        labels,
        None if sample_weight is None else sample_weight.ravel(),
        {"loss": max_ulp, "gradient": max_ulp if max_ulp_gradient is None else max_ulp_gradient},
        excused,
    )
    worst = {"loss": math.nan, "gradient": math.nan}
    try:
        for kind, got in _call_per_sample(compute, operation, arguments, sample_weight).items():
            suspects = _judge_every(samples, kind, got, worst)
            _judge_some(samples, kind, got, suspects)
        if reduction != "none":
            for size in (n for n in PREFIXES if n < samples.size):
                if not excused[:size].any():
                    _judge_reduced(compute, samples[:size], reduction)
            _judge_reduced(compute, samples, reduction)
    except _DisagreementError as wrong:
        return Verdict(
            False,
            worst["loss"],
            worst["gradient"],
            str(wrong),
            wrong.index,
            wrong.got,
            wrong.expected,
        )
    reasons = "; ".join(dict.fromkeys(failure.reason for failure, _ in failures))
    note = f"{np.count_nonzero(excused)} of {samples.size} samples lie where it fails: {reasons}"
    return Verdict(True, worst["loss"], worst["gradient"], note if failures else "")


@dataclass(frozen=True, slots=True)
class _Samples:
    """Flat arguments, and what is true and allowed for each sample."""

    operation: Operation
    first: ndarray
    labels: ndarray | None = None
    weights: ndarray | None = None
    limits: Mapping[str, float] = field(default_factory=dict)
    excused: ndarray | None = None

    @property
    def size(self) -> int:
        return self.first.size

    @property
    def dtype(self) -> np.dtype:
        return self.first.dtype

    @property
    def arguments(self) -> tuple[ndarray, ...]:
        return (self.first,) if self.labels is None else (self.first, self.labels)

    def __getitem__(self, key: Any) -> _Samples:
        return _Samples(
            self.operation,
            self.first[key],
            None if self.labels is None else self.labels[key],
            None if self.weights is None else self.weights[key],
            self.limits,
            None if self.excused is None else self.excused[key],
        )

    def chunks(self) -> Iterator[slice]:
        for start in range(0, self.size, _CHUNK):
            yield slice(start, start + _CHUNK)

    def losses(self) -> ndarray:
        """Weighted losses in the wide format."""
        values = wide_formulas.losses(self.operation, self.first, self.labels)
        return values if self.weights is None else values * self.weights

    def truth(self, kind: str, divisor: float = 1.0, exact: bool = False) -> tuple[Truth, ndarray]:
        """True values, by the reference or exactly, and the error allowed for each in ULP."""
        limit = self.limits[kind] + (0 if exact else wide_formulas.BOUND[self.dtype.name])
        allowed = np.full(self.size, float(limit))
        if kind == "gradient":
            assert self.labels is not None
            values, terms = wide_formulas.gradients(self.operation, self.first, self.labels)
        else:
            values = terms = wide_formulas.losses(self.operation, self.first, self.labels)
        if self.excused is not None:
            allowed[self.excused] = np.inf
        if (soft := self._soft()).any():
            allowed += SOFT_LABEL_ULP * soft
            if kind == "gradient":
                # What it is the difference of is right to so many ULP, not the difference.
                with np.errstate(all="ignore"):
                    allowed *= np.where(soft & (terms > 0), terms / np.abs(values), 1).astype(float)
        if self.weights is None and divisor == 1.0:
            return (self._exact(kind) if exact else Truth.from_wide(values, self.dtype)), allowed
        weights = 1 if self.weights is None else self.weights
        factors = np.broadcast_to(weights / values.dtype.type(divisor), values.shape)
        with np.errstate(all="ignore"):
            bare, truth = (Truth.from_wide(v, self.dtype) for v in (values, values * factors))
            # An error of the bare value grows with the weight: by what a bare ULP is now worth.
            allowed *= np.ldexp(factors.astype(np.float64), bare.exponent - truth.exponent)
        if self.weights is not None:
            allowed += WEIGHT_ULP
        if divisor != 1.0:
            allowed += DIVISOR_ULP
            if self.weights is not None:
                allowed += REDUCED_RTOL[self.dtype.name] * 2 / np.finfo(self.dtype).eps
        return (self._exact(kind) if exact else truth), allowed

    def _soft(self) -> ndarray:
        if self.labels is None or self.operation.labels is None:
            return np.zeros(self.size, bool)
        negative, positive = self.operation.labels.hard
        return np.asarray((self.labels != negative) & (self.labels != positive))

    def _exact(self, kind: str) -> Truth:
        evaluate = oracle.exact_gradient if kind == "gradient" else oracle.exact
        columns = [array.tolist() for array in self.arguments]
        values = [evaluate(self.operation, *row) for row in zip(*columns, strict=True)]
        if self.weights is not None:
            values = [v * w for v, w in zip(values, self.weights.tolist(), strict=True)]
        return Truth.from_exact(values, self.dtype)


def _call_per_sample(
    compute: Callable[..., Any],
    operation: Operation,
    arguments: tuple[ndarray, ...],
    sample_weight: ndarray | None,
) -> dict[str, ndarray]:
    """Flat per-sample results, from outputs filled with what is never right."""
    first = arguments[0]
    outputs = {"loss": np.full(first.shape, _STALE_LOSS, first.dtype)}
    options: dict[str, Any] = {"out": outputs["loss"]}
    if operation.labels is not None:
        options |= {"sample_weight": sample_weight, "reduction": "none"}
    if operation.gradient:
        outputs["gradient"] = np.full(first.shape, _STALE_GRADIENT, first.dtype)
        options["grad_out"] = outputs["gradient"]
    result = _call(compute, *arguments, **options)
    returned = result if operation.gradient else (result,)
    for (kind, output), array in zip(outputs.items(), returned, strict=True):
        if array is not output:
            raise _DisagreementError(f"the {kind} was not returned in the array passed for it")
    return {kind: output.ravel() for kind, output in outputs.items()}


def _judge_every(
    samples: _Samples, kind: str, got: ndarray, worst: dict[str, float], divisor: float = 1.0
) -> list[int]:
    """Note the largest ULP error by the reference; return where the worst chunks have theirs."""
    peaks, first_wrong, wrong = [], None, 0
    for part in samples.chunks():
        truth, allowed = samples[part].truth(kind, divisor)
        error = truth.error(got[part], nonnegative=kind == "loss")
        peak = int(error.argmax())
        peaks.append((float(error[peak]), part.start + peak))
        bad = ~(error <= allowed)
        if bad.any():
            at = int(bad.argmax())
            first_wrong = first_wrong or (part.start + at, truth[at], error[at], allowed[at])
            wrong += int(bad.sum())
    peaks = heapq.nlargest(_CHECKED_BY_MPMATH, peaks)
    worst[kind] = max(peaks, default=(0.0, 0))[0]
    if first_wrong:
        at, true, error_at, allowed_at = first_wrong
        _disagree(samples, kind, at, got[at], true.nearest, error_at, allowed_at, wrong)
    return [index for _, index in peaks]


def _judge_some(samples: _Samples, kind: str, got: ndarray, suspects: list[int]) -> None:
    """Hold the extremes, the suspects and a fixed sample against mpmath."""
    if not samples.size:
        return
    spread = np.linspace(0, samples.size - 1, _CHECKED_BY_MPMATH).astype(int)
    numbers = np.nan_to_num(samples.first)
    extremes = [int(numbers.argmin()), int(numbers.argmax())]
    index = np.unique(np.concatenate([spread, extremes, suspects]))
    truth, allowed = samples[index].truth(kind, exact=True)
    error = truth.error(got[index], nonnegative=kind == "loss")
    for i in np.flatnonzero(~(error <= allowed))[:1]:
        at = int(index[i])
        _disagree(samples, kind, at, got[at], truth.nearest[i], error[i], allowed[i], 1)


def _judge_reduced(compute: Callable[..., Any], samples: _Samples, reduction: Reduction) -> None:
    """Hold the reduced loss and its gradient to the samples' true values."""
    operation, dtype = samples.operation, samples.dtype
    total = _fsum(samples[part].losses() for part in samples.chunks())
    weight = samples.size if samples.weights is None else math.fsum(samples.weights.tolist())
    if reduction == "mean" and weight == 0:
        return
    divisor = float(weight) if reduction == "mean" else 1.0
    with np.errstate(over="ignore"):
        expected = float(dtype.type(total / divisor))
    result = _call(compute, *samples.arguments, sample_weight=samples.weights, reduction=reduction)
    got = result[0] if operation.gradient else result
    if not isinstance(got, np.generic | ndarray) or got.dtype != dtype or got.shape:
        raise _DisagreementError(f"the {reduction} is {got!r} and should be one {dtype}")
    rtol = REDUCED_RTOL[dtype.name]
    # Subnormal losses are only right to a step of the subnormal grid each.
    steps = (1 + samples.limits["loss"]) * (1 if reduction == "mean" else samples.size)
    slack = steps * float(np.finfo(dtype).smallest_subnormal)
    same = math.isclose(got, expected, rel_tol=rtol, abs_tol=slack)
    if not (same or (math.isnan(got) and math.isnan(expected))):
        error = abs(float(got) / expected - 1) if expected else math.inf
        raise _DisagreementError(
            f"the {reduction} of {samples.size} losses is {got} and should be {expected} "
            f"(relative error {error:.3g}, {rtol:g} allowed)",
            None,
            float(got),
            expected,
        )
    if operation.gradient:
        _judge_every(samples, "gradient", np.asarray(result[1]).ravel(), {}, divisor)


def _fsum(chunks: Iterable[ndarray]) -> float:
    try:
        return math.fsum(math.fsum(chunk.astype(float).tolist()) for chunk in chunks)
    except OverflowError:
        return math.inf


def _disagree(
    samples: _Samples,
    kind: str,
    index: int,
    got: Any,
    expected: Any,
    error: float,
    allowed: float,
    wrong: int,
) -> NoReturn:
    column = "result" if samples.operation.labels is None else kind
    inputs = ", ".join(str(array[index]) for array in samples.arguments)
    raise _DisagreementError(
        f"{column}[{index}] is {got} and should be {expected} ({error:.3g} ULP off, "
        f"{allowed:.3g} allowed) at ({inputs}); {wrong} of {samples.size} samples are wrong",
        index,
        float(got),
        float(expected),
    )


def _call(compute: Callable[..., Any], *arguments: ndarray, **options: Any) -> Any:
    try:
        return compute(*arguments, **options)
    except Exception as error:
        raise _DisagreementError(f"raised {type(error).__name__}: {error}") from error
