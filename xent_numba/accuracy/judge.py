"""Whether a kernel agrees with the truth on given arguments: asked before any time is believed.

Every sample is held against the reference; the extremes, the worst and a fixed sample are held
against mpmath; the reduced loss is held against the sum of the reference, added without rounding.

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
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy import ndarray

from xent_numba.accuracy.samples import Samples
from xent_numba.accuracy.tolerance import GRADES, REDUCED_RTOL, Kind, Tolerance
from xent_numba.operations import Operation, Reduction

#: Leading samples reduced on their own: there, one that a kernel forgets is a large share.
PREFIXES = (1, 257, 4097)

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

    @property
    def grade(self) -> str:
        """How the measured error is shown: within 1, 4 or 100 ULP, or wrong."""
        worst = np.nanmax([self.max_ulp, self.max_ulp_gradient, 0.0])
        near = (f"within {limit} ULP" for limit in GRADES if self.ok and worst <= limit)
        return next(near, "wrong where it declares to be" if self.ok else "wrong")


class _DisagreementError(Exception):
    """What was wrong first; `where` are attributes of the verdict."""

    def __init__(self, reason: str, **where: Any) -> None:
        super().__init__(reason)
        self.verdict = Verdict(False, reason=reason, **where)


def judge(
    compute: Callable[..., Any],
    operation: Operation,
    arguments: tuple[ndarray, ...],
    *,
    reduction: Reduction,
    tolerance: Tolerance,
    sample_weight: ndarray | None = None,
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
    tolerance : Tolerance
        Largest error allowed per sample.
    sample_weight : ndarray, optional
        Weights, of the shape of the scores.

    Returns
    -------
    Verdict
        An exception that `compute` raises is a verdict too: not ok.
    """
    first = arguments[0].ravel()
    labels = arguments[1].ravel() if operation.labels else None
    declared = tolerance.declaration if reduction != "none" else None
    failures = declared.known_failures_at(first, labels) if declared else []
    excused = np.zeros(first.shape, bool)
    for _, covered in failures:
        excused |= covered
    weights = None if sample_weight is None else sample_weight.ravel()
    samples = Samples(operation, first, labels, weights, tolerance, excused)
    worst: dict[str, float] = {"loss": math.nan, "gradient": math.nan}
    try:
        for kind, got in _call_per_sample(compute, operation, arguments, sample_weight).items():
            suspects = _judge_every(samples, kind, got, worst)
            _judge_some(samples, kind, got, suspects)
        if reduction != "none":
            _judge_prefixes(compute, samples, reduction)
    except _DisagreementError as wrong:
        return replace(wrong.verdict, max_ulp=worst["loss"], max_ulp_gradient=worst["gradient"])
    reasons = "; ".join(dict.fromkeys(failure.reason for failure, _ in failures))
    note = f"{np.count_nonzero(excused)} of {samples.size} samples lie where it fails: {reasons}"
    return Verdict(True, worst["loss"], worst["gradient"], note if failures else "")


def disagreement(samples: Samples, kind: Kind, got: ndarray, divisor: float = 1.0) -> str:
    """Why results that lie here already are wrong, in one sentence; empty if they are not."""
    try:
        _judge_every(samples, kind, got, {}, divisor)
    except _DisagreementError as wrong:
        return str(wrong)
    return ""


def _call_per_sample(
    compute: Callable[..., Any],
    operation: Operation,
    arguments: tuple[ndarray, ...],
    sample_weight: ndarray | None,
) -> dict[Kind, ndarray]:
    """Flat per-sample results, from outputs filled with what is never right."""
    first = arguments[0]
    outputs: dict[Kind, ndarray] = {"loss": np.full(first.shape, _STALE_LOSS, first.dtype)}
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
        stale = _STALE_LOSS if kind == "loss" else _STALE_GRADIENT
        if output.size and (output == stale).all():
            name = "out" if kind == "loss" else "grad_out"
            raise _DisagreementError(f"{name} was not filled: it holds what it held before")
    return {kind: output.ravel() for kind, output in outputs.items()}


