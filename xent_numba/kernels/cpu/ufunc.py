"""A block kernel as a NumPy ufunc: NumPy looks at an array in a third of the time that Numba takes.

NumPy calls a loop with the addresses of the arrays and the bytes from one item to the next, of any
size and sign. (The loop that `numba.vectorize` builds ignores that of the output where the input
has no gaps.) What the loop raises in the floating-point state is taken back before NumPy looks.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numba import types
from numba.core.ccallback import CFunc
from numba.extending import intrinsic
from numba.np.arrayobj import populate_array
from numba.np.ufunc import _internal  # type: ignore[attr-defined]

from xent_numba.kernels.cpu.bits import exact
from xent_numba.kernels.cpu.blocks import ROWS_SIZE
from xent_numba.kernels.cpu.caching import KernelCache, named
from xent_numba.kernels.cpu.float_state import apart, enter, leave
from xent_numba.kernels.cpu.memory import stack, window
from xent_numba.kernels.cpu.summation import BLOCK

_NUMBERS = types.CPointer(types.intp)
_LOOP = types.void(types.CPointer(types.voidptr), _NUMBERS, _NUMBERS, types.voidptr)
"""Addresses of the arrays, the number of items, the strides in bytes, and data: a PyUFunc loop."""

_OPTIONS = {"error_model": "numpy"}


@intrinsic
def _array(typing: Any, place: Any, size: Any, stride: Any, dtype: Any) -> Any:
    """The items at a place in memory, one every so many bytes."""
    array = types.Array(dtype.dtype, 1, "A")

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        item = context.get_data_type(array.dtype)
        result = context.make_array(array)(context, builder)
        populate_array(
            result,
            data=builder.bitcast(args[0], item.as_pointer()),
            shape=[args[1]],
            strides=[args[2]],
            itemsize=context.get_constant(types.intp, context.get_abi_sizeof(item)),
            meminfo=None,
        )
        return result._getvalue()

    return array(types.voidptr, types.intp, types.intp, dtype), generate


@intrinsic
def _without_gaps(typing: Any, array: Any) -> Any:
    """The same array, of which the caller knows that it has no gaps."""
    contiguous = array.copy(layout="C")

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return args[0]

    return contiguous(array), generate


def _loop(block: Callable[..., None], scalar: Any) -> Callable[..., None]:
    @exact
    def compute(places: Any, size: int, strides: Any) -> None:
        apart()
        rows = stack(ROWS_SIZE, scalar)
        values = _array(places[0], size, strides[0], scalar)
        out = _array(places[1], size, strides[1], scalar)
        packed = strides[0] == values.itemsize and strides[1] == values.itemsize
        for start in range(0, size, BLOCK):
            n = min(BLOCK, size - start)
            work = window(rows, BLOCK, 3 * BLOCK)
            if packed:
                whole, target = _without_gaps(values), _without_gaps(out)
                block(window(whole, start, start + n), window(target, start, start + n), work)
            else:
                row = window(rows, 0, n)
                for i in range(n):
                    row[i] = values[start + i]
                block(row, row, work)
                for i in range(n):
                    out[start + i] = row[i]

    def loop(places: Any, sizes: Any, strides: Any, _data: Any) -> None:
        caller = enter()
        compute(places, sizes[0], strides)
        leave(caller)

    return loop


def elementwise(name: str, block: Callable[..., None], dtype: np.dtype) -> np.ufunc:
    """Compile ``block(values, out, work)`` to a ufunc, and keep the code under the name.

    Parameters
    ----------
    name : str
        Name of the ufunc; the kept code has the dtype in its own.
    block : callable
        Takes at most BLOCK values, and room for twice as many.
    dtype : numpy.dtype
        float32 or float64.

    Returns
    -------
    numpy.ufunc
        Of one input and one output of the dtype.
    """
    function = named(_loop(block, dtype.type), f"{name}_{dtype}")
    compiled: Any = CFunc(function, (_LOOP.args, _LOOP.return_type), {}, _OPTIONS)
    compiled._cache = KernelCache(function, f"{name}_{dtype}", _OPTIONS)
    compiled.compile()
    return _internal.fromfunc(
        name,
        block.__doc__,
        [compiled.address],
        [[dtype.num, dtype.num]],
        1,
        1,
        [None],
        [compiled],
        _internal.PyUFunc_None,
    )


class ByDtype(dict[np.dtype, Any]):
    """The ufunc of float32 and that of float64, compiled when they are asked for, else None.

    Parameters
    ----------
    name, block
        As `elementwise` takes them.
    """

    def __init__(self, name: str, block: Callable[..., None]) -> None:
        super().__init__()
        self._made_of = name, block

    def __missing__(self, dtype: np.dtype) -> Any:
        if dtype not in (np.float32, np.float64):
            return None
        self[dtype] = made = elementwise(*self._made_of, dtype)
        return made
