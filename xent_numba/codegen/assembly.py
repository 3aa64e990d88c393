"""What the compiler made of the hot loops, read from x86 assembly: exact, and without a clock.

A loop over samples is recognised as an innermost loop with packed arithmetic in the widest
registers.  Those that sum write nothing, and are told by what they load.
"""

from __future__ import annotations

import functools
import operator
import platform
import re
from dataclasses import dataclass
from typing import Any

from numba import njit, types
from numba.core.registry import cpu_target

from xent_numba.kernels.cpu import log_of_product, passes

SUFFIXES = {"float32": "ps", "float64": "pd"}
_TYPES = {"float32": types.float32, "float64": types.float64}
_LIBM = r"(?:exp|exp2|expm1|log|log1p|log2|pow|tanh|fma|ldexp)f?"
_BITS = {"x": 128, "y": 256, "z": 512}
_NOT_THE_STACK = r"\((?!%rsp|%rbp\))"
"""Where a function has no frame, the register of its frame is one like others, beside an index."""

_LOGISTIC = log_of_product.softplus_sums(*log_of_product.hard_margin(-1))


@dataclass(frozen=True, slots=True)
class Loop:
    """Where a hot loop is, and what is meant of it.

    Attributes
    ----------
    functions : pair of Dispatcher
        The function it is in, for float32 and for float64.
    arguments : str
        Types of the arguments: f an array of the dtype, l of int8 labels, d of float64, n None.
    outputs : tuple of int
        For each loop of the function, the ones without division first, how many arrays it writes;
        empty for a sum.
    divisions : int
        How many each sample needs.
    """

    functions: tuple[Any, Any]
    arguments: str
    outputs: tuple[int, ...]
    divisions: int


LOOPS = {
    "sigmoids": Loop((passes.sigmoid_pass,) * 2, "fnfnf", (1,), 1),
    "losses": Loop((passes.hard_logistic,) * 2, "flfnf", (3, 1), 1),
    "gradients": Loop((passes.hard_logistic,) * 2, "flfff", (3, 1, 1), 2),
    "cross entropies": Loop((passes.hard_cross_entropies,) * 2, "flfnn", (1,), 1),
    "sum of logistic losses": Loop(_LOGISTIC, "fld", (), 0),
    "sum of cross entropies": Loop(log_of_product.cross_entropy_sums(), "fld", (), 0),
}


@dataclass(frozen=True, slots=True)
class Code:
    """What became of a loop.

    Attributes
    ----------
    width : int
        Bits of the widest register; 0 if nothing is packed.
    instructions, calls, divisions, flops, masked_stores : float
        For each sample; a division of a whole register counts as one for each of its samples, and
        of the operations on floats a fused multiply-add counts as two. A store by AVX2 of those
        lanes only that a mask says takes some processors a dozen cycles.
    """

    width: int
    instructions: float
    calls: float
    divisions: float
    flops: float
    masked_stores: float

    def __add__(self, other: Code) -> Code:
        return Code(
            min(self.width, other.width),
            self.instructions + other.instructions,
            self.calls + other.calls,
            self.divisions + other.divisions,
            self.flops + other.flops,
            self.masked_stores + other.masked_stores,
        )


NOTHING = Code(0, float("inf"), 0, 0, 0, 0)
"""Where no packed arithmetic is found."""


def readable() -> bool:
    """Whether this machine's assembly is understood here."""
    return platform.machine() in ("x86_64", "AMD64")


def machine_width() -> int:
    """Bits of the widest register of the machine that Numba compiles for."""
    features = cpu_target.target_context.codegen().magic_tuple()[-1]
    return 512 if "+avx512f" in features else 256 if "+avx2" in features else 128


def code(name: str, dtype: str) -> Code:
    """Compile a loop of `LOOPS` and read what became of it."""
    text, outputs, suffix = _compiled(name, dtype), LOOPS[name].outputs, SUFFIXES[dtype]
    return read_loops(text, suffix, outputs) if outputs else read_sums(text, suffix)


def array_type(dtype: str) -> types.Type:
    """The type of a contiguous array of a dtype."""
    return types.Array(_TYPES[dtype], 1, "C")


def libm_functions(name: str, dtype: str) -> set[str]:
    """Compile a loop of `LOOPS`; the functions of the C library that it calls, for one sample."""
    return read_libm(_compiled(name, dtype))


def read_libm(text: str) -> set[str]:
    """Names of the C library's functions, which are called by an address in a register or not."""
    return set(re.findall(rf"(?:\$|\bcall\S*\s+)({_LIBM})\b", text))


@functools.cache
def _compiled(name: str, dtype: str) -> str:
    loop = LOOPS[name]
    array = {
        "f": array_type(dtype),
        "l": types.Array(types.int8, 1, "C"),
        "d": types.Array(types.float64, 1, "C"),
        "n": types.none,
    }
    function = loop.functions[tuple(SUFFIXES).index(dtype)]
    return assembly(getattr(function, "py_func", function), tuple(array[a] for a in loop.arguments))


