"""The hot loops are compiled to packed arithmetic, without calls and without stray divisions."""

from __future__ import annotations

import platform
import re

import numba
import numpy as np
import pytest
from numba import njit, types
from numba.core.dispatcher import Dispatcher

from xent_numba.kernels import bits, blocks, exp, log, losses, passes, products, sums

REGISTER = {128: "x", 256: "y", 512: "z"}
FLOAT = {"ps": types.float32, "pd": types.float64}

pytestmark = pytest.mark.skipif(
    platform.machine() not in ("x86_64", "AMD64"), reason="reads x86 code"
)


def array(dtype):
    return types.Array(dtype, 1, "C")


def arguments(dtype):
    one, work = array(dtype), types.Array(dtype, 2, "C")
    label = array(types.int8)
    return {
        "sigmoids": (passes.sigmoids, (one, one, work), True),
        "exp_of_margins": (
            passes._exp_of_margins,
            (one, label, one, one, one),
            False,
        ),
        "add_log1p": (passes._add_log1p, (one, one, one), True),
        "slopes": (passes._slopes, (label, one, one, one, one), True),
        "cross_entropies": (passes._hard_cross_entropies, (one, label, one), True),
        "sum": (
            sums._sum_float32 if dtype == types.float32 else sums._sum_float64,
            (one,),
            False,
        ),
    }


def assembly(function, signature):
    compiled = njit(error_model="numpy")(function.py_func)
    compiled.compile(signature)
    return compiled.inspect_asm(compiled.signatures[0])


def innermost_loops(text):
    """The instructions between each label and the nearest jump back to it, shortest loops only."""
    lines = text.splitlines()
    labels = {m[1]: i for i, line in enumerate(lines) if (m := re.match(r"(\.LBB\w+):", line))}
    loops = []
    for i, line in enumerate(lines):
        jump = re.match(r"\s+j\w+\s+(\.LBB\w+)", line)
        if jump and labels.get(jump[1], i) < i:
            start = labels[jump[1]]
            if not any(start < labels[name] <= i for name in labels):
                loops.append([x.strip() for x in lines[start:i] if x.startswith("\t")])
    return loops


def packed_loops(text, suffix):
    arithmetic = re.compile(rf"v(f?n?m?add|mul|sub|div)\w*{suffix}\b")
    return [loop for loop in innermost_loops(text) if any(arithmetic.match(x) for x in loop)]


def widest_register(loop):
    widths = {letter: width for width, letter in REGISTER.items()}
    return max(widths[m] for x in loop for m in re.findall(r"%([xyz])mm", x))


def machine_width():
    features = numba.core.codegen.get_host_cpu_features()
    return 512 if "+avx512f" in features else 256 if "+avx2" in features else 128


def faults(text, suffix, divides):
    """What keeps the packed loops from being what they are meant to be."""
    loops = packed_loops(text, suffix)
    if not loops:
        return ["no packed arithmetic"]
    found = []
    if max(map(widest_register, loops)) != machine_width():
        found.append("narrow registers")
    if any(x.startswith("call") for loop in loops for x in loop):
        found.append("a call")
    divisions = [sum(x.startswith("vdiv") for x in loop) for loop in loops]
    store = re.compile(r"vmov\S+\s+%[xyz]mm\d+, .*\((?!%r[sb]p)")  # not one to the stack
    stores = [sum(bool(store.match(x)) for x in loop) for loop in loops]
    if any(d not in (0, n) for d, n in zip(divisions, stores, strict=True)):
        found.append("more than one division for a result")
    if any(divisions) != divides:
        found.append("division where none is meant, or none where one is")
    return found


@pytest.mark.parametrize("name", arguments(types.float32))
@pytest.mark.parametrize("suffix", FLOAT)
def test_hot_loop(name, suffix):
    function, signature, divides = arguments(FLOAT[suffix])[name]
    text = assembly(function, signature)
    # float32 is added up in float64.
    assert not faults(text, "pd" if name == "sum" else suffix, divides)


def row_faults(text):
    """What keeps the rows of a section, unrolled to one piece without a label, from being packed.

    Both precisions multiply in float64.
    """
    pieces = re.split(r"^\.LBB\w+:.*$", text, flags=re.MULTILINE)
    row = max(pieces, key=lambda piece: len(re.findall(r"v(?:f?n?m?add|mul|sub)\w*pd\b", piece)))
    scalar = len(re.findall(r"v(?:f?n?m?add|mul|sub)\w*[sp]d\b.*%xmm", row))
    found = []
    if f"%{REGISTER[machine_width()]}mm" not in row:
        found.append("narrow registers")
    if re.search(r"\tcall|\tvdiv", row):
        found.append("a call or a division")
    if scalar:
        found.append("scalar arithmetic")
    return found


@pytest.mark.parametrize("suffix", FLOAT)
@pytest.mark.parametrize(
    "pair", [products.softplus_sums(-1), products.cross_entropy_sums], ids=["logistic", "entropy"]
)
def test_rows_of_a_section(pair, suffix):
    function = pair[list(FLOAT).index(suffix)]
    state = types.Array(types.float64, 2, "C")
    text = assembly(function, (array(FLOAT[suffix]), array(types.int8), state))
    assert not row_faults(text)


@pytest.mark.parametrize("module", [bits, blocks, exp, log, losses, passes, products, sums])
def test_no_function_takes_its_options_from_the_first_caller(module):
    for name, function in vars(module).items():
        if isinstance(function, Dispatcher):
            options = function.targetoptions
            assert options.get("error_model") == "numpy", name
            assert options.get("fastmath", False) is False, name


def test_faults_are_seen():
    def calls(x, out):
        for i in range(x.size):
            out[i] = np.exp(x[i]) * x[i]

    def divides(x, out):
        for i in range(x.size):
            out[i] = 1.0 / (x[i] + 1.0)

    def recurs(x, out):
        for i in range(1, x.size):
            out[i] = out[i - 1] * x[i]

    one = array(types.float64)
    for planted in (calls, divides, recurs):
        compiled = njit(error_model="numpy")(planted)
        compiled.compile((one, one))
        text = compiled.inspect_asm(compiled.signatures[0])
        assert faults(text, "pd", False)
        assert row_faults(text)
