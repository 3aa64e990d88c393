"""What else is watched over the history: accuracy, memory, machine code, and the first result."""

import os
import subprocess
import sys
import tempfile
import tracemalloc

import numpy as np
from asv_runner.benchmarks.mark import SkipNotImplemented

import xent_numba
from benchmarks.common import DTYPES, OPERATIONS, SUBJECT, prepare

FIRST_CALL = """
import sys, time
import numpy as np
implementation, operation = sys.argv[1:]
scores, labels = np.full(100_000, 0.5), np.ones(100_000)
started = time.perf_counter()
import xent_numba
function = getattr(xent_numba, operation)
function(scores, *[labels] * (operation != "sigmoid"), implementation=implementation)
print(time.perf_counter() - started)
"""
#: Up to where results are subnormal: what formulas lose they lose on the way there.
ENDS = {"float32": 104.0, "float64": 745.0}


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


class Accuracy:
    """Largest error over the same scores for every commit, against mpmath."""

    params = (tuple(OPERATIONS)[:4], (SUBJECT,), DTYPES)
    param_names = ("operation", "implementation", "dtype")

    def track_max_ulp(self, operation, implementation, dtype):
        import mpmath

        end, rng = ENDS[dtype], np.random.default_rng(1)
        inputs = np.concatenate([rng.uniform(-end, end, 300), 3 * rng.standard_normal(300)])
        if operation == "binary_cross_entropy":
            inputs = np.exp(-abs(inputs))
        labels = rng.integers(0, 2, inputs.size)
        if operation.startswith("logistic"):
            labels = 2 * labels - 1
        arguments = [one.astype(dtype) for one in (inputs, labels)]
        options = {"implementation": implementation}
        if operation == "sigmoid":
            arguments.pop()
        else:
            options["reduction"] = "none"
        got = getattr(xent_numba, operation)(*arguments, **options)
        with mpmath.workdps(40):
            each = zip(*(one.tolist() for one in arguments), strict=True)
            truth = [_true(operation, *map(mpmath.mpf, one)) for one in each]
            steps = np.spacing(np.array([float(one) for one in truth], dtype)).tolist()
            off = [abs(g - t) / u for g, t, u in zip(got.tolist(), truth, steps, strict=True)]
            return float(max(off))

    track_max_ulp.unit = "ULP"
    track_max_ulp.pretty_name = "largest error"


def _true(operation, first, label=None):
    from mpmath import exp, log, log1p

    if operation == "sigmoid":
        return 1 / (1 + exp(-first))
    if operation == "binary_cross_entropy":
        return -log(first) if label else -log1p(-first)
    return log1p(exp(-first * (label if operation.startswith("logistic") else 2 * label - 1)))


class Allocations:
    """What a call allocates that it is not given."""

    params = (tuple(OPERATIONS), (SUBJECT,))
    param_names = ("operation", "implementation")
    size = 1_000_000
    prepare = staticmethod(prepare)

    def track_allocated(self, operation, implementation):
        """Peak of what is allocated; the least of some calls, for Python keeps some of it."""
        call, peaks = self.prepare(operation, implementation, "float32", self.size), []
        tracemalloc.start()
        try:
            for _ in range(5):
                tracemalloc.reset_peak()
                before, _ = tracemalloc.get_traced_memory()
                call()
                peaks.append(tracemalloc.get_traced_memory()[1] - before)
        finally:
            tracemalloc.stop()
        return min(peaks) // 1024

    track_allocated.unit = "KiB"
    track_allocated.pretty_name = "allocated in a call"


class Start:
    """Seconds of import and first call in a fresh process with nothing in Numba's cache."""

    params = (("sigmoid", "logistic_loss"), (SUBJECT,))
    param_names = ("operation", "implementation")

    def track_first_call(self, operation, implementation):
        with tempfile.TemporaryDirectory() as empty:
            return run(FIRST_CALL, implementation, operation, empty)

    track_first_call.unit = "s"
    track_first_call.pretty_name = "cold first call"


class Vectors:
    """What the compiler made of the hot loops of numba_parallel: exact, whatever else runs."""

    params = (
        (
            "sigmoids",
            "losses",
            "gradients",
            "cross entropies",
            "sum of logistic losses",
            "sum of cross entropies",
        ),
        DTYPES,
    )
    param_names = ("loop", "dtype")

    def track_instructions(self, loop, dtype):
        return found(loop, dtype).instructions

    track_instructions.unit = "instructions per sample"
    track_instructions.pretty_name = "instructions per sample"
    # Since 8421368b a name stands for a whole loss or gradient: before it, for one loop of several.
    track_instructions.version = "2"


def found(loop, dtype):
    """The code of a loop, where the package and the machine can tell."""
    try:
        from xent_numba.codegen import assembly
    except ImportError:
        raise SkipNotImplemented("this commit does not read its code") from None
    if not assembly.readable():
        raise SkipNotImplemented("reads x86 code")
    return assembly.code(loop, dtype)
