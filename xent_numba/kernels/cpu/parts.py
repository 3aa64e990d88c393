"""Parts: compiled functions that only compiled functions call, left for their callers to optimise.

Numba optimises every function by itself, twice, and makes machine code of it, then links what it
optimised into each caller and does so again. Of a part nothing runs by itself: it is linked as it
was lowered, and optimised once in every kernel that it is part of.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from numba.core.codegen import JITCodeLibrary
from numba.core.compiler import Compiler


class _Part(JITCodeLibrary):  # type: ignore[misc]
    """A function and those that it calls, as LLVM gets them."""

    def _optimize_functions(self, _module: Any) -> None:
        pass

    def _optimize_final_module(self) -> None:
        pass

    def _finalize_final_module(self) -> None:
        self._finalize_dynamic_globals()
        self._verify_declare_only_symbols()
        self._finalized = True

    def get_pointer_to_function(self, _name: str) -> int:
        """There is no machine code."""
        return 0

    @property
    def codegen(self) -> _Part:
        """Who tells machine code of its environment, which is nobody."""
        return self

    def set_env(self, _name: str, _environment: Any) -> None:
        """Leave it to whoever calls the part to have an environment."""


class PartCompiler(Compiler):  # type: ignore[misc]
    """Numba's compiler, which leaves the rest to that of the caller."""

    def compile_extra(self, func: Callable[..., Any]) -> Any:
        """Compile a function."""
        codegen = self.state.targetctx.codegen()
        self.state.library = _Part(codegen, func.__qualname__)
        return super().compile_extra(func)
