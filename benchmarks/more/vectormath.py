"""Time of a million results of a function of `vectormath` in a user's loop, and of other ways."""

import functools
import importlib.util
import math

import numpy as np
from asv_runner.benchmarks.mark import SkipNotImplemented

from benchmarks.common import DTYPES

SAMPLES = 1_000_000
FUNCTIONS = ("exp", "expm1", "log", "log1p", "sigmoid", "softplus", "log_sigmoid")
POSITIVE = ("log", "log1p")


def inputs_of(function, dtype, size):
    drawn = np.random.default_rng(0).normal(0, 4, size)
    return (np.exp(drawn) if function in POSITIVE else drawn).astype(dtype)


def _compiled(function):
    from numba import njit

    @njit(error_model="numpy")
    def over(inputs, results):
        for i in range(inputs.size):
            results[i] = function(inputs[i])

    return over


def _vectormath(name, inputs, results):
    from xent_numba import vectormath

    return functools.partial(_compiled(getattr(vectormath, name)), inputs, results)


def _math(name, inputs, results):
    from numba import njit

    one = inputs.dtype.type(1)
    functions = {
        "sigmoid": lambda x: one / (one + math.exp(-x)),
        "softplus": lambda x: max(x, x - x) + math.log1p(math.exp(-abs(x))),
        "log_sigmoid": lambda x: min(x, x - x) - math.log1p(math.exp(-abs(x))),
    }
    function = njit(functions.get(name) or _called(getattr(math, name)))
    return functools.partial(_compiled(function), inputs, results)


def _called(function):
    return lambda x: function(x)


def _numpy(name, inputs, results):
    functions = {
        "sigmoid": lambda x, out: np.divide(1, 1 + np.exp(-x), out=out),
        "softplus": lambda x, out: np.logaddexp(0, x, out=out),
        "log_sigmoid": lambda x, out: np.negative(np.logaddexp(0, -x), out=out),
    }
    return functools.partial(functions.get(name) or getattr(np, name), inputs, results)


def _torch(name, inputs, results):
    if importlib.util.find_spec("torch") is None:
        raise SkipNotImplemented("torch is not installed: pip install 'xent-numba[torch]'")
    import torch

    torch.set_num_threads(1)
    given, out = torch.from_numpy(inputs), torch.from_numpy(results)
    # Those without `out` write into memory of their own.
    functions = {
        "softplus": lambda: torch.nn.functional.softplus(given),
        "log_sigmoid": lambda: torch.nn.functional.logsigmoid(given),
    }
    return functions.get(name) or functools.partial(getattr(torch, name), given, out=out)


WAYS = {"vectormath": _vectormath, "math": _math, "numpy": _numpy, "torch": _torch}
"""All on one thread."""


@functools.cache
def prepare(function, way, dtype, size):
    """A call without arguments, made before: asv runs `setup` before every sample."""
    inputs = inputs_of(function, dtype, size)
    call = WAYS[way](function, inputs, np.empty_like(inputs))
    call()
    return call


class Functions:
    # In a cache, so that arithmetic and not memory is timed; milliseconds are nanoseconds a result.
    params = (FUNCTIONS, tuple(WAYS), DTYPES, (10_000,))
    param_names = ("function", "way", "dtype", "size")
    samples = SAMPLES
    warmup_time = 0

    def setup(self, function, way, dtype, size):
        self.call = prepare(function, way, dtype, size)

    def time_function(self, function, way, dtype, size):
        call = self.call
        for _ in range(self.samples // size):
            call()
