"""Print the path of a Chromium: the system's, or one that is fetched into .venv.

A bare machine has none. Playwright's own is not on any package registry; the one of the npm package
@sparticuz/chromium is, and comes with the libraries and the font that it needs beyond libc.
"""

from __future__ import annotations

import io
import os
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path

from npm import pack

NAMES = ("chromium", "chromium-browser", "google-chrome", "chrome")
PACKAGE = "@sparticuz/chromium@153.0.0"


def fetch(folder: Path) -> Path:
    """Unpack the browser, and write a script that starts it with its libraries."""
    subprocess.run([sys.executable, "-m", "pip", "install", "--quiet", "brotli"], check=True)
    import brotli

    with tarfile.open(pack(PACKAGE, folder)) as package:
        for member in ("chromium", "al2023.tar", "fonts.tar", "swiftshader.tar"):
            packed = package.extractfile(f"package/bin/{member}.br")
            assert packed is not None
            content = brotli.decompress(packed.read())
            if member.endswith(".tar"):
                with tarfile.open(fileobj=io.BytesIO(content)) as inner:
                    inner.extractall(folder, filter="data")
            else:
                (folder / "browser").write_bytes(content)
    (folder / "browser").chmod(0o755)
    (folder / "fonts.conf").write_text(
        f"<fontconfig><dir>{folder}/fonts</dir><cachedir>{folder}/cache</cachedir></fontconfig>"
    )
    script = folder / "chromium"
    script.write_text(
        f'#!/bin/sh\nexport LD_LIBRARY_PATH="{folder}/lib" FONTCONFIG_FILE="{folder}/fonts.conf"\n'
        f'exec "{folder}/browser" "$@"\n'
    )
    script.chmod(0o755)
    return script


def main() -> None:
    """Find one, or fetch it."""
    known = (os.environ.get("XENT_BROWSER"), *map(shutil.which, NAMES))
    folder = Path(sys.prefix).resolve() / "chromium"
    fetched = folder / "chromium"
    print(next(filter(None, known), None) or (fetched if fetched.exists() else fetch(folder)))


if __name__ == "__main__":
    main()
