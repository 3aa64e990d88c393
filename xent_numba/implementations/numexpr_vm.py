"""numexpr: stable formulas in its virtual machine, block by block on all threads, sums by NumPy.

numexpr can sum as well, but on one thread.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy import ndarray

from xent_numba import reduction
from xent_numba.operations import Call
from xent_numba.peer import bind_filled, missing, threads
from xent_numba.registry import implements

_WRONG = "where(s > 0, 1 - y, y)"
_FORMULAS = {
    "sigmoid": "where(s >= 0, 1, exp(-abs(s))) / (1 + exp(-abs(s)))",
    "logistic_loss": "where(y * s < 0, -y * s, 0) + log1p(exp(-abs(s)))",
    "binary_cross_entropy_with_logits": (
        f"where({_WRONG} == 0, 0, {_WRONG} * abs(s)) + log1p(exp(-abs(s)))"
    ),
    "binary_cross_entropy": (
        "where(y == 0, 0, -y * log(p)) + where(y == 1, 0, (y - 1) * log1p(-p))"
    ),
}


DISTRIBUTION = "numexpr"


def unavailable() -> str | None:
    """See `registry`."""
    return missing("numexpr", "'xent-numba[bench]'")


def bind(operation: str, inputs: tuple[ndarray, ...], reduction: str) -> Callable[[], Any]:
    """See `registry`."""
    import numexpr

    numexpr.set_num_threads(threads())
    kind = float if inputs[0].dtype == np.float32 else np.double  # as numexpr names them
    names = _names(operation)[: len(inputs)]
    # Compiled once: `evaluate` looks its formula up anew in every call.
    compiled = numexpr.NumExpr(_FORMULAS[operation], [(name, kind) for name in names])
    order = [names.index(name) for name in compiled.input_names]

    def fill(*arrays: ndarray) -> ndarray:
        compiled(*(arrays[i] for i in order), out=arrays[-1], ex_uses_vml=False)
        return arrays[-1]

    return bind_filled(fill, inputs, reduction)


def _names(operation: str) -> tuple[str, str]:
    return ("p" if operation == "binary_cross_entropy" else "s", "y")


def _values(operation: str, *inputs: ndarray) -> ndarray:
    import numexpr

    names = dict(zip(_names(operation), inputs, strict=False))
    return np.asarray(numexpr.evaluate(_FORMULAS[operation], names, {}))


@implements(
    "sigmoid",
    formulation="stable",
    max_ulp={"float32": 3, "float64": 3},
    summary="numexpr.evaluate of 1 / (1 + exp(-s)), exp of a negative number only.",
)
@implements(
    "logistic_loss",
    formulation="stable",
    max_ulp={"float32": 2, "float64": 2},
    summary="numexpr.evaluate of max(-y s, 0) + log1p(exp(-|s|)).",
)
@implements(
    "binary_cross_entropy_with_logits",
    formulation="stable",
    max_ulp={"float32": 2, "float64": 2},
    summary=(
        "numexpr.evaluate of w |s| + log1p(exp(-|s|)), w the share of the label across from s."
    ),
)
@implements(
    "binary_cross_entropy",
    formulation="stable",
    max_ulp={"float32": 2, "float64": 2},
    max_ulp_soft={"float32": 3, "float64": 3},
    summary=(
        "numexpr.evaluate of -[y log(p) + (1 - y) log1p(-p)], a class of weight zero adds nothing."
    ),
)
def compute(call: Call) -> Any:
    """Evaluate the formula of the operation."""
    return reduction.evaluate(call, functools.partial(_values, call.operation.name))
