"""What is said on the terminal: in letters it has, and without losing a run if it is closed."""

from __future__ import annotations

import codecs
import contextlib
import io
import os
import time
import unicodedata
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, TextIO

from xent_numba.measurement.statistics import time_left

if TYPE_CHECKING:
    from rich.console import Console

_PLAIN = "xent_numba.plain"
_ASCII = {"±": "+-", "×": "x", "µ": "u", "≥": ">=", "∞": "inf", "²": "^2", "…": "...", "–": "-"}  # noqa: RUF001


def _plain(error: UnicodeError) -> tuple[str, int]:
    assert isinstance(error, UnicodeEncodeError)
    missing = error.object[error.start : error.end]
    return "".join(_ASCII.get(letter) or _without_marks(letter) for letter in missing), error.end


def _without_marks(letter: str) -> str:
    return unicodedata.normalize("NFKD", letter).encode("ascii", "ignore").decode() or "?"


codecs.register_error(_PLAIN, _plain)


class Output:
    """A stream that is written to as long as that works.

    Results are in files before they are printed, so that a closed pipe or a full disk costs what
    would have been printed, and nothing else.

    Parameters
    ----------
    stream : file object or None
        Where to; nowhere if it is None.

    Attributes
    ----------
    error : OSError or None
        What it failed with.
    """

    def __init__(self, stream: TextIO | None) -> None:
        self._stream = stream or io.StringIO()
        self.error: OSError | None = None
        self.encoding = self._stream.encoding or "ascii"

    def write(self, text: str) -> int:
        """Write text; letters that the stream cannot encode are spelled in ASCII."""
        known = text.encode(self.encoding, _PLAIN).decode(self.encoding)
        self._try(lambda: self._stream.write(known))
        return len(text)

    def flush(self) -> None:
        """Write out what waits."""
        self._try(self._stream.flush)

    def isatty(self) -> bool:
        """Whether a person reads it."""
        return self._stream.isatty()

    def fileno(self) -> int:
        """Its number."""
        return self._stream.fileno()

    def _try(self, act: Callable[[], object]) -> None:
        if self.error is not None:
            return
        try:
            act()
        except OSError as error:
            self.error = error
            # What waits in its buffer would fail again when Python ends.
            with contextlib.suppress(OSError, ValueError):
                nowhere = os.open(os.devnull, os.O_WRONLY)
                os.dup2(nowhere, self._stream.fileno())
                os.close(nowhere)


def console(output: Output) -> Console:
    """Return what draws tables on a stream."""
    from rich.console import Console

    return Console(file=output, highlight=False)  # type: ignore[arg-type]


class Progress:
    """Progress in lines, the first after `FIRST` seconds, then one every `EVERY`.

    Parameters
    ----------
    output : Output
        Where to.
    """

    FIRST, EVERY = 5.0, 10.0

    def __init__(self, output: Output) -> None:
        self._output, self._started = output, time.monotonic()
        self._next = self._started + min(self.FIRST, self.EVERY)

    def __call__(self, what: str, done: float) -> None:
        """Say what is being done, the fraction of it that is done, and when it will be."""
        now = time.monotonic()
        if now >= self._next:
            self._next = now + self.EVERY
            left = time_left(self._started, done)
            about = "" if left is None else f", about {left:.0f} s left"
            self._output.write(f"{done:4.0%} {what}{about}\n")
            self._output.flush()

    def above(self, act: Callable[[], object]) -> None:
        """Print something in between."""
        act()


class Bar(Progress):
    """Progress as a bar that is gone in the end."""

    def __init__(self, output: Output) -> None:
        super().__init__(output)
        from rich import progress

        self.shown = progress.Progress(
            progress.TextColumn("{task.description}", markup=False),
            progress.BarColumn(),
            progress.TaskProgressColumn(),
            progress.TimeElapsedColumn(),
            progress.TextColumn("left:"),
            progress.TimeRemainingColumn(),
            console=console(output),
            transient=True,
        )
        self._task = self.shown.add_task("starting", total=1.0)

    def __call__(self, what: str, done: float) -> None:
        """Say what is being done, and the fraction of it that is done."""
        self.shown.update(self._task, description=what, completed=done)

    def above(self, act: Callable[[], object]) -> None:
        """Print something; the bar goes on below."""
        self.shown.stop()
        act()
        self._output.flush()
        self.shown.start()


@contextlib.contextmanager
def progress(output: Output) -> Iterator[Progress]:
    """Show a bar that is gone in the end; where nobody looks, a line now and then."""
    if not output.isatty():
        yield Progress(output)
        return
    bar = Bar(output)
    with bar.shown:
        yield bar