def assembly(function: Any, signature: tuple[types.Type, ...]) -> str:
    """The assembly of a Python function compiled by itself."""
    compiled = njit(error_model="numpy")(function)
    compiled.compile(signature)
    return str(compiled.inspect_asm(compiled.signatures[0]))


def read_loops(text: str, suffix: str, outputs: tuple[int, ...]) -> Code:
    """Read the loops with packed arithmetic of a suffix, ps or pd; narrow ones are remainders."""
    packed = [loop for loop in innermost_loops(text) if arithmetic(loop, suffix)]
    widest = max(map(width, packed), default=0)
    loops = sorted((loop for loop in packed if width(loop) == widest), key=_divisions)
    if len(loops) != len(outputs):
        return NOTHING
    lanes = widest // {"ps": 32, "pd": 64}[suffix]
    store = re.compile(rf"vmov\S+\s+%[xyz]mm\d+, .*{_NOT_THE_STACK}")
    codes = []
    for loop, arrays in zip(loops, outputs, strict=True):
        stores = sum(bool(store.match(x)) for x in loop)
        if not stores:
            return NOTHING
        codes.append(_code(loop, registers=stores / arrays, lanes=lanes))
    return functools.reduce(operator.add, codes)


def read_sums(text: str, suffix: str) -> Code:
    """Read the loop with most packed float64 arithmetic; its samples are what it loads in full."""
    loop = max(innermost_loops(text), key=lambda one: arithmetic(one, "pd"), default=[])
    bits = width(loop) if arithmetic(loop, "pd") else 0
    # Scores and probabilities, neither from the stack nor narrow as labels are; some twice.
    load = re.compile(rf"v(mov|cvtps2pd)\S*\s+(-?\d*){_NOT_THE_STACK}([^)]*)\), %([xyz])mm\d+$")
    constants = set(re.findall(r"movabsq\s+\$\.LCPI\w+, (%r\w+)", text))
    loads = [
        found
        for x in loop
        if (found := load.match(x)) and _BITS[found[4]] == bits and found[3] not in constants
    ]
    read = {
        (found[3], int(found[2] or 0) + k)
        for found in loads
        for k in range(bits // (16 if found[1] == "cvtps2pd" else 8))
    }
    samples = len(read) // {"ps": 4, "pd": 8}[suffix]
    return _code(loop, registers=samples * 64 / bits, lanes=bits // 64) if samples else NOTHING


def _code(instructions: list[str], registers: float, lanes: int) -> Code:
    """The code of a loop that takes so many registers of samples."""
    samples = registers * lanes
    calls = sum(x.startswith("call") for x in instructions)
    return Code(
        width(instructions),
        len(instructions) / samples,
        calls / samples,
        _divisions(instructions) / registers,
        flops(instructions) / samples,
        masked_stores(instructions) / samples,
    )


def innermost_loops(text: str) -> list[list[str]]:
    """The instructions between each label and a jump back to it, without a label in between."""
    lines = text.splitlines()
    labels = {m[1]: i for i, line in enumerate(lines) if (m := re.match(r"(\.LBB\w+):", line))}
    loops = []
    for i, line in enumerate(lines):
        jump = re.match(r"\s+j\w+\s+(\.LBB\w+)", line)
        if jump and labels.get(jump[1], i) < i:
            start = labels[jump[1]]
            if not any(start < labels[name] <= i for name in labels):
                loops.append(_instructions("\n".join(lines[start : i + 1])))
    return loops


def _instructions(text: str) -> list[str]:
    lines = (x.strip() for x in text.splitlines() if x.startswith("\t"))
    return [x for x in lines if not x.startswith(".")]


def arithmetic(instructions: list[str], suffix: str) -> int:
    """Number of additions, multiplications and divisions with a suffix as ps, pd or sd."""
    packed = re.compile(rf"v(f?n?m?add|f?n?m?sub|mul|div)\w*{suffix}\b")
    return sum(bool(packed.match(x)) for x in instructions)


def flops(instructions: list[str]) -> int:
    """Operations on floats, of all lanes; one that multiplies and adds is two."""
    return sum(
        (2 if "f" in found[1] else 1) * width([x]) // {"s": 32, "d": 64}[found[2]]
        for x in instructions
        if (found := re.match(r"v(fn?madd|fn?msub|add|sub|mul|div)\d*p([sd])\b", x))
    )


def masked_stores(instructions: list[str]) -> int:
    """Number of stores by AVX2 that a mask takes part in; a load has its place before the mask."""
    return sum(bool(re.match(r"vp?maskmov\S+\s+%\S+, %\S+, \S*\(", x)) for x in instructions)


def width(instructions: list[str]) -> int:
    """Bits of the widest register that is named."""
    return max(_BITS[m] for x in instructions for m in re.findall(r"%([xyz])mm", x))


def _divisions(instructions: list[str]) -> int:
    return sum(x.startswith("vdiv") for x in instructions)
