"""Compiled code on disk: a hint, which is checked before it is used and replaced if it is wrong.

One file holds the code of one kernel for one signature. Its name is a digest of all that decides
the code, callees in other files included (which Numba's own key leaves out: numba#1833,
numba#9483), so that what differs in anything is in another file. It is written aside and renamed:
what was interrupted is not there. It begins with a digest of its bytes and the key it was made
for, and both are compared before a byte is unpickled.
"""

from __future__ import annotations

import contextlib
import hashlib
import inspect
import pickle
import pkgutil
import secrets
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator, Mapping
from functools import cache
from pathlib import Path
from types import FunctionType
from typing import IO, Any

import llvmlite
import numba
import numpy as np
from numba import njit
from numba.core.bytecode import FunctionIdentity
from numba.core.caching import NullCache
from numba.core.compiler import CompileResult
from numba.core.serialize import dumps
from numba.misc.appdirs import AppDirs

from xent_numba import kernels
from xent_numba.results import files

# Numba names a function's symbol by its name, its types and a count of the functions that the
# process compiled. Code of two closures of one name, kept by two processes that had counted alike,
# would have one symbol, and a process that loads both would run one for the other.
FunctionIdentity._unique_ids = iter(lambda: secrets.randbits(62), None)

_VERSIONS = sys.version, np.__version__, numba.__version__, llvmlite.__version__
_NOT_IN_CODE = (
    "CACHE_", "COLOR_SCHEME", "CUDA_", "DISABLE_PERFORMANCE", "FUNCTION_CACHE", "GDB_",
    "NUMBA_DEFAULT_NUM", "NUMBA_NUM", "THREADING_LAYER",
)  # fmt: skip
"""How the settings begin that leave the code as it is; any other, known or not, is in the key."""

_DIGEST_BYTES = 32
_LENGTH_BYTES = 8
_PATIENCE = 120.0
"""Seconds after which a process no longer waits for another that compiles."""

_OLD = 30 * 24 * 3600
"""Seconds after which code for other sources, settings or types may be deleted."""


def _sources(spec: Any) -> Iterator[bytes]:
    """The sources of a module and of those in it, from a folder or a zip archive."""
    yield spec.loader.get_data(spec.origin)
    for place in spec.submodule_search_locations or ():
        for module in sorted(pkgutil.iter_modules([place]), key=lambda module: module.name):
            yield module.name.encode()
            yield from _sources(module.module_finder.find_spec(module.name, None))


def _digest_of_sources(module: str) -> str | None:
    """SHA-256 of all kernels and one more module; None where that has no source to be read."""
    try:
        own = inspect.getsource(sys.modules[module]).encode()
    except (OSError, TypeError):
        return None
    digest = hashlib.sha256(own)
    for part in _sources(kernels.__spec__):
        digest.update(hashlib.sha256(part).digest())
    return digest.hexdigest()


_imported = cache(_digest_of_sources)
"""The same as it was when this process first asked, which is while it imports the module."""


@cache
def _folder() -> Path | None:
    """The first folder that can be written: the one asked for, beside the sources, the user's."""
    mine = "xent_numba"
    asked = [Path(numba.config.CACHE_DIR, mine).absolute()] if numba.config.CACHE_DIR else []
    users = Path(AppDirs(appname="numba", appauthor=False).user_cache_dir, mine)
    for folder in (*asked, Path(__file__).with_name("__pycache__"), users):
        with contextlib.suppress(OSError):
            folder.mkdir(parents=True, exist_ok=True)
            tempfile.TemporaryFile(dir=folder).close()
            return folder
    warnings.warn(
        "no folder for compiled code can be written, so every process compiles anew; set "
        "NUMBA_CACHE_DIR to a folder that can be",
        RuntimeWarning,
        stacklevel=2,
    )
    return None


_said: set[str] = set()


def _say_once(problem: str, path: Path, error: Exception) -> None:
    """Warn that a file cannot be read or written, of each the first time in a process."""
    if problem not in _said:
        _said.add(problem)
        warnings.warn(
            f"compiled code in {path} {problem} ({type(error).__name__}: {error}); it is compiled "
            "again, here and where else that happens; set NUMBA_CACHE_DIR to another folder if it "
            "goes on",
            RuntimeWarning,
            stacklevel=3,
        )


def _seal(key: bytes, code: bytes) -> bytes:
    """What a file holds: the digest of the rest, the length of the key, the key, the code."""
    rest = len(key).to_bytes(_LENGTH_BYTES, "little") + key + code
    return hashlib.sha256(rest).digest() + rest


def _open(sealed: bytes, key: bytes) -> bytes:
    """The code in what `_seal` made; ValueError where it is not whole or not for this key."""
    if hashlib.sha256(memoryview(sealed)[_DIGEST_BYTES:]).digest() != sealed[:_DIGEST_BYTES]:
        raise ValueError("its bytes do not have the digest that was written with them")
    start = _DIGEST_BYTES + _LENGTH_BYTES
    length = int.from_bytes(sealed[_DIGEST_BYTES:start], "little")
    if sealed[start : start + length] != key:
        raise ValueError("it was made for another key")
    return sealed[start + length :]


