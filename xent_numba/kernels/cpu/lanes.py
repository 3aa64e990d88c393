"""Lanes: a vector of numbers as one value of compiled code.

What is written of a number holds of lanes, and a scalar beside lanes is each of them, in their own
dtype. LLVM makes of ``<16 x float>`` what the machine has: a register, or several. So a function is
scalar or vector by the type that it is given, and its loop is over full vectors without being found
by the loop vectoriser, which takes most of the time that a kernel takes to compile and sees neither
a table in a register nor an accumulator that can stay in one.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Sequence
from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.core.typing.templates import AbstractTemplate, infer_global, signature
from numba.extending import intrinsic, lower_builtin, lower_cast, models, register_model

LINE = 64
"""Bytes of lanes that are loaded together: of a line of the caches, and of the widest registers."""

_I32 = ir.IntType(32)


class Lanes(types.Type):  # type: ignore[misc]
    """`count` numbers of one dtype; of booleans, a mask."""

    def __init__(self, dtype: types.Type, count: int) -> None:
        self.dtype, self.count = dtype, count
        super().__init__(f"{count} lanes of {dtype}")

    def of(self, dtype: types.Type) -> Lanes:
        """As many lanes of another dtype."""
        return Lanes(dtype, self.count)


@register_model(Lanes)
class _LanesModel(models.PrimitiveModel):  # type: ignore[misc]
    def __init__(self, manager: Any, lanes: Lanes) -> None:
        # A boolean in memory is a byte, in a mask a bit.
        is_mask = lanes.dtype == types.boolean
        one = ir.IntType(1) if is_mask else manager[lanes.dtype].get_value_type()
        super().__init__(manager, lanes, ir.VectorType(one, lanes.count))


def real_of(value: types.Type) -> types.Type | None:
    """The type of a float, or of the floats in lanes; None of anything else."""
    one = value.dtype if isinstance(value, Lanes) else value
    return one if isinstance(one, types.Float) else None


def integers_like(value: ir.Value) -> ir.Type:
    """Integers as wide, and as many, as the floats of a value."""
    kind = value.type
    real = kind.element if isinstance(kind, ir.VectorType) else kind
    integer = ir.IntType(32 if isinstance(real, ir.FloatType) else 64)
    return ir.VectorType(integer, kind.count) if isinstance(kind, ir.VectorType) else integer


def constant(kind: ir.Type, value: float) -> ir.Constant:
    """A number of a type, or lanes that all are that number."""
    if isinstance(kind, ir.VectorType):
        return ir.Constant(kind, [ir.Constant(kind.element, value)] * kind.count)
    return ir.Constant(kind, value)


def splat(builder: Any, value: ir.Value, kind: ir.Type) -> ir.Value:
    """Generate code for lanes that all are one value; for the value where there are none."""
    if not isinstance(kind, ir.VectorType):
        return value
    undefined = ir.Constant(kind, ir.Undefined)
    first = builder.insert_element(undefined, value, _I32(0))
    return builder.shuffle_vector(first, undefined, constant(ir.VectorType(_I32, kind.count), 0))


def _short(kind: ir.Type) -> str:
    """What LLVM calls a type in the name of a function."""
    return {"float": "f32", "double": "f64"}.get(str(kind), str(kind))


def call(builder: Any, name: str, returned: ir.Type, *args: ir.Value) -> ir.Value:
    """Generate a call of one of LLVM's own functions, for lanes or not."""
    kind = args[0].type
    lanes = isinstance(kind, ir.VectorType)
    suffix = (f"v{kind.count}" if lanes else "") + _short(kind.element if lanes else kind)
    function_type = ir.FunctionType(returned, [a.type for a in args])
    function = cgutils.get_or_insert_function(builder.module, function_type, f"{name}.{suffix}")
    return builder.call(function, args)


@lower_cast(types.Number, Lanes)
@lower_cast(types.Boolean, Lanes)
def _to_lanes(context: Any, builder: Any, scalar: Any, lanes: Any, value: Any) -> Any:
    one = context.cast(builder, value, scalar, lanes.dtype)
    return splat(builder, one, context.get_value_type(lanes))


