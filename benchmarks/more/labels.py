"""Labels between 0 and 1, and weights: what a sum takes that labels of 0 and 1 do not tell."""

import functools

import numpy as np

from benchmarks import common

KINDS = ("soft", "weighted", "soft and weighted")
OPERATIONS = tuple(name for name in common.OPERATIONS if name.startswith("binary"))


@functools.cache
def prepare(operation, kind, dtype, size):
    first, labels = common.arguments(operation, dtype, size)
    rng = np.random.default_rng(2)
    if "soft" in kind:
        labels = rng.random(size).astype(dtype)
    weights = rng.random(size).astype(dtype) if "weighted" in kind else None
    options = {"sample_weight": weights, "implementation": common.SUBJECT}
    return common.bound(operation, first, labels, **options)


for _operation in OPERATIONS:
    _benchmark = common.timed(_operation, KINDS, prepare)
    _benchmark.param_names = ("labels", "dtype", "size")
    globals()[_benchmark.__name__] = _benchmark
