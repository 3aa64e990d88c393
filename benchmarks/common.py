"""What the benchmarks share: a case bound to an implementation, once in a process."""

import functools
import timeit

from asv_runner.benchmarks.mark import SkipNotImplemented

from xent_numba import registry
from xent_numba.measurement.case import Case

IMPLEMENTATIONS = registry.names()
DTYPES = ("float32", "float64")


class Timer:
    """The clock by which asv times: that of the device, where an implementation has one."""

    def __init__(self):
        self.read = timeit.default_timer

    def follow(self, implementation):
        own = getattr(registry.get(implementation).module, "clock", None)
        self.read = own() if own else timeit.default_timer

    def __call__(self):
        return self.read()


timer = Timer()


@functools.cache
def prepare(operation, implementation, dtype, size, workload):
    """The call to be timed, made before, so that whatever it compiles is compiled.

    asv runs `setup` before every sample: what takes long is done the first time only.
    """
    from xent_numba.measurement import binding

    found = find(operation, implementation)
    case = Case.of(operation, workload, size, dtype, None, "sum")
    call = binding.bind(found, case, case.arguments())
    try:
        for _ in range(2):
            call()
    except (ArithmeticError, ValueError) as error:
        # Where its formula fails by nature there is nothing to time; anything else is a fault.
        if not found.operations[operation].known_failures:
            raise
        raise SkipNotImplemented(f"raised {type(error).__name__}: {error}") from None
    return call


def find(operation, implementation):
    """The implementation, if it can run here and computes the operation; else n/a."""
    from xent_numba.measurement import binding

    found = registry.get(implementation)
    if reason := binding.unavailable(found):
        raise SkipNotImplemented(reason)
    if operation not in found.operations:
        raise SkipNotImplemented(f"{implementation} does not compute {operation}")
    return found
