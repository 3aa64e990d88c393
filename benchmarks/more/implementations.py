"""Every implementation, peers included: variants of one commit side by side."""

import functools
import tempfile
import timeit

from asv_runner.benchmarks.mark import SkipNotImplemented

from benchmarks import common, qualities
from xent_numba import registry

IMPLEMENTATIONS = registry.names()
COMPILATIONS = """
import sys
import numpy as np
from numba.core import event
import xent_numba
implementation, operation = sys.argv[1:]
function = getattr(xent_numba, operation)
with event.install_recorder("numba:compile") as recorder:
    for size in (1_000, 100_000):
        every_other = np.full(2 * size, 0.5)[::2]
        read_only = np.full(size, 0.5)
        read_only.flags.writeable = False
        for first in (np.full(size, 0.5), every_other, read_only):
            labels = () if operation == "sigmoid" else (np.ones(size, np.int8),)
            function(first, *labels, implementation=implementation)
print(sum(one.is_start for _, one in recorder.buffer))
"""


def find(operation, implementation):
    """The implementation, if it can run here and computes the operation; else n/a."""
    from xent_numba.measurement import binding

    found = registry.get(implementation)
    if reason := binding.unavailable(found):
        raise SkipNotImplemented(reason)
    if operation not in found.operations:
        raise SkipNotImplemented(f"{implementation} does not compute {operation}")
    return found


def prepare(operation, implementation, dtype, size):
    """As `common.prepare`, on arrays of the implementation's own, and by its own clock."""
    own = getattr(registry.get(implementation).module, "clock", None)
    common.timer.read = own() if own else timeit.default_timer
    return _bound(operation, implementation, dtype, size)


@functools.cache
def _bound(operation, implementation, dtype, size):
    from xent_numba.measurement import binding
    from xent_numba.measurement.case import Case

    found = find(operation, implementation)
    case = Case.of(operation, "gaussian", size, dtype, None, "sum")
    call = binding.bind(found, case, common.arguments(operation, dtype, size))
    try:
        for _ in range(2):
            call()
    except (ArithmeticError, ValueError) as error:
        # Where its formula fails by nature there is nothing to time; anything else is a fault.
        if not found.operations[operation].known_failures:
            raise
        raise SkipNotImplemented(f"raised {type(error).__name__}: {error}") from None
    return call


for _operation in common.OPERATIONS:
    globals()[f"time_{_operation}"] = common.timed(_operation, IMPLEMENTATIONS, prepare)


class Accuracy:
    """Largest error as the judge finds it, known failures left out."""

    params = (tuple(common.OPERATIONS), IMPLEMENTATIONS, common.DTYPES)
    param_names = ("operation", "implementation", "dtype")

    def track_max_ulp(self, operation, implementation, dtype):
        from xent_numba.measurement import binding
        from xent_numba.measurement.case import Case

        found = find(operation, implementation)
        case = Case.of(operation, "saturated", 10_000, dtype, None, "sum")
        inputs = case.arguments()
        verdict = binding.judge_call(found, case, inputs, binding.bind(found, case, inputs))
        return verdict.max_ulp

    track_max_ulp.unit = "ULP"


class Allocations(qualities.Allocations):
    params = (tuple(common.OPERATIONS), IMPLEMENTATIONS)
    prepare = staticmethod(prepare)


class Start(qualities.Start):
    params = (tuple(common.OPERATIONS), IMPLEMENTATIONS)

    def track_first_call(self, operation, implementation):
        if find(operation, implementation).device != "cpu":
            raise SkipNotImplemented("takes arrays of its own")
        return super().track_first_call(operation, implementation)


class Compilations:
    """Functions compiled for calls with contiguous, strided and read-only arrays, few and many."""

    params = (("sigmoid", "logistic_loss"), IMPLEMENTATIONS)
    param_names = ("operation", "implementation")

    def track_compilations(self, operation, implementation):
        if "numba" not in implementation or find(operation, implementation).device != "cpu":
            raise SkipNotImplemented("compiles nothing that Numba counts")
        with tempfile.TemporaryDirectory() as empty:
            return qualities.run(COMPILATIONS, implementation, operation, empty)

    track_compilations.unit = "functions"
