"""The judge against kernels that are wrong on purpose, each in one of the ways kernels go wrong."""

from __future__ import annotations

import re

import numpy as np
import pytest

from xent_numba.accuracy.judge import judge
from xent_numba.accuracy.tolerance import Tolerance
from xent_numba.operations import OPERATIONS

LOSS = OPERATIONS["logistic_loss"]
BLOCK = 4096
SIZE = 300_001


def softplus(x):
    return np.maximum(x, 0) + np.log1p(np.exp(-np.abs(x)))


def kernel(losses, total=np.sum):
    """A kernel with the signature of the public function, which is what the judge calls."""

    def compute(scores, labels, *, sample_weight=None, reduction="mean", out=None):
        values = losses(scores, labels)
        if reduction == "none":
            out[...] = values
            return out
        result = total(values) / (values.size if reduction == "mean" else 1)
        return scores.dtype.type(result)

    return compute


def right(scores, labels):
    return softplus(-labels.astype(scores.dtype) * scores)


def wrong_sign(scores, labels):
    return softplus(labels.astype(scores.dtype) * scores)


def clipped_scores(scores, labels):
    return right(np.clip(scores, -30, 30), labels)


def nan_turned_zero(scores, labels):
    return np.nan_to_num(right(scores, labels), nan=0.0, posinf=np.inf)


def negative_zero(scores, labels):
    values = right(scores, labels)
    return np.where(values == 0, -values, values)


def labels_read_as_zero_one(scores, labels):
    y = labels.astype(scores.dtype)
    return softplus(scores) - y * scores


def unsigned_labels(scores, labels):
    return softplus(-labels.view(np.uint8).astype(scores.dtype) * scores)


def one_sample_nudged(scores, labels):
    values = right(scores, labels)
    values[len(values) // 3] *= 1 + 16 * np.finfo(scores.dtype).eps
    return values


def missing_tail(scores, labels, *, sample_weight=None, reduction="mean", out=None):
    whole = scores.size - scores.size % 8
    if reduction == "none":
        out[:whole] = right(scores[:whole], labels[:whole])
        return out
    result = right(scores[:whole], labels[:whole]).sum(dtype=np.float64)
    return scores.dtype.type(result / (scores.size if reduction == "mean" else 1))


def missing_tail_in_the_sum(scores, labels, *, sample_weight=None, reduction="mean", out=None):
    compute = kernel(right) if reduction == "none" else missing_tail
    return compute(scores, labels, reduction=reduction, out=out)


def last_block_dropped(values):
    blocks = [values[i : i + BLOCK].sum(dtype=np.float64) for i in range(0, values.size, BLOCK)]
    return sum(blocks[:-1]) if len(blocks) > 1 else sum(blocks)


def float32_accumulation(values):
    return np.cumsum(values, dtype=np.float32)[-1]


def stale_out(scores, labels, *, sample_weight=None, reduction="mean", out=None):
    if reduction == "none":
        return out
    return kernel(right)(scores, labels, reduction=reduction)


class StaleResult:
    """Writes to an array of its own, and returns the array it was given from the second call on."""

    def __init__(self):
        self.buffer = None

    def __call__(self, scores, labels, *, sample_weight=None, reduction="mean", out=None):
        self.buffer = kernel(right)(scores, labels, reduction=reduction, out=np.empty_like(scores))
        return self.buffer


def raises(scores, labels, **options):
    raise OverflowError("math range error")


def wide_result(scores, labels, *, sample_weight=None, reduction="mean", out=None):
    result = kernel(right)(scores, labels, reduction=reduction, out=out)
    return result if reduction == "none" else float(result)


#: Name, kernel, and what the verdict has to say.
MUTANTS = {
    "missing tail": (missing_tail, r"loss\[300000\] is -1"),
    "missing tail in the sum": (missing_tail_in_the_sum, "the mean of 1 losses is 0.0"),
    "wrong sign": (kernel(wrong_sign), r"loss\[0\] is"),
    "clipped scores": (kernel(clipped_scores), r"loss\[\d+\] is (9.35\d*e-14|30)"),
    "NaN turned 0": (kernel(nan_turned_zero), r"loss\[5\] is 0.0 and should be nan"),
    "negative zero": (kernel(negative_zero), r"loss\[6\] is -0.0 and should be 0.0"),
    "float32 accumulation": (kernel(right, float32_accumulation), r"the mean of \d+ losses is"),
    "last block dropped": (
        kernel(right, last_block_dropped),
        r"the mean of (4097|300001) losses is",
    ),
    "stale out": (stale_out, "out was not filled"),
    "stale result": (StaleResult(), "the loss was not returned in the array passed for it"),
    "labels read as 0/1": (kernel(labels_read_as_zero_one), r"loss\[\d+\] is"),
    "labels read unsigned": (kernel(unsigned_labels), r"loss\[\d+\] is"),
    "one sample nudged": (kernel(one_sample_nudged), r"loss\[100000\] is .*; 1 of 300001"),
    "raises": (raises, "raised OverflowError: math range error"),
    "wide result": (wide_result, "and should be one float"),
}
#: What shows only where a score is NaN or infinite, which no finite mean can survive.
NEEDS_SPECIAL = {"NaN turned 0", "negative zero"}


@pytest.fixture(params=["float32", "float64"])
def arguments(request):
    rng = np.random.default_rng(11)
    scores = rng.normal(0, 10, SIZE).astype(request.param)
    return scores, rng.choice(np.array([-1, 1], np.int8), SIZE)


def special(arguments):
    scores, labels = (array.copy() for array in arguments)
    scores[5:7], labels[5:7] = (np.nan, np.inf), 1
    return scores, labels


def verdict_on(compute, arguments, reduction="mean"):
    return judge(compute, LOSS, arguments, reduction=reduction, tolerance=Tolerance(4))


@pytest.mark.parametrize("name", MUTANTS)
def test_mutant_is_rejected(name, arguments):
    compute, reason = MUTANTS[name]
    given = special(arguments) if name in NEEDS_SPECIAL else arguments
    verdict = verdict_on(compute, given)
    assert not verdict.ok
    assert re.search(reason, verdict.reason), verdict.reason


@pytest.mark.parametrize("reduction", ["none", "sum", "mean"])
def test_right_kernel_passes(arguments, reduction):
    for given in (arguments, special(arguments)):
        verdict = verdict_on(kernel(right), given, reduction)
        assert verdict.ok, verdict.reason
        assert 0.5 < verdict.max_ulp < 4
