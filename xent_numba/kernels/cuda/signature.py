"""What each kernel is called with: one description, for who packs, compiles and simulates.

Numbers and addresses follow each other in memory as in a C struct, the parameters of a PTX kernel.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import Any, NamedTuple

from xent_numba.kernels.cuda.passes import COLUMNS, ROWS, Pass, computed_dtype

ENTRY = "kernel"
"""What every kernel is called in its PTX and its machine code."""


class Parameter(NamedTuple):
    """One parameter, or the place of one in a tuple of them.

    Attributes
    ----------
    kind : {"int", "value", "array", "cells"}
        An int64; a number; an array of the caller's, with strides in all kernels but those for
        contiguous ones; or so many numbers in a row.
    number : str
        Name of the dtype of the number, or of the elements.
    length : int
        Numbers in a row; 0 for as many as there are samples.
    """

    kind: str
    number: str = "int64"
    length: int = 0


class Kernel(NamedTuple):
    """A kernel, by what it is compiled from.

    Attributes
    ----------
    kind : {"map", "pass", "fold", "copy", "fill"}
        Which function of `grid` returns it.
    arguments : tuple
        What that function is given.
    strided : int
        Dimensions of the arrays if one has strides; 0 if all are contiguous.
    most_registers : int or None
        How many ptxas may give a thread.
    """

    kind: str
    arguments: tuple[Any, ...]
    strided: int = 0
    most_registers: int | None = None

    @property
    def parameters(self) -> tuple[Parameter | tuple[Parameter, ...], ...]:
        """What it is called with; some are passed in a tuple."""
        return _PARAMETERS[self.kind](*self.arguments)


def of_pass(spec: Pass, *, maps: bool = False) -> Kernel:
    """Return the kernel of a pass, or of one that only maps its first argument."""
    return Kernel("map" if maps else "pass", (spec,), spec.strided, spec.most_registers)


_INT = Parameter("int")
_TABLE = Parameter("cells", "float64", ROWS * COLUMNS)
_TOTALS = Parameter("cells", "float64", ROWS)


def _of_map(spec: Pass) -> Any:
    return _INT, Parameter("array", spec.inputs[0]), Parameter("array", spec.result)


def _of_pass(spec: Pass) -> Any:
    inputs = tuple(Parameter("array", number) for number in spec.dtypes)
    # What is not stored is the first argument once more.
    outputs = tuple(
        Parameter("array", spec.result if stored else spec.inputs[0])
        for stored in (spec.losses, spec.gradients)
    )
    cells = _TOTALS, _TABLE, _TOTALS, Parameter("cells", spec.result, 1)
    return (_INT,) * 4, inputs, outputs, cells


def _of_fold(result: str) -> Any:
    return (_INT,) * 3, _TABLE, _TOTALS, Parameter("cells", result, 1)


def _of_copy(number: str, strided: int) -> Any:
    return _INT, Parameter("array", number), Parameter("cells", number)


def _of_fill(number: str, strided: int) -> Any:
    return _INT, Parameter("value", number), Parameter("array", number)


_PARAMETERS: dict[str, Any] = {
    "map": _of_map,
    "pass": _of_pass,
    "fold": _of_fold,
    "copy": _of_copy,
    "fill": _of_fill,
}


def flattened(kernel: Kernel) -> Iterator[Parameter]:
    """Yield the parameters one after the other."""
    for parameter in kernel.parameters:
        if isinstance(parameter, Parameter):
            yield parameter
        else:
            yield from parameter


def packing(kernel: Kernel) -> struct.Struct:
    """Return how the numbers and addresses lie in memory."""
    codes = {"float32": "f", "float64": "d", "int8": "b"}
    array = "Q" + "q" * (2 * kernel.strided)
    kinds = {"int": "q", "array": array, "cells": "Q"}
    return struct.Struct(
        "".join(
            kinds.get(p.kind) or codes[str(computed_dtype(p.number))] for p in flattened(kernel)
        )
    )


def offsets(layout: struct.Struct) -> list[int]:
    """Return where each number and address starts."""
    codes = layout.format
    return [struct.calcsize(codes[: k + 1]) - struct.calcsize(codes[k]) for k in range(len(codes))]
