"""Compiled code kept on disk for as long as the sources it was made from stay the same.

Numba's own key does not tell which functions a function calls or, across processes, closes
over (numba#1833, numba#9483): after an edit of a callee it would serve stale code.
Here the kernel's name and a digest of all kernel sources do.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from functools import cache
from pathlib import Path
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

    Where no folder for the cache can be written, the code is compiled by every process anew.
    """

    def decorate(function: Callable[..., Any]) -> Any:
        dispatcher = njit(error_model="numpy", **options)(function)
        try:
            dispatcher._cache = KernelCache(function, name)
        except RuntimeError:  # no locator: nowhere to write
            pass
        return dispatcher

    return decorate
