"""The asv benchmarks: what of this package may change from one commit to the next.

Importing them compiles and probes nothing. `times` and `qualities` are the history; they call
public functions only, so that they run on commits of any age. `more` has what asv measures if it is
asked by ``--bench``.

asv runs every parameter set in a process of its own. So that each does not compile anew, and none
loads what other sources were compiled to, Numba keeps its code in a folder named after the sources
of the package and the environment.
"""

import hashlib
import os
import re
import sys
from importlib import metadata, util
from pathlib import Path


def _cache_folder() -> Path:
    digest = hashlib.sha256(sys.prefix.encode())
    spec = util.find_spec("xent_numba")
    for source in sorted(Path(spec.origin).parent.rglob("*.py")):
        digest.update(source.read_bytes())
    return Path(__file__).resolve().parent.parent / ".asv" / "numba" / digest.hexdigest()[:16]


def check_versions(environment: str) -> None:
    """Refuse to measure what would be filed under versions that do not run.

    asv installs one requirement after another, and any of them may bring another version of one
    before it.
    """
    for name, version in re.findall(r"pip\+([a-z]+)(\d[\d.]*)", environment):
        if (found := metadata.version(name)) != version:
            raise RuntimeError(f"{environment} has {name} {found}; accepted is {version}")


check_versions(os.environ.get("ASV_ENV_NAME", ""))
os.environ.setdefault("NUMBA_CACHE_DIR", str(_cache_folder()))
