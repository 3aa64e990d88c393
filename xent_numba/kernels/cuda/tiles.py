"""One tile: what a lane reads of it, adds to its sums, and stores.

Tuples of samples are taken apart by recursion, which the compiler unrolls: no index is computed
while the kernel runs, and what is read stays in registers.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
from numba import cuda

from xent_numba.kernels.cpu.summation import two_sum
from xent_numba.kernels.cuda.access import discard, group_reader, group_writer, reader, writer
from xent_numba.kernels.cuda.passes import Pass
from xent_numba.kernels.cuda.samples import weighted_sample


@cache
def accumulator(compensated: bool) -> Callable[[float, float, float], tuple[float, float]]:
    """Return the function that adds one value to a lane's own sum."""

    @cuda.jit(device=True)
    def accumulate(high: float, low: float, value: float) -> tuple[float, float]:
        if compensated:
            high, lost = two_sum(high, np.float64(value))
            return high, low + lost
        return high + np.float64(value), low

    return accumulate


@cache
def lane_sums(spec: Pass) -> Callable[..., Any]:
    """Return ``f(sums, first, label, weight, divisor)``: the sums with one more sample, and it.

    `sums` are those of the losses and of the weights, each as a pair, and an integer that is not 0
    once a value was bad. What is stored of a bad sample is NaN.
    """
    evaluate = weighted_sample(
        spec.operation, hard=spec.hard, weighted=spec.weighted, divided=bool(spec.divisor)
    )
    accumulate = accumulator(spec.compensated)
    reduced, weighted = not spec.losses, not spec.losses and spec.weighted
    nan = np.dtype(spec.result).type(np.nan)

    @cuda.jit(device=True)
    def include(sums: Any, first: Any, label: Any, weight: Any, divisor: Any) -> Any:
        high, low, weight_high, weight_low, bad = sums
        wrong, loss, gradient = evaluate(first, label, weight, divisor)
        if reduced:
            high, low = accumulate(high, low, loss)
        elif wrong != 0:
            loss = nan
        if wrong != 0:
            gradient = nan
        if weighted:
            weight_high, weight_low = accumulate(weight_high, weight_low, weight)
        bad = np.int32(bad | wrong)
        return (high, low, weight_high, weight_low, bad), loss, gradient

    return include


@cache
def group_pass(spec: Pass, width: int) -> Callable[..., Any]:
    """Return ``f(sums, firsts, labels, weights, divisor)``: the sums, the losses, the gradients."""
    include = lane_sums(spec)
    if width == 1:

        @cuda.jit(device=True)
        def evaluate(sums: Any, firsts: Any, labels: Any, weights: Any, divisor: Any) -> Any:
            sums, loss, gradient = include(sums, firsts[0], labels[0], weights[0], divisor)
            return sums, (loss,), (gradient,)

    else:
        before, last = group_pass(spec, width - 1), width - 1

        @cuda.jit(device=True)
        def evaluate(sums: Any, firsts: Any, labels: Any, weights: Any, divisor: Any) -> Any:
            sums, losses, gradients = before(
                sums, firsts[:last], labels[:last], weights[:last], divisor
            )
            sums, loss, gradient = include(sums, firsts[last], labels[last], weights[last], divisor)
            return sums, losses + (loss,), gradients + (gradient,)  # noqa: RUF005

    return evaluate


@cache
def tile_reader(spec: Pass, groups: int) -> Callable[..., Any]:
    """Return ``f(inputs, i)``: a lane's groups, of which the first starts at i."""
    stride = spec.layout.lanes * spec.width
    firsts, labels_of, weights_of = (
        group_reader(number, spec.strided, spec.width, vector=spec.vector) for number in spec.dtypes
    )
    if groups == 0:

        @cuda.jit(device=True)
        def read(inputs: Any, i: int) -> Any:
            return ()

    else:
        after = tile_reader(spec, groups - 1)

        @cuda.jit(device=True)
        def read(inputs: Any, i: int) -> Any:
            first, labels, weights = inputs
            group = firsts(first, i), labels_of(labels, i), weights_of(weights, i)
            return (group,) + after(inputs, i + stride)  # noqa: RUF005

    return read


@cache
def tile_pass(spec: Pass, groups: int) -> Callable[..., Any]:
    """Return ``f(sums, samples, i, divisor, outputs)``: the sums with what was read.

    Outputs are where losses and gradients are stored.
    """
    stride = spec.layout.lanes * spec.width
    store = group_writer(spec.result, spec.strided, spec.width, vector=spec.vector)
    store_losses = store if spec.losses else discard
    store_gradients = store if spec.gradients else discard
    evaluate = group_pass(spec, spec.width)
    if groups == 0:

        @cuda.jit(device=True)
        def go(sums: Any, samples: Any, i: int, divisor: Any, outputs: Any) -> Any:
            return sums

    else:
        after = tile_pass(spec, groups - 1)

        @cuda.jit(device=True)
        def go(sums: Any, samples: Any, i: int, divisor: Any, outputs: Any) -> Any:
            firsts, labels, weights = samples[0]
            sums, loss, gradient = evaluate(sums, firsts, labels, weights, divisor)
            store_losses(outputs[0], i, loss)
            store_gradients(outputs[1], i, gradient)
            return after(sums, samples[1:], i + stride, divisor, outputs)

    return go


@cache
def last_tile_pass(spec: Pass) -> Callable[..., Any]:
    """Return ``f(sums, inputs, i, divisor, outputs, size)``: the same for a tile that is not full.

    Sample by sample, in the same order; the inputs are arrays here, of so many samples.
    """
    read_first, read_label, read_weight = (reader(number, spec.strided) for number in spec.dtypes)
    store = writer(spec.result, spec.strided)
    store_loss = store if spec.losses else discard
    store_gradient = store if spec.gradients else discard
    include = lane_sums(spec)
    width, stride = spec.width, spec.layout.lanes * spec.width
    items = spec.layout.groups * width

    @cuda.jit(device=True)
    def go(sums: Any, inputs: Any, i: int, divisor: Any, outputs: Any, size: int) -> Any:
        first, labels, weights = inputs
        losses, gradients = outputs
        item, at = 0, i
        while item < items and at < size:
            sums, loss, gradient = include(
                sums,
                read_first(first, at),
                read_label(labels, at),
                read_weight(weights, at),
                divisor,
            )
            store_loss(losses, at, loss)
            store_gradient(gradients, at, gradient)
            item += 1
            at = i + item // width * stride + item % width
        return sums

    return go