def _judge_every(
    samples: Samples, kind: Kind, got: ndarray, worst: dict[str, float], divisor: float = 1.0
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
            here = part.start + at, truth.nearest[at], error[at], allowed[at]
            first_wrong = first_wrong or here
            wrong += int(bad.sum())
    peaks = heapq.nlargest(_CHECKED_BY_MPMATH, peaks)
    worst[kind] = max(peaks, default=(0.0, 0))[0]
    if first_wrong:
        raise _disagreement(samples, kind, got, first_wrong, wrong)
    return [index for _, index in peaks]


def _judge_some(samples: Samples, kind: Kind, got: ndarray, suspects: list[int]) -> None:
    """Hold the extremes, the suspects and a fixed sample against mpmath."""
    if not samples.size:
        return
    spread = np.linspace(0, samples.size - 1, _CHECKED_BY_MPMATH).astype(int)
    numbers = np.nan_to_num(samples.first)
    extremes = [int(numbers.argmin()), int(numbers.argmax())]
    index = np.unique(np.concatenate([spread, extremes, suspects]))
    _, allowed = samples[index].truth(kind)
    truth = samples[index].exact(kind)
    error = truth.error(got[index], nonnegative=kind == "loss")
    for i in np.flatnonzero(~(error <= allowed))[:1]:
        one = int(index[i]), truth.nearest[i], error[i], allowed[i]
        raise _disagreement(samples, kind, got, one, 1)


def _disagreement(
    samples: Samples, kind: Kind, got: ndarray, first: tuple[int, Any, float, float], wrong: int
) -> _DisagreementError:
    """Say of some wrong samples the first: where, the true value, its error and what is allowed."""
    index, expected, error, allowed = first
    column = "result" if samples.operation.labels is None else kind
    inputs = ", ".join(str(array[index]) for array in samples.arguments)
    return _DisagreementError(
        f"{column}[{index}] is {got[index]} and should be {expected} "
        f"({error:.3g} ULP off, {allowed:.3g} allowed) at ({inputs}); "
        f"{wrong} of {samples.size} samples are wrong",
        index=index,
        got=float(got[index]),
        expected=float(expected),
    )


def _judge_prefixes(compute: Callable[..., Any], samples: Samples, reduction: Reduction) -> None:
    """Hold the reduced loss of all samples, and of the first of them, to the true one."""
    for size in (n for n in PREFIXES if n < samples.size):
        if not samples.excused[:size].any():
            _judge_reduced(compute, samples[:size], reduction)
    _judge_reduced(compute, samples, reduction)


def _judge_reduced(compute: Callable[..., Any], samples: Samples, reduction: Reduction) -> None:
    """Hold the reduced loss and its gradient to the samples' true values."""
    arguments, weights = samples.arguments, samples.weights
    divisor = 1.0
    if reduction == "mean":
        samples = samples.scaled()
        divisor = float(samples.size if weights is None else math.fsum(samples.weights))  # type: ignore[arg-type]
        if divisor == 0:
            return
    expected = samples.total(divisor)
    result = _call(compute, *arguments, sample_weight=weights, reduction=reduction)
    got = result[0] if samples.operation.gradient else result
    dtype = samples.dtype
    if not isinstance(got, np.generic | ndarray) or got.dtype != dtype or got.shape:
        raise _DisagreementError(f"the {reduction} is {got!r} and should be one {dtype}")
    # Subnormal losses are only right to a step of the subnormal grid each.
    steps = (1 + samples.tolerance.loss) * (1 if reduction == "mean" else samples.size)
    _compare_reduced(got, expected, steps, f"the {reduction} of {samples.size} losses")
    if samples.operation.gradient:
        _judge_every(samples, "gradient", np.asarray(result[1]).ravel(), {}, divisor)


def _compare_reduced(got: Any, expected: float, steps: float, what: str) -> None:
    rtol = REDUCED_RTOL[got.dtype.name]
    slack = steps * float(np.finfo(got.dtype).smallest_subnormal)
    if math.isclose(got, expected, rel_tol=rtol, abs_tol=slack):
        return
    if math.isnan(got) and math.isnan(expected):
        return
    error = abs(float(got) / expected - 1) if expected else math.inf
    raise _DisagreementError(
        f"{what} is {got} and should be {expected} (relative error {error:.3g}, {rtol:g} allowed)",
        got=float(got),
        expected=expected,
    )


def _call(compute: Callable[..., Any], *arguments: ndarray, **options: Any) -> Any:
    try:
        return compute(*arguments, **options)
    except Exception as error:
        raise _DisagreementError(f"raised {type(error).__name__}: {error}") from error