class _Turn:
    """The right to compile what belongs into a file; no process has it that has ended."""

    def __init__(self, path: Path) -> None:
        self._path = path.with_suffix(".lock")
        self._file: IO[bytes] | None = None

    def take(self) -> None:
        """Wait for it, for a while; where files cannot be locked, nobody waits."""
        with contextlib.suppress(ImportError, OSError):
            import fcntl

            self._file = self._path.open("ab")
            end = time.monotonic() + _PATIENCE
            while time.monotonic() < end:
                with contextlib.suppress(BlockingIOError):
                    fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    return
                time.sleep(0.02)

    def withdraw(self) -> None:
        """Let nobody join those who wait, so that no file is left."""
        with contextlib.suppress(OSError):
            self._path.unlink()

    def give_back(self) -> None:
        """Let the next one look for the code."""
        if self._file is not None:
            self._file.close()


class KernelCache(NullCache):  # type: ignore[misc]
    """Where Numba's dispatcher looks for compiled code, and leaves it, by signature.

    Parameters
    ----------
    function : function
        The source of its module is part of the key, as are those of all kernels.
    name : str
        Tells it from all other functions.
    options : mapping of str to object
        What it is compiled with.
    """

    def __init__(self, function: Callable[..., Any], name: str, options: Mapping[str, Any]) -> None:
        self._name = name
        self._module = function.__module__
        self._made_of = _imported(self._module), name, sorted(options.items())
        self._enabled = self._made_of[0] is not None
        self._turns: dict[Path, _Turn] = {}

    def disable(self) -> None:
        """Compile from here on."""
        self._enabled = False

    def _place(self, signature: Any, codegen: Any) -> tuple[Path | None, bytes]:
        """The file for a signature, None where there is no folder, and its whole key."""
        settings = {
            name: value
            for name, value in sorted(vars(numba.config).items())
            if name.isupper() and not name.startswith(_NOT_IN_CODE)
        }
        whole = self._made_of, _VERSIONS, codegen.magic_tuple(), settings, signature
        key = repr(whole).encode()
        folder = _folder() if self._enabled else None
        name = f"{self._name}-{hashlib.sha256(key).hexdigest()[:32]}.nbc"
        return (None if folder is None else folder / name), key

    def load_overload(self, sig: Any, target_context: Any) -> Any:
        """The code for a signature, or None where it has to be compiled."""
        target_context.refresh()
        path, key = self._place(sig, target_context.codegen())
        if path is None:
            return None
        code = self._read(path, key, target_context)
        if code is None:
            if path in self._turns:  # what was compiled last raised an error
                self._turns.pop(path).give_back()
            turn = self._turns[path] = _Turn(path)
            turn.take()
            code = self._read(path, key, target_context)
            if code is not None:
                del self._turns[path]
                turn.withdraw()
                turn.give_back()
        return code

    def _read(self, path: Path, key: bytes, target_context: Any) -> Any:
        try:
            code = pickle.loads(_open(path.read_bytes(), key))  # noqa: S301 -- opened: ours, whole
            return CompileResult._rebuild(target_context, *code)
        except FileNotFoundError:
            return None
        except Exception as error:  # noqa: BLE001 -- whatever is wrong with a hint
            _say_once("cannot be used", path, error)
            return None

    def save_overload(self, sig: Any, data: Any) -> None:
        """Keep the code for a signature, unless it holds addresses or its sources have changed."""
        path, key = self._place(sig, data.codegen)
        if path is None:
            return
        turn = self._turns.pop(path, None)
        try:
            if data.library.has_dynamic_globals:
                return
            if _digest_of_sources(self._module) == self._made_of[0]:
                files.write(path, _seal(key, dumps(data._reduce())))
                self._delete_old(path.parent)
        except Exception as error:  # noqa: BLE001 -- who compiled has the code, kept or not
            _say_once("cannot be written", path, error)
        finally:
            # Only now: who comes later, and finds no turn to wait for, finds the code.
            if turn is not None:
                turn.withdraw()
                turn.give_back()

    def _delete_old(self, folder: Path) -> None:
        # What was interrupted while it was written begins with a dot.
        for path in (*folder.glob(f"{self._name}-*"), *folder.glob(f".{self._name}-*")):
            with contextlib.suppress(OSError):
                if path.stat().st_mtime < time.time() - _OLD:
                    path.unlink()


def kernel(name: str, **options: Any) -> Callable[[Callable[..., Any]], Any]:
    """Compile on the first call, with NumPy's division unless told, and keep the code.

    The name becomes the function's as well.
    """

    def decorate(function: Callable[..., Any]) -> Any:
        renamed = named(function, name)
        dispatcher = njit(**{"error_model": "numpy"} | options)(renamed)
        if dispatcher is not renamed:  # as it is under NUMBA_DISABLE_JIT
            dispatcher._cache = KernelCache(renamed, name, options)
        return dispatcher

    return decorate


def named(function: Callable[..., Any], name: str) -> FunctionType:
    """The same function under another name."""
    renamed = FunctionType(
        function.__code__,
        function.__globals__,
        name,
        function.__defaults__,
        function.__closure__,
    )
    renamed.__qualname__ = name
    renamed.__doc__ = function.__doc__
    return renamed
