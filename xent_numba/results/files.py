"""Reports on disk: whole or not at all, and the same for the same data."""

from __future__ import annotations

import io
import os
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def write(path: Path, content: str | bytes) -> None:
    """Write aside and rename, so that an interruption leaves no half of a file."""
    data = content.encode() if isinstance(content, str) else content
    descriptor, aside = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}-")
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
        # mkstemp keeps others out; a report is as readable as any new file.
        mask = os.umask(0)
        os.umask(mask)
        Path(aside).chmod(0o666 & ~mask)
        Path(aside).replace(path)
    except BaseException:
        Path(aside).unlink()
        raise


def svg(figure: Figure) -> bytes:
    """Return a picture without a date and with a fixed salt; white, on dark pages too."""
    from matplotlib import rc_context

    stream = io.BytesIO()
    with rc_context({"svg.hashsalt": "xent-numba"}):
        figure.savefig(stream, format="svg", facecolor="white", metadata={"Date": None})
    return stream.getvalue()
