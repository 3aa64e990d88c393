"""One tile: what a lane reads of it, adds to its sums, and stores.

The steps over the samples of a group, and over the groups, follow each other in the code: no index
is computed while the kernel runs, and what is read stays in registers.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
from numba import cuda

from xent_numba.kernels.cpu.summation import two_sum
from xent_numba.kernels.cuda.access import (
    discard,
    group_reader,
    group_writer,
    reader,
    unrolled,
    writer,
)
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
def tile_reader(spec: Pass) -> Callable[..., Any]:
    """Return ``f(inputs, i)``: a lane's groups of each input, of which the first starts at i."""
    stride = spec.layout.lanes * spec.width
    firsts, labels_of, weights_of = (
        group_reader(number, spec.strided, spec.width, vector=spec.vector) for number in spec.dtypes
    )
    gather = unrolled(spec.layout.groups)

    @cuda.jit(device=True)
    def group(k: int, i: int, inputs: Any) -> Any:
        first, labels, weights = inputs
        at = i + k * stride
        return i, firsts(first, at), labels_of(labels, at), weights_of(weights, at)

    @cuda.jit(device=True)
    def read(inputs: Any, i: int) -> Any:
        _, firsts, labels, weights = gather(group, i, inputs)
        return firsts, labels, weights

    return read


@cache
def tile_pass(spec: Pass) -> Callable[..., Any]:
    """Return ``f(sums, samples, i, divisor, outputs)``: the sums with what was read.

    Outputs are where losses and gradients are stored.
    """
    stride = spec.layout.lanes * spec.width
    store = group_writer(spec.result, spec.strided, spec.width, vector=spec.vector)
    store_losses = store if spec.losses else discard
    store_gradients = store if spec.gradients else discard
    include = lane_sums(spec)
    over_group, over_tile = unrolled(spec.width), unrolled(spec.layout.groups)

    @cuda.jit(device=True)
    def sample(k: int, sums: Any, given: Any) -> Any:
        firsts, labels, weights, divisor = given
        return include(sums, firsts[k], labels[k], weights[k], divisor)

    @cuda.jit(device=True)
    def group(k: int, sums: Any, given: Any) -> Any:
        (firsts, labels, weights), i, divisor, outputs = given
        sums, losses, gradients = over_group(
            sample, sums, (firsts[k], labels[k], weights[k], divisor)
        )
        at = i + k * stride
        store_losses(outputs[0], at, losses)
        store_gradients(outputs[1], at, gradients)
        return (sums,)

    @cuda.jit(device=True)
    def go(sums: Any, samples: Any, i: int, divisor: Any, outputs: Any) -> Any:
        return over_tile(group, sums, (samples, i, divisor, outputs))[0]

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
