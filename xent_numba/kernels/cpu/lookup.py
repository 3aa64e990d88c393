"""Tables of sixteen rows that lanes look up: in registers where there is a permutation for it.

The bits are the same on every machine, and so are the rows; only the way to them is another.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from xent_numba.kernels.cpu.lanes import constant, integers_like, part, shuffled

_I32 = ir.IntType(32)

ROWS = 16
"""Of a table: as many float32 as a register of AVX-512 has, or twice as many float64."""

Column = tuple[float, ...]


def _constants(kind: ir.Type, items: Sequence[float]) -> ir.Constant:
    return ir.Constant(ir.VectorType(kind, len(items)), [ir.Constant(kind, x) for x in items])


def _joined(builder: Any, parts: Sequence[ir.Value]) -> ir.Value:
    """Generate code for the lanes of several vectors in a row; of them there are 2^k."""
    while len(parts) > 1:
        order = range(2 * len(parts[0].type))
        pairs = zip(parts[::2], parts[1::2], strict=True)
        parts = [shuffled(builder, first, second, order) for first, second in pairs]
    return parts[0]


def _by_x86(builder: Any, name: str, *args: ir.Value) -> ir.Value:
    """Generate one instruction of x86, whose result has the type of its first argument."""
    kind = ir.FunctionType(args[0].type, [a.type for a in args])
    function = cgutils.get_or_insert_function(builder.module, kind, f"llvm.x86.{name}")
    return builder.call(function, args)


def _permuted(builder: Any, kind: ir.Type, column: Column, index: ir.Value) -> ir.Value:
    """Generate one instruction of AVX-512 for a register of index, whose high bits it ignores."""
    if isinstance(kind, ir.FloatType):
        return _by_x86(builder, "avx512.permvar.sf.512", _constants(kind, column), index)
    low, high = _constants(kind, column[: ROWS // 2]), _constants(kind, column[ROWS // 2 :])
    return _by_x86(builder, "avx512.vpermi2var.pd.512", low, index, high)


def _permuted_in_halves(builder: Any, kind: ir.Type, column: Column, index: ir.Value) -> ir.Value:
    """Generate two of AVX2, for float32, which ignore all but three bits; the fourth chooses."""
    halves = (_constants(kind, column[k : k + 8]) for k in (0, 8))
    low, high = (_by_x86(builder, "avx2.permps", half, index) for half in halves)
    sign = builder.shl(index, constant(index.type, 28))
    return builder.select(builder.icmp_signed("<", sign, constant(sign.type, 0)), high, low)


_PERMUTATIONS = (
    ("+avx512f", ir.FloatType, 16, _permuted),
    ("+avx512f", ir.DoubleType, 8, _permuted),
    ("+avx2", ir.FloatType, 8, _permuted_in_halves),
)
"""Feature of a machine, type of the items, lanes of a register, and what permutes them."""


def _from_registers(
    builder: Any, features: Sequence[str], kind: ir.Type, columns: Sequence[Column], index: ir.Value
) -> list[ir.Value] | None:
    """Generate permutations; None where the machine has none for it."""
    lanes = len(index.type)
    for feature, of, width, permuted in _PERMUTATIONS:
        if feature in features and isinstance(kind, of) and lanes % width == 0:
            registers = [part(builder, index, begin, width) for begin in range(0, lanes, width)]
            return [
                _joined(builder, [permuted(builder, kind, column, x) for x in registers])
                for column in columns
            ]
    return None


def _loaded(builder: Any, kind: ir.Type, rows: Sequence[Any], index: ir.Value) -> list[ir.Value]:
    """Generate code for any machine: a constant in memory, and one load for each lane."""
    stored = cgutils.global_constant(builder, "table", ir.Constant(ir.ArrayType(kind, ROWS), rows))
    low = builder.and_(index, constant(index.type, ROWS - 1))
    places = ([_I32(0), builder.extract_element(low, _I32(k))] for k in range(len(index.type)))
    return [builder.load(builder.gep(stored, place, inbounds=True)) for place in places]


def _from_memory(
    builder: Any, kind: ir.Type, columns: Sequence[Column], index: ir.Value
) -> list[ir.Value]:
    """Generate loads, of two columns at once, four lanes at a time, where those are float64."""
    if len(columns) == 2 and isinstance(kind, ir.DoubleType):
        rows = [_constants(kind, row) for row in zip(*columns, strict=True)]
        loaded = _loaded(builder, ir.VectorType(kind, 2), rows, index)
        parts: list[list[ir.Value]] = [[], []]
        for k in range(0, len(loaded), 4):
            # Across the halves of a register as it is loaded, and then only within them.
            even, odd = (shuffled(builder, loaded[j], loaded[j + 2], range(4)) for j in (k, k + 1))
            parts[0].append(shuffled(builder, even, odd, (0, 4, 2, 6)))
            parts[1].append(shuffled(builder, even, odd, (1, 5, 3, 7)))
        return [_joined(builder, several) for several in parts]
    found = []
    for column in columns:
        lanes = ir.Constant(ir.VectorType(kind, len(index.type)), ir.Undefined)
        rows = [ir.Constant(kind, x) for x in column]
        for k, item in enumerate(_loaded(builder, kind, rows, index)):
            lanes = builder.insert_element(lanes, item, _I32(k))
        found.append(lanes)
    return found


def table(float32: Sequence[Column], float64: Sequence[Column]) -> Callable[[Any], Any]:
    """Return a function that compiled code may call: the row of a table for each lane.

    It is given 4 * 2^k lanes of floats, in the low four bits of whose significands the number of
    the row is, and returns lanes for each column.

    Parameters
    ----------
    float32, float64 : sequence of tuples of float
        Columns of `ROWS` items: one or two.
    """

    @intrinsic
    def rows(typing: Any, lanes: Any) -> Any:
        columns = float32 if lanes.dtype == types.float32 else float64

        def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            index = builder.bitcast(args[0], integers_like(args[0]))
            kind = context.get_value_type(lanes.dtype)
            features = context.codegen().magic_tuple()[-1].split(",")
            found = _from_registers(builder, features, kind, columns, index)
            if found is None:
                found = _from_memory(builder, kind, columns, index)
            return context.make_tuple(builder, signature.return_type, found)

        return types.UniTuple(lanes, len(columns))(lanes), generate

    return rows
