"""What is timed of an implementation, and whether that very call is right."""

from __future__ import annotations

import dataclasses
import functools
import math
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy import ndarray

import xent_numba
from xent_numba.accuracy.judge import Verdict, judge
from xent_numba.accuracy.tolerance import REDUCED_RTOL, Tolerance
from xent_numba.measurement.case import DRAWN, Case
from xent_numba.measurement.recheck import Repeated
from xent_numba.registry import Implementation


def unavailable(implementation: Implementation) -> str | None:
    """Why an implementation cannot be timed here; a simulated device can compute, but not race."""
    probe = getattr(implementation.module, "unavailable_for_timing", implementation.unavailable)
    reason: str | None = probe()
    return reason


def bind(
    implementation: Implementation, case: Case, inputs: tuple[ndarray, ...]
) -> Callable[[], Any]:
    """Bind a case to what is timed: the implementation's own binding, or the public function.

    Parameters
    ----------
    implementation : Implementation
        One that can run here and computes the operation.
    case : Case
        What it computes.
    inputs : tuple of ndarray
        The inputs of the case.

    Returns
    -------
    callable
        Computes, and allocates as little as its interface allows.
    """
    if bound := implementation.bound(case.operation, inputs, case.reduction):
        return bound
    options: dict[str, Any] = {}
    if case.table_entry.labels is not None:
        options["reduction"] = case.reduction
    if len(inputs) > 2:
        options["sample_weight"] = inputs[2]
    if case.reduction == "none":
        options["out"] = np.empty_like(inputs[0])
    if case.table_entry.gradient:
        options["grad_out"] = np.empty_like(inputs[0])
    public = _public(implementation.name, case.operation)
    return functools.partial(public, *inputs[:2], **options)


def judge_call(
    implementation: Implementation,
    case: Case,
    inputs: tuple[ndarray, ...],
    call: Callable[[], Any],
) -> Verdict:
    """Judge an implementation on the inputs it is timed with, and the call that is timed.

    Parameters
    ----------
    implementation, case, inputs
        As for `bind`.
    call : callable
        What `bind` returned.

    Returns
    -------
    Verdict
        Held to the accuracy that the implementation declares, as far as the judge allows it.
    """
    if case.size > DRAWN:
        return _judge_repeated(implementation, case, inputs, call)
    return judge(
        _judged(implementation, case, call),
        case.table_entry,
        inputs[:2],
        reduction=case.reduction,
        tolerance=Tolerance.of(implementation.operations[case.operation], case.dtype),
        sample_weight=inputs[2] if len(inputs) > 2 else None,
    )


def _judge_repeated(
    implementation: Implementation,
    case: Case,
    inputs: tuple[ndarray, ...],
    call: Callable[[], Any],
) -> Verdict:
    """Judge what was drawn, and hold the call that is timed to repeating it."""
    drawn = dataclasses.replace(case, size=DRAWN)
    block = tuple(array[:DRAWN] for array in inputs)
    once = bind(implementation, drawn, block)
    verdict = judge_call(implementation, drawn, block, once)
    if not verdict.ok:
        return verdict
    got, pattern = (_parts(case, implementation.on_host(one())) for one in (call, once))
    reason, scale = "", 1.0
    if case.reduction != "none":
        truth = Repeated.of(case, block)
        expected = truth.total()
        # As `judge` allows; twice, since what rounds may round once more for each doubling.
        if not math.isclose(got[0], expected, rel_tol=2 * REDUCED_RTOL[case.dtype]):
            reason = f"the {case.reduction} of {case.size} losses is {got[0]}, not {expected}"
        got, pattern = got[1:], pattern[1:]
        scale = Repeated.of(drawn, block).divisor() / truth.divisor()
    limit = 2 * max(implementation.operations[case.operation].max_ulp[case.dtype], 1.0)
    for values, first in zip(got, pattern, strict=True):
        for start in range(0, case.size, DRAWN):
            piece = values[start : start + DRAWN]
            wanted = first[: piece.size] * first.dtype.type(scale)
            off = ~(np.abs(piece - wanted) <= limit * np.spacing(np.abs(wanted)))
            if (off & (piece != wanted)).any():
                at = int(off.argmax())
                reason = f"result[{start + at}] is {piece[at]} and result[{at}] {wanted[at]}"
    return dataclasses.replace(verdict, ok=not reason, reason=reason or verdict.reason)


def _parts(case: Case, result: Any) -> tuple[Any, ...]:
    return result if case.table_entry.gradient else (result,)


def _judged(
    implementation: Implementation, case: Case, call: Callable[[], Any]
) -> Callable[..., Any]:
    """Return the public function, with the very call that is timed in place of the one like it.

    A binding need not share code with the function, and might be the only wrong of the two.
    """
    public = _public(implementation.name, case.operation)

    def compute(first: ndarray, *labels: ndarray, **options: Any) -> Any:
        if options.get("reduction", "none") != case.reduction or first.size != case.size:
            return public(first, *labels, **options)
        given = getattr(call, "keywords", {})
        bound = {
            name: (given[name], options[name])
            for name in ("out", "grad_out")
            if given.get(name) is not None and options.get(name) is not None
        }
        for array, stale in bound.values():
            array[...] = stale
        found = implementation.on_host(call())
        losses, gradient = found if case.table_entry.gradient else (found, None)
        # What the call was given to fill, whatever it returns.
        losses, gradient = (
            bound[name][0] if name in bound else array
            for name, array in (("out", losses), ("grad_out", gradient))
        )
        out, grad_out = options.get("out"), options.get("grad_out")
        if out is None:
            losses = first.dtype.type(losses)
        else:
            out[...] = losses
            losses = out
        if gradient is None:
            return losses
        if grad_out is None:
            return losses, gradient
        grad_out[...] = gradient
        return losses, grad_out

    return compute


def _public(name: str, operation: str) -> Callable[..., Any]:
    return functools.partial(getattr(xent_numba, operation), implementation=name)
