"""What the benchmarks share: a public function bound to its arguments, once in a process."""

import functools
import timeit

import numpy as np

import xent_numba

SUBJECT = "numba_parallel"
DTYPES = ("float32", "float64")
SIZES = (1_000, 1_000_000)
#: Operations, and what a small picture calls them.
OPERATIONS = {
    "sigmoid": "sigmoid",
    "binary_cross_entropy": "cross-entropy",
    "logistic_loss": "logistic loss",
    "binary_cross_entropy_with_logits": "with logits",
    "logistic_loss_and_grad": "logistic, gradient",
    "binary_cross_entropy_with_logits_and_grad": "logits, gradient",
}


class Timer:
    """A clock that shows the time of one call where some are made, or that of a device."""

    def __init__(self):
        self.read, self.calls = timeit.default_timer, 1

    def __call__(self):
        return self.read() / self.calls


timer = Timer()


def arguments(operation, dtype, size):
    """The same for all commits and machines, and as an operation wants them."""
    rng = np.random.default_rng(1)
    scores = 3 * rng.standard_normal(size)
    labels = rng.integers(0, 2, size)
    if operation == "sigmoid":
        return (scores.astype(dtype),)
    if operation == "binary_cross_entropy":
        scores = 1 / (1 + np.exp(-scores))
    if operation.startswith("logistic"):
        labels = 2 * labels - 1
    return scores.astype(dtype), labels.astype(dtype)


def bound(operation, *inputs, **options):
    """The call to be measured, made before, so that whatever it compiles is compiled."""
    if operation == "sigmoid":
        options["out"] = np.empty_like(inputs[0])
    else:
        options["reduction"] = "sum"
    if operation.endswith("_and_grad"):
        options["grad_out"] = np.empty_like(inputs[0])
    call = functools.partial(getattr(xent_numba, operation), *inputs, **options)
    for _ in range(2):
        call()
    return call


# asv runs `setup` before every sample: what takes long is done the first time only.
@functools.cache
def prepare(operation, implementation, dtype, size):
    inputs = arguments(operation, dtype, size)
    return bound(operation, *inputs, implementation=implementation)


def timed(operation, implementations, prepare=prepare):
    """Return a benchmark of an operation: seconds of one call, whatever its size."""

    def time(implementation, dtype, size):
        call = time.call
        for _ in range(timer.calls):
            call()

    def setup(implementation, dtype, size):
        # With a setup asv times one call: more make small sizes long enough for the clock.
        timer.calls = max(1, 100 * SIZES[0] // size)
        time.call = prepare(operation, implementation, dtype, size)

    # asv takes the name of a benchmark from its function.
    time.__name__ = time.__qualname__ = f"time_{operation}"
    time.setup, time.timer, time.pretty_name = setup, timer, OPERATIONS[operation]
    time.params = (implementations, DTYPES, SIZES)
    time.param_names = ("implementation", "dtype", "size")
    time.warmup_time, time.repeat = 0, (5, 20, 0.2)
    return time