def _operator(op: Any, generate: Callable[..., Any], mask: bool = False) -> None:
    """Give an operator a meaning for lanes, and for lanes beside a scalar."""

    @infer_global(op)
    class OfLanes(AbstractTemplate):  # type: ignore[misc]
        key = op

        def generic(self, args: Any, _kws: Any) -> Any:
            lanes = next((a for a in args if isinstance(a, Lanes)), None)
            if lanes is None:
                return None
            return signature(lanes.of(types.boolean) if mask else lanes, *[lanes] * len(args))

    def lower(_context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return generate(builder, signature.args[0].dtype, *args)

    lower_builtin(op, Lanes)(lower)
    lower_builtin(op, Lanes, Lanes)(lower)


def _arithmetic(of_floats: str, of_integers: str) -> Callable[..., Any]:
    def generate(builder: Any, dtype: Any, *args: Any) -> Any:
        name = of_floats if isinstance(dtype, types.Float) else of_integers
        return getattr(builder, name)(*args)

    return generate


def _absolute(builder: Any, _dtype: Any, value: Any) -> Any:
    return call(builder, "llvm.fabs", value.type, value)


def _comparison(sign: str) -> Callable[..., Any]:
    def generate(builder: Any, dtype: Any, a: Any, b: Any) -> Any:
        if isinstance(dtype, types.Float):
            compare = builder.fcmp_unordered if sign == "!=" else builder.fcmp_ordered
        else:
            compare = builder.icmp_signed if dtype.signed else builder.icmp_unsigned
        return compare(sign, a, b)

    return generate


for _op, _names in {
    operator.add: ("fadd", "add"),
    operator.sub: ("fsub", "sub"),
    operator.mul: ("fmul", "mul"),
    operator.truediv: ("fdiv", "sdiv"),
    operator.neg: ("fneg", "neg"),
    operator.and_: ("and_", "and_"),
    operator.or_: ("or_", "or_"),
    operator.xor: ("xor", "xor"),
    operator.invert: ("not_", "not_"),
}.items():
    _operator(_op, _arithmetic(*_names))
    if in_place := getattr(operator, f"i{_op.__name__.strip('_')}", None):
        _operator(in_place, _arithmetic(*_names))
for _name, _sign in {"lt": "<", "le": "<=", "gt": ">", "ge": ">=", "eq": "==", "ne": "!="}.items():
    _operator(getattr(operator, _name), _comparison(_sign), mask=True)
_operator(abs, _absolute)


def _place(context: Any, builder: Any, signature: Any, args: Any, lanes: Lanes) -> tuple[Any, int]:
    """Where lanes lie that begin at an item of an array, and how that is aligned."""
    array = signature.args[0]
    whole = context.make_array(array)(context, builder, args[0])
    begin = builder.gep(whole.data, [args[1]], inbounds=True)
    item = context.get_abi_sizeof(context.get_data_type(array.dtype))
    return builder.bitcast(begin, context.get_value_type(lanes).as_pointer()), item


def _loaded(array: Any, count: int) -> tuple[Any, Any]:
    dtype = array.dtype
    if dtype == types.boolean or not getattr(dtype, "signed", True):
        # Wider and with a sign, so that -1 is none of them.
        memory, dtype = Lanes(types.uint8, count), types.int16
    else:
        memory = Lanes(dtype, count)
    lanes = Lanes(dtype, count)

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        place, align = _place(context, builder, signature, args, memory)
        value = builder.load(place, align=align)
        return value if lanes == memory else builder.zext(value, context.get_value_type(lanes))

    return lanes, generate


def count_of(others: Any) -> int:
    """Lanes of a value, or of what `load` takes from an array."""
    if isinstance(others, Lanes):
        return others.count
    return 8 * LINE // others.dtype.bitwidth


@intrinsic
def load(typing: Any, array: Any, start: Any) -> Any:
    """A line's worth of floats of an array, from an item on."""
    lanes, generate = _loaded(array, count_of(array))
    return lanes(array, types.intp), generate


@intrinsic
def load_pair(typing: Any, array: Any, start: Any) -> Any:
    """Two lines' worth of floats of an array, from an item on."""
    lanes, generate = _loaded(array, 2 * count_of(array))
    return lanes(array, types.intp), generate


@intrinsic
def load_beside(typing: Any, array: Any, start: Any, others: Any) -> Any:
    """As many lanes as the others, of an array, from an item on."""
    lanes, generate = _loaded(array, count_of(others))
    return lanes(array, types.intp, others), generate


@intrinsic
def store(typing: Any, array: Any, start: Any, lanes: Any) -> Any:
    """Make lanes those of an array from an item on."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        place, align = _place(context, builder, signature, args, lanes)
        builder.store(args[2], place, align=align)
        return context.get_dummy_value()

    return types.none(array, types.intp, lanes), generate


@intrinsic
def replaced(typing: Any, array: Any, start: Any, mask: Any, lanes: Any) -> Any:
    """Floats of an array from an item on, with the given lanes where the mask is true."""
    loaded, load_them = _loaded(array, lanes.count)

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        there = load_them(context, builder, loaded(array, types.intp), args[:2])
        # Else LLVM writes back only what is new, for which AMD's cores without AVX-512 take a
        # dozen cycles.
        there = call(builder, "llvm.arithmetic.fence", there.type, there)
        return builder.select(args[2], args[3], there)

    return lanes(array, types.intp, mask, lanes), generate


@intrinsic
def filled(typing: Any, value: Any, others: Any) -> Any:
    """As many lanes as the others, or as `load` takes from an array, that all are one value."""
    lanes = Lanes(types.unliteral(value), count_of(others))

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return splat(builder, args[0], context.get_value_type(lanes))

    return lanes(lanes.dtype, others), generate


@intrinsic
def select(typing: Any, mask: Any, a: Any, b: Any) -> Any:
    """Take a where the mask is true, else b; of lanes and scalars, or of scalars by one boolean."""
    kind = next((v for v in (a, b) if isinstance(v, Lanes)), types.unliteral(a))
    if isinstance(mask, Lanes) and not isinstance(kind, Lanes):
        kind = mask.of(kind)

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.select(*args)

    return kind(mask, kind, kind), generate


def _converted(dtype: types.Type, value: Any) -> Any:
    result = value.of(dtype) if isinstance(value, Lanes) else dtype
    before = real_of(value)

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        kind = context.get_value_type(result)
        if before is None:
            one = value.dtype if isinstance(value, Lanes) else value
            name = "sitofp" if getattr(one, "signed", False) else "uitofp"
        elif before.bitwidth == dtype.bitwidth:
            return args[0]
        else:
            name = "fpext" if before.bitwidth < dtype.bitwidth else "fptrunc"
        return getattr(builder, name)(args[0], kind)

    return result(value), generate


@intrinsic
def to_float64(typing: Any, value: Any) -> Any:
    """The same numbers as float64."""
    return _converted(types.float64, value)


@intrinsic
def to_float32(typing: Any, value: Any) -> Any:
    """Numbers rounded to float32."""
    return _converted(types.float32, value)


@intrinsic
def load_float64(typing: Any, array: Any, start: Any, stop: Any, others: Any) -> Any:
    """As many lanes as the others, of floats of either dtype; 0 from `stop` on, not read."""
    memory = Lanes(array.dtype, count_of(others))
    converted, convert = _converted(types.float64, memory)

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        place, align = _place(context, builder, signature, args, memory)
        kind, left = context.get_value_type(memory), builder.sub(args[2], args[1])
        # Whole lines by an instruction of their own: not every machine has one with a mask.
        found = cgutils.alloca_once(builder, kind)
        whole = builder.icmp_signed(">=", left, left.type(memory.count))
        with builder.if_else(whole, likely=True) as (all_of_it, a_part):
            with all_of_it:
                builder.store(builder.load(place, align=align), found)
            with a_part:
                builder.store(_loaded_below(builder, place, align, left), found)
        return convert(context, builder, converted, [builder.load(found)])

    return converted.return_type(array, types.intp, types.intp, others), generate


def _loaded_below(builder: Any, place: ir.Value, align: int, count: ir.Value) -> ir.Value:
    """Generate code for the first lanes at a place, 0 in the others."""
    kind = place.type.pointee
    lanes = len(kind)
    order = ir.Constant(ir.VectorType(_I32, lanes), [_I32(k) for k in range(lanes)])
    mask = builder.icmp_signed("<", order, splat(builder, builder.trunc(count, _I32), order.type))
    args = place, _I32(align), mask, constant(kind, 0)
    function_type = ir.FunctionType(kind, [a.type for a in args])
    name = f"llvm.masked.load.v{lanes}{_short(kind.element)}.p0"
    return builder.call(cgutils.get_or_insert_function(builder.module, function_type, name), args)


def shuffled(builder: Any, first: ir.Value, second: ir.Value, order: Sequence[int]) -> ir.Value:
    """Generate code for lanes of two vectors, counted on from the first to the second."""
    places = ir.Constant(ir.VectorType(_I32, len(order)), [_I32(k) for k in order])
    return builder.shuffle_vector(first, second, places)


def part(builder: Any, lanes: ir.Value, begin: int, count: int) -> ir.Value:
    """Generate code for some consecutive lanes."""
    nothing = ir.Constant(lanes.type, ir.Undefined)
    return shuffled(builder, lanes, nothing, range(begin, begin + count))


@intrinsic
def halves(typing: Any, lanes: Any) -> Any:
    """The first and the second half of lanes."""
    half = Lanes(lanes.dtype, lanes.count // 2)

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        parts = [part(builder, args[0], begin, half.count) for begin in (0, half.count)]
        return context.make_tuple(builder, signature.return_type, parts)

    return types.UniTuple(half, 2)(lanes), generate


@intrinsic
def any_of(typing: Any, mask: Any) -> Any:
    """Whether the mask is true anywhere."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return call(builder, "llvm.vector.reduce.or", ir.IntType(1), args[0])

    return types.boolean(mask), generate
