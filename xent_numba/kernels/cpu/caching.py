"""Compiled code kept on disk for as long as the sources it was made from stay the same.

Numba's own key does not tell which functions a function calls or, across processes, closes
over (numba#1833, numba#9483): after an edit of a callee it would serve stale code.
Here the kernel's name and a digest of all kernel sources do.
"""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Callable
from functools import cache
from pathlib import Path
from types import FunctionType
from typing import Any

import numpy as np
from numba import njit, types
from numba.core.caching import FunctionCache, IndexDataCacheFile
from numba.np.ufunc.ufuncbuilder import UFuncBuilder


@cache
def sources_digest() -> str:
    """SHA-256 of the kernel sources."""
    digest = hashlib.sha256()
    for path in sorted(Path(__file__).parents[1].rglob("*.py")):
        digest.update(path.read_bytes())
    return digest.hexdigest()


class KernelCache(FunctionCache):  # type: ignore[misc]
    """One index file for each name, void when any kernel source has changed."""

    def __init__(self, function: Callable[..., Any], name: str) -> None:
        super().__init__(function)
        self._cache_file = IndexDataCacheFile(self._cache_path, name, sources_digest())

    def _index_key(self, signature: Any, codegen: Any) -> tuple[Any, ...]:
        return signature, codegen.magic_tuple()


def kernel(name: str, **options: Any) -> Callable[[Callable[..., Any]], Any]:
    """Compile on the first call, with NumPy's division, and keep the code under the name.

    The name becomes the function's as well: Numba derives symbols from it and a counter, so
    that two closures of one name, cached by different processes, could share a symbol, and one
    would be run for the other.

    Where no folder for the cache can be written, every process compiles anew.
    """

    def decorate(function: Callable[..., Any]) -> Any:
        named = _named(function, name)
        dispatcher = njit(error_model="numpy", **options)(named)
        # Numba raises RuntimeError where it finds no folder to write to.
        with contextlib.suppress(RuntimeError):
            dispatcher._cache = KernelCache(named, name)
        return dispatcher

    return decorate


def ufunc(name: str, function: Callable[[float], float]) -> np.ufunc:
    """Compile a function of one float to a NumPy ufunc, and keep the code under the name.

    NumPy calls a ufunc in a third of the time that Numba takes to look at an array.
    """
    named = _named(function, name)
    builder = UFuncBuilder(named, targetoptions={"nopython": True})
    with contextlib.suppress(RuntimeError):
        builder.nb_func.cache = KernelCache(named, name)
    for dtype in (types.float32, types.float64):
        builder.add(dtype(dtype))
    return builder.build_ufunc()


def _named(function: Callable[..., Any], name: str) -> FunctionType:
    named = FunctionType(
        function.__code__,
        function.__globals__,
        name,
        function.__defaults__,
        function.__closure__,
    )
    named.__qualname__ = name
    named.__doc__ = function.__doc__
    return named
