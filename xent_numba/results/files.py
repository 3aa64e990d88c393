"""How a file is written: whole or not at all."""

from __future__ import annotations

import os
import stat
import tempfile
from pathlib import Path


def write(path: Path, content: str | bytes) -> None:
    """Write a file so that an interruption leaves what was there before.

    What cannot be replaced without becoming something else is written in place: a pipe, a device,
    a socket. A symbolic link goes on pointing where it points.

    Parameters
    ----------
    path : pathlib.Path
        Where to; its folder exists.
    content : str or bytes
        All of it; text is encoded as UTF-8.

    Raises
    ------
    OSError
        If it cannot be written; `filename` is `path`.
    """
    data = content.encode() if isinstance(content, str) else content
    try:
        try:
            mode = path.stat().st_mode
        except FileNotFoundError:
            mode = None
        if mode is None or stat.S_ISREG(mode):
            _replace(Path(os.path.realpath(path)), data, mode)
        else:
            with path.open("wb", buffering=0) as stream:
                left = memoryview(data)
                while left:
                    left = left[stream.write(left) :]
    except OSError as error:
        error.filename, error.filename2 = os.fspath(path), None
        raise


def _replace(target: Path, data: bytes, mode: int | None) -> None:
    descriptor, aside = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name[:100]}-")
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(descriptor)
        if mode is None:
            # mkstemp keeps others out; a report is as readable as any new file.
            mask = os.umask(0)
            os.umask(mask)
            mode = 0o666 & ~mask
        Path(aside).chmod(stat.S_IMODE(mode))
        Path(aside).replace(target)
    except BaseException:
        Path(aside).unlink()
        raise
