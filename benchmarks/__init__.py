"""The asv benchmarks. Importing them compiles, imports and probes nothing.

asv runs every parameter set in a process of its own. So that each does not compile anew, and none
loads what other sources were compiled to, Numba keeps its code in a folder named after the sources
of the package and the environment.
"""

import hashlib
import os
import sys
from importlib import util
from pathlib import Path


def _cache_folder() -> Path:
    digest = hashlib.sha256(sys.prefix.encode())
    spec = util.find_spec("xent_numba")
    for source in sorted(Path(spec.origin).parent.rglob("*.py")):
        digest.update(source.read_bytes())
    return Path(__file__).resolve().parent.parent / ".asv" / "numba" / digest.hexdigest()[:16]


os.environ.setdefault("NUMBA_CACHE_DIR", str(_cache_folder()))
