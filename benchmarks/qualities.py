"""What else is watched over the history: memory, accuracy, and the time to the first result."""

import importlib.util
import os
import subprocess
import sys
import tempfile
import tracemalloc

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


def run(program, implementation, operation, cache):
    """What a program prints that is run by itself, with a folder for what Numba compiles."""
    done = subprocess.run(  # noqa: S603 - our own program
        [sys.executable, "-c", program, implementation, operation],
        env={**os.environ, "NUMBA_CACHE_DIR": cache},
        capture_output=True,
        text=True,
        check=True,
    )
    return float(done.stdout)


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


class Allocations:
    """What a call allocates that it is not given."""

    params = (tuple(OPERATIONS), IMPLEMENTATIONS, ("float32",), (1_000_000,), ("gaussian",))
    param_names = ("operation", "implementation", "dtype", "size", "workload")

    def setup(self, operation, implementation, dtype, size, workload):
        self.call = prepare(operation, implementation, dtype, size, workload)

    def track_allocated(self, operation, implementation, dtype, size, workload):
        """Peak of what is allocated; the least of some calls, for Python keeps some of it."""
        peaks = []
        tracemalloc.start()
        try:
            for _ in range(5):
                tracemalloc.reset_peak()
                before, _ = tracemalloc.get_traced_memory()
                self.call()
                peaks.append(tracemalloc.get_traced_memory()[1] - before)
        finally:
            tracemalloc.stop()
        return min(peaks) // 1024

    track_allocated.unit = "KiB"


class Compilations:
    """Functions compiled for calls with contiguous, strided and read-only arrays, few and many."""

    params = (("sigmoid", "logistic_loss"), IMPLEMENTATIONS)
    param_names = ("operation", "implementation")

    def setup(self, operation, implementation):
        if "numba" not in implementation or find(operation, implementation).device != "cpu":
            raise SkipNotImplemented("compiles nothing that Numba counts")

    def track_compilations(self, operation, implementation):
        with tempfile.TemporaryDirectory() as empty:
            return run(COMPILATIONS, implementation, operation, empty)

    track_compilations.unit = "functions"


class Start:
    """Seconds of the first call in a fresh process with nothing in Numba's cache."""

    params = (tuple(OPERATIONS), IMPLEMENTATIONS)
    param_names = ("operation", "implementation")

    def setup(self, operation, implementation):
        find(operation, implementation)

    def track_first_call(self, operation, implementation):
        with tempfile.TemporaryDirectory() as empty:
            return run(FIRST_CALL, implementation, operation, empty)

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
        from xent_numba.codegen import assembly

        if not assembly.readable():
            raise SkipNotImplemented("reads x86 code")
        self.found = assembly.code(loop, dtype)
        self.width = assembly.machine_width()

    def track_instructions(self, loop, dtype):
        return self.found.instructions

    def track_lost_width(self, loop, dtype):
        # To asv less is better.
        return self.width - self.found.width

    def track_libm(self, loop, dtype):
        from xent_numba.codegen import assembly

        return len(assembly.libm_functions(loop, dtype))

    track_libm.unit = "functions of libm"
    track_instructions.unit = "instructions per sample"
    track_lost_width.unit = "bits"


class DeviceCode:
    """What NVVM and ptxas make of numba_cuda for sm_90, which need no GPU: exact."""

    params = (
        ("sigmoids", "sum of cross entropies", "sum of logistic losses", "gradients"),
        DTYPES,
    )
    param_names = ("pass", "dtype")

    def setup(self, name, dtype):
        if importlib.util.find_spec("numba_cuda") is None:
            raise SkipNotImplemented("numba-cuda is not installed")
        from xent_numba.codegen import ptx

        if reason := ptx.missing():
            raise SkipNotImplemented(reason)
        source = ptx.pass_ptx(**ptx.PASSES[name], dtype=dtype)
        self.found = ptx.assembled(source)
        self.samples = ptx.samples_of_a_tile(dtype)

    def track_registers(self, name, dtype):
        return self.found.registers

    def track_local_memory(self, name, dtype):
        return self.found.local_bytes

    def track_instructions(self, name, dtype):
        return len(self.found.main_loop) / self.samples

    def track_double_instructions(self, name, dtype):
        return self.found.double_instructions / self.samples

    def track_loads(self, name, dtype):
        # Loads of less than 16 bytes are more loads, and to asv less is better.
        return self.found.loads.total() / self.samples

    track_registers.unit = "registers per thread"
    track_local_memory.unit = "bytes per thread"
    track_instructions.unit = "instructions per sample"
    track_double_instructions.unit = "instructions per sample"
    track_loads.unit = "loads per sample"
