"""Bit tricks that Python cannot spell: fused multiply-add, bit patterns, polynomials."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from llvmlite import ir
from numba import njit, types
from numba.extending import intrinsic

from xent_numba.kernels.cpu.lanes import Lanes, call, constant, integers_like, real_of, splat
from xent_numba.kernels.cpu.parts import PartCompiler

_MEANT: dict[str, Any] = {"error_model": "numpy", "fastmath": False}
"""What is written, with NumPy's division and no liberties.

Both are said because a function that does not say takes them from whoever calls it first in the
process, and every later caller gets the same code.
"""

EXACT = _MEANT | {
    "no_cpython_wrapper": True,
    "no_cfunc_wrapper": True,
    "pipeline_class": PartCompiler,
}
"""The same for compiled code to call.

What Python needs in order to call a function takes longer to compile than most of these: a fifth
of a first call.
"""


def exact(function: Callable[..., Any]) -> Any:
    """Compile a function for compiled code to call.

    Python, as in the simulator of CUDA, gets another with a wrapper: the dispatcher is never told
    of what has none, asks for it to be compiled, and is given the other to call.
    """
    dispatcher = njit(**EXACT)(function)
    wrapped = njit(**_MEANT)(function)
    dispatcher._insert = lambda *_: None
    dispatcher._compile_for_args = lambda *_: wrapped
    return dispatcher


def inlined(function: Callable[..., Any]) -> Any:
    """Compile a function into whoever calls it, so that lanes stay in registers."""
    return njit(forceinline=True, **EXACT)(function)


_SIGNIFICAND_BITS = {types.float32: 23, types.float64: 52}
"""Width of the stored significand, by type."""


def by_precision(float32: Any, float64: Any) -> Callable[[Any], Any]:
    """Return a function that compiled code may call: the one for a float32, else the other."""

    @intrinsic
    def constants(typing: Any, x: Any) -> Any:
        chosen = float32 if real_of(x) == types.float32 else float64
        kind = typing.resolve_value_type(chosen)

        def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            return context.get_constant_generic(builder, kind, chosen)

        return kind(x), generate

    return constants


@intrinsic
def fma(typing: Any, a: Any, b: Any, c: Any) -> Any:
    """Return a b + c, rounded once."""
    kind = next((v for v in (a, b, c) if isinstance(v, Lanes)), a)
    if real_of(kind) is None or not (isinstance(kind, Lanes) or a == b == c):
        return None

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return call(builder, "llvm.fma", args[0].type, *args)

    return kind(kind, kind, kind), generate


def on_gpu(builder: Any) -> bool:
    """Whether the code that is being built is for a GPU."""
    return "nvptx" in builder.module.triple


def instruction(builder: Any, text: str, *args: Any) -> Any:
    """Emit one PTX instruction on values of one type."""
    kind = args[0].type
    letter = "d" if isinstance(kind, ir.DoubleType) else "f"
    signature = ir.FunctionType(kind, [kind] * len(args))
    return builder.asm(signature, text, f"={letter}" + f",{letter}" * len(args), args, False)


@intrinsic
def product(typing: Any, a: Any, b: Any) -> Any:
    """Return a b rounded: ptxas may fuse any other multiplication with an addition behind it."""
    if a != b or real_of(a) is None:
        return None

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        if not on_gpu(builder):
            return builder.fmul(*args)
        suffix = "f32" if a == types.float32 else "f64"
        return instruction(builder, f"mul.rn.{suffix} $0, $1, $2;", *args)

    return a(a, b), generate


@intrinsic
def low_bits_to_exponent(typing: Any, x: Any) -> Any:
    """The float whose sign and exponent fields are the lowest bits of x's significand."""
    real = real_of(x)
    if real is None:
        return None

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        bits = builder.bitcast(args[0], integers_like(args[0]))
        field = builder.shl(bits, constant(bits.type, _SIGNIFICAND_BITS[real]))
        return builder.bitcast(field, args[0].type)

    return x(x), generate


@intrinsic
def in_unit_interval(typing: Any, p: Any) -> Any:
    """Whether 0 <= p <= 1, by one comparison instead of two; not of -0.0.

    Floats from 0 on have the order of their bits, and what is negative or NaN has larger ones.
    """
    if real_of(p) is None:
        return None

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        integer = integers_like(args[0])
        bits, one = (builder.bitcast(v, integer) for v in (args[0], constant(args[0].type, 1.0)))
        return builder.icmp_unsigned("<=", bits, one)

    mask = p.of(types.boolean) if isinstance(p, Lanes) else types.boolean
    return mask(p), generate


