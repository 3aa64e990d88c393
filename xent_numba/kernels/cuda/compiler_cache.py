"""Machine code kept on disk: a process after the first starts without the compiler.

The key is everything that the code depends on: the sources of the kernels, the versions of what
compiles them, the compute capability, and which kernel it is. Whatever is wrong with a file, it is
compiled again.
"""

from __future__ import annotations

import hashlib
import os
from functools import cache
from importlib import metadata
from pathlib import Path

from xent_numba.kernels.cuda.signature import Kernel
from xent_numba.results import files

COMPILERS = (
    "numba",
    "numba-cuda",
    "llvmlite",
    "cuda-core",
    "nvidia-nvvm",
    "nvidia-nvvm-cu12",
    "nvidia-nvjitlink",
    "nvidia-nvjitlink-cu12",
)
_DIGEST = hashlib.sha256().digest_size


def folder() -> Path:
    """Return where machine code is kept: beside Numba's own where that was moved."""
    if moved := os.environ.get("NUMBA_CACHE_DIR"):
        return Path(moved, "xent_numba_cuda")
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache", "xent_numba", "cuda")


@cache
def source() -> bytes:
    """Return a digest of the kernels' sources, and of the versions of what compiles them."""
    digest = hashlib.sha256()
    here = Path(__file__).parent
    for path in sorted([*here.glob("*.py"), *(here.parent / "cpu").glob("*.py")]):
        digest.update(path.name.encode() + path.read_bytes())
    for package in COMPILERS:
        try:
            version = metadata.version(package)
        except metadata.PackageNotFoundError:
            version = "none"
        digest.update(f"{package} {version}\n".encode())
    return digest.digest()


def cubin(kernel: Kernel, capability: tuple[int, int]) -> bytes:
    """Return the machine code of a kernel: the kept one, or a new one, which is then kept."""
    key = hashlib.sha256(source() + repr((kernel, capability)).encode()).hexdigest()
    try:
        path = folder() / f"{key}.cubin"
        kept = path.read_bytes()
        if hashlib.sha256(kept[_DIGEST:]).digest() == kept[:_DIGEST]:
            return kept[_DIGEST:]
    except (OSError, RuntimeError):  # no home directory, no permission, no file
        pass
    from xent_numba.kernels.cuda import compiler

    code = compiler.cubin(kernel, capability)
    try:
        path = folder() / f"{key}.cubin"
        path.parent.mkdir(parents=True, exist_ok=True)
        files.write(path, hashlib.sha256(code).digest() + code)
    except (OSError, RuntimeError):
        pass  # without a place to keep it in, it is compiled once a process
    return code
