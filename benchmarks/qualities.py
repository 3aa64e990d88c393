"""What else is watched over the history: memory, accuracy, and the time to the first result."""

import os
import subprocess
import sys
import tempfile

from asv_runner.benchmarks.mark import SkipNotImplemented

from benchmarks.common import DTYPES, IMPLEMENTATIONS, find, prepare
from xent_numba.measurement.case import Case
from xent_numba.operations import OPERATIONS

FIRST_CALL = """
import sys, time
import numpy as np
from xent_numba import registry
from xent_numba.measurement import binding
from xent_numba.measurement.case import Case
implementation, operation = sys.argv[1:]
case = Case.of(operation, "gaussian", 100_000, "float64", None, "sum")
inputs = case.arguments()
found = registry.get(implementation)
started = time.perf_counter()
binding.bind(found, case, inputs)()
print(time.perf_counter() - started)
"""


class Memory:
    params = (tuple(OPERATIONS), IMPLEMENTATIONS, ("float32",), (1_000_000,), ("gaussian",))
    param_names = ("operation", "implementation", "dtype", "size", "workload")

    def setup(self, operation, implementation, dtype, size, workload):
        self.call = prepare(operation, implementation, dtype, size, workload)

    def peakmem_operation(self, operation, implementation, dtype, size, workload):
        self.call()


class Accuracy:
    """Largest error over a fixed set of samples, the same for every commit."""

    params = (tuple(OPERATIONS), IMPLEMENTATIONS, DTYPES, (10_000,), ("saturated",))
    param_names = ("operation", "implementation", "dtype", "size", "workload")

    def setup(self, operation, implementation, dtype, size, workload):
        find(operation, implementation)

    def track_max_ulp(self, operation, implementation, dtype, size, workload):
        from xent_numba.measurement import binding

        found = find(operation, implementation)
        case = Case.of(operation, workload, size, dtype, None, "sum")
        inputs = case.arguments()
        verdict = binding.judge_call(found, case, inputs, binding.bind(found, case, inputs))
        return verdict.max_ulp

    track_max_ulp.unit = "ULP"


class Start:
    """Seconds of the first call in a fresh process with nothing in Numba's cache."""

    params = (tuple(OPERATIONS), IMPLEMENTATIONS)
    param_names = ("operation", "implementation")

    def setup(self, operation, implementation):
        find(operation, implementation)

    def track_first_call(self, operation, implementation):
        with tempfile.TemporaryDirectory() as empty:
            return self._measure(operation, implementation, empty)

    def _measure(self, operation, implementation, cache):
        done = subprocess.run(  # noqa: S603 - our own program
            [sys.executable, "-c", FIRST_CALL, implementation, operation],
            env={**os.environ, "NUMBA_CACHE_DIR": cache},
            capture_output=True,
            text=True,
            check=True,
        )
        return float(done.stdout)

    track_first_call.unit = "s"


class Vectors:
    """What the compiler made of the hot loops of numba_parallel: exact, whatever else runs."""

    params = (
        (
            "sigmoids",
            "exponentials",
            "losses",
            "gradients",
            "cross entropies",
            "sum of logistic losses",
            "sum of cross entropies",
        ),
        DTYPES,
    )
    param_names = ("loop", "dtype")

    def setup(self, loop, dtype):
        from xent_numba.kernels import assembly

        if not assembly.readable():
            raise SkipNotImplemented("reads x86 code")
        self.found = assembly.code(loop, dtype)
        self.width = assembly.machine_width()

    def track_instructions(self, loop, dtype):
        return self.found.instructions

    def track_lost_width(self, loop, dtype):
        # To asv less is better.
        return self.width - self.found.width

    track_instructions.unit = "instructions per sample"
    track_lost_width.unit = "bits"