@intrinsic
def scale_by_low_bits(typing: Any, x: Any, shifted: Any, fraction: Any) -> Any:
    """Return x 2^n for the n in the low bits of the significand of ``shifted``; both normal.

    Of the low bits, ``fraction``, a constant, come after the point; they are added to the bits
    of x that follow its exponent.
    """
    real = real_of(x)
    if x != shifted or real is None or not isinstance(fraction, types.IntegerLiteral):
        return None
    left = _SIGNIFICAND_BITS[real] - fraction.literal_value

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        bits, low = (builder.bitcast(value, integers_like(value)) for value in args[:2])
        low = builder.shl(low, constant(low.type, left))
        return builder.bitcast(builder.add(bits, low), args[0].type)

    return x(x, shifted, fraction), generate


@intrinsic
def split_octave(typing: Any, x: Any, pivot: Any) -> Any:
    """(n, x 2^-n, 2^-n) with n integral, for which pivot <= x 2^-n < 2 pivot; x > 0 and normal.

    With the bits of the pivot subtracted, the exponent field counts octaves above the pivot.
    """
    real = real_of(x)
    if real is None:
        return None

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        kind, integer = args[0].type, integers_like(args[0])
        width = constant(integer, _SIGNIFICAND_BITS[real])
        bits = builder.bitcast(args[0], integer)
        one = builder.bitcast(constant(kind, 1.0), integer)
        octave = builder.ashr(builder.sub(bits, builder.bitcast(args[1], integer)), width)
        field = builder.shl(octave, width)
        parts = (
            builder.sitofp(octave, kind),
            builder.bitcast(builder.sub(bits, field), kind),
            builder.bitcast(builder.sub(one, field), kind),
        )
        return context.make_tuple(builder, signature.return_type, parts)

    return types.UniTuple(x, 3)(x, x), generate


def _chain(builder: Any, x: Any, terms: list[Any]) -> Any:
    *rest, value = terms
    for term in reversed(rest):
        value = call(builder, "llvm.fma", x.type, value, x, term)
    return value


def _sum_of_powers(evaluate: Callable[..., Any]) -> Callable[..., Any]:
    """What computes c[0] + c[1] x + ... of the terms, for the type of x and that of the c."""

    def typed(typing: Any, x: Any, coefficients: Any) -> Any:
        if not (isinstance(coefficients, types.UniTuple) and coefficients.dtype == real_of(x)):
            return None

        def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            x, packed = args
            values = [builder.extract_value(packed, k) for k in range(len(coefficients))]
            return evaluate(builder, x, [splat(builder, value, x.type) for value in values])

        return x(x, coefficients), generate

    return typed


@intrinsic
def horner(typing: Any, x: Any, coefficients: Any) -> Any:
    """c[0] + c[1] x + ... in the fewest instructions: for a GPU, which hides latency."""
    return _sum_of_powers(_chain)(typing, x, coefficients)


def _two_chains(builder: Any, x: Any, terms: list[Any]) -> Any:
    if len(terms) <= 6:
        return _chain(builder, x, terms)
    square = builder.fmul(x, x)
    even, odd = (_chain(builder, square, terms[start::2]) for start in (0, 1))
    return call(builder, "llvm.fma", x.type, odd, x, even)


@intrinsic
def polynomial(typing: Any, x: Any, coefficients: Any) -> Any:
    """c[0] + c[1] x + c[2] x^2 + ..., constant term first.

    Up to six terms are one Horner chain.  More are two, in x^2 (Knuth, TAOCP 2, 4.6.4): one
    multiplication more, half the latency, which is what bounds a loop with chains that long.
    """
    return _sum_of_powers(_two_chains)(typing, x, coefficients)


@intrinsic
def prefer_full_vectors(typing: Any) -> Any:
    """Let LLVM use 512-bit registers in the function that is being compiled.

    LLVM prefers 256 bits on most AVX-512 machines, for fear of lower clocks.  ``set.add``
    because llvmlite's own ``add`` knows only attributes without a value.
    """

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        set.add(builder.function.attributes, '"prefer-vector-width"="512"')
        return context.get_dummy_value()

    return types.none(), generate


@intrinsic
def inline_here(typing: Any) -> Any:
    """Have LLVM inline the function that is being compiled, long as it may be.

    A loop that calls a function does not vectorise.
    """

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        builder.function.attributes.add("alwaysinline")
        return context.get_dummy_value()

    return types.none(), generate
