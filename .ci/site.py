"""Print the folder of the scripts that asv's site asks the network for, fetched into .venv.

The test of the published site serves them itself: a machine that tests may see no other network
than package registries.
"""

from __future__ import annotations

import sys
import tarfile
from pathlib import Path

from npm import pack

PACKAGES = (
    "jquery@3.3.1",
    "flot@0.8.3",
    "flot-orderbars@1.0.0",
    "blueimp-md5@2.19.0",
    "bootstrap@3.1.1",
)


def main() -> None:
    """Find them, or fetch them."""
    folder = Path(sys.prefix).resolve() / "site-scripts"
    for package in PACKAGES:
        name, _ = package.split("@")
        if not (folder / name).exists():
            with tarfile.open(pack(package, folder)) as archive:
                archive.extractall(folder / f"{name}.part", filter="data")
            (inner,) = (folder / f"{name}.part").iterdir()
            inner.rename(folder / name)
    print(folder)


if __name__ == "__main__":
    main()
