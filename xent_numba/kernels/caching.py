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

from numba import njit
from numba.core.caching import FunctionCache, IndexDataCacheFile


@cache
def sources_digest() -> str:
    """SHA-256 of the kernel sources."""
    digest = hashlib.sha256()
    for path in sorted(Path(__file__).parent.glob("*.py")):
        digest.update(path.read_bytes())
    return digest.hexdigest()


class KernelCache(FunctionCache):  # type: ignore[misc]
    """One index file for each name, void when any kernel source has changed."""

    def __init__(self, function: Callable[..., Any], name: str) -> None:
        super().__init__(function)
        self._cache_file = IndexDataCacheFile(self._cache_path, name, sources_digest())

    def _index_key(self, signature: Any, codegen: Any) -> tuple[Any, ...]:
        return signature, codegen.magic_tuple()


def kernel(name: str, **options: bool) -> Callable[[Callable[..., Any]], Any]:
    """Compile on the first call, with NumPy's division, and keep the code under the name.

    The name becomes the function's as well: Numba derives symbols from it and a counter, so
    that two closures of one name, cached by different processes, could share a symbol, and one
    would be run for the other.

    Where no folder for the cache can be written, every process compiles anew.
    """

    def decorate(function: Callable[..., Any]) -> Any:
        named = FunctionType(
            function.__code__,
            function.__globals__,
            name,
            function.__defaults__,
            function.__closure__,
        )
        named.__qualname__ = name
        named.__doc__ = function.__doc__
        dispatcher = njit(error_model="numpy", **options)(named)
        # Numba raises RuntimeError where it finds no folder to write to.
        with contextlib.suppress(RuntimeError):
            dispatcher._cache = KernelCache(named, name)
        return dispatcher

    return decorate
