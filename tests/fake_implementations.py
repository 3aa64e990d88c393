"""Files that are implementations, good and bad, for tests of the measurement."""

from __future__ import annotations

_SIGMOID = '''"""{name}, for a test."""

import os
import signal
import time

from xent_numba.implementations import numpy_stable
from xent_numba.registry import implements

{before}

@implements("sigmoid", formulation="stable", max_ulp={{"float32": 4, "float64": 4}})
def sigmoid(call):
    """1 / (1 + exp(-s)), or what the test wants."""
    {body}
'''
_RIGHT = "return numpy_stable.sigmoid(call)"
_BIND = """
def bind(operation, inputs, reduction):
    {body}
"""

SOURCES = {
    "fake_right": _SIGMOID.format(name="Right", before="", body=_RIGHT),
    "fake_slow": _SIGMOID.format(
        name="Right and slow", before="", body=f"time.sleep(0.003)\n    {_RIGHT}"
    ),
    "fake_half": _SIGMOID.format(
        name="Half", before="", body="call.out[...] = 0.5\n    return call.out"
    ),
    "fake_nan": _SIGMOID.format(
        name="Not a number", before="", body="call.out[...] = float('nan')\n    return call.out"
    ),
    "fake_raising": _SIGMOID.format(
        name="Raising", before="", body="raise OverflowError('math range error')"
    ),
    "fake_missing": _SIGMOID.format(
        name="Missing",
        before='def unavailable():\n    return "no abacus was found: pip install abacus[beads]"\n',
        body=_RIGHT,
    ),
    "fake_exiting": _SIGMOID.format(name="Exiting", before="", body="os._exit(3)"),
    "fake_killed": _SIGMOID.format(
        name="Killed", before="", body="os.kill(os.getpid(), signal.SIGSEGV)"
    ),
    "fake_broken_file": "raise ImportError('no libabacus.so')\n",
    "fake_wrong_binding": _SIGMOID.format(
        name="Right, but bound to something else",
        before=_BIND.format(body="return lambda: inputs[0] * 0"),
        body=_RIGHT,
    ),
    "fake_dying_later": _SIGMOID.format(
        name="Dies after some calls",
        before=_BIND.format(
            body="""import os
    from xent_numba.operations import OPERATIONS, Call
    started = time.perf_counter()

    def call():
        if time.perf_counter() - started > 0.5:
            os._exit(4)
        return numpy_stable.sigmoid(Call(OPERATIONS["sigmoid"], inputs[0], out=inputs[0] * 0))

    return call"""
        ),
        body=_RIGHT,
    ),
    "fake_elsewhere": _SIGMOID.format(
        name="Right, on a device of its own with a clock of its own",
        before=_BIND.format(
            body="""import types
    from xent_numba.operations import OPERATIONS, Call
    right = numpy_stable.sigmoid(Call(OPERATIONS["sigmoid"], inputs[0], out=inputs[0] * 0))
    return lambda: types.SimpleNamespace(fetched=right)


def on_host(result):
    return result.fetched


def timer(call):
    def seconds(number):
        call()
        return number / 8

    return seconds"""
        ),
        body=_RIGHT,
    ),
    "fake_hanging": _SIGMOID.format(name="Hanging", before="", body="time.sleep(1000)"),
}

REST = ("--patience", "0.1")
QUICK = ("--quick", "--size", "1000", "--workload", "gaussian", *REST)
"""Options of a comparison with them that takes seconds."""


def write(folder, *names):
    """Write the files and return their paths, as one types them."""
    paths = []
    for name in names:
        path = folder / f"{name}.py"
        path.write_text(SOURCES[name], encoding="utf-8")
        paths.append(str(path))
    return paths
