"""Sigmoid and binary cross-entropy: fast, accurate, reproducible kernels, and their benchmark.

The functions below take NumPy arrays, or device arrays with ``__cuda_array_interface__``, and
compute on them with the implementation that is named, by default the fastest for that kind of
array. `implementations` lists them. Nothing is compiled before the first call.

Of device arrays float16 and bfloat16 are computed in float32, and no other dtype becomes float64;
on which device and stream a call computes is in ``docs/cuda.md``.

`vectormath` has the functions of one number for loops of your own; it is imported, and Numba with
it, when it is asked for.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

# The folder first: an import of it sets the name that the function below is to have.
import xent_numba.implementations  # noqa: F401
from xent_numba.api import (
    binary_cross_entropy,
    binary_cross_entropy_with_logits,
    binary_cross_entropy_with_logits_and_grad,
    logistic_loss,
    logistic_loss_and_grad,
    sigmoid,
)
from xent_numba.errors import ImplementationUnavailableError
from xent_numba.registry import implementations

if TYPE_CHECKING:
    from xent_numba import vectormath

__all__ = [
    "ImplementationUnavailableError",
    "binary_cross_entropy",
    "binary_cross_entropy_with_logits",
    "binary_cross_entropy_with_logits_and_grad",
    "implementations",
    "logistic_loss",
    "logistic_loss_and_grad",
    "sigmoid",
    "vectormath",
]
__version__ = "0.1.0"


def __getattr__(name: str) -> Any:
    if name == "vectormath":
        return import_module("xent_numba.vectormath")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return [*__all__, "__version__"]
