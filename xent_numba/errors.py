"""The exceptions that are the project's own."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class ImplementationUnavailableError(RuntimeError):
    """A named implementation cannot run here; the message says what is missing."""


class ResultFileError(ValueError):
    """A file does not hold the result that it should; the message names it and says why."""


class UsageError(Exception):
    """What was asked of a command cannot be done; the message says why, in one sentence."""


def not_one_of(accepted: Iterable[str], value: object) -> str:
    """Say of a name that it is none of those that are accepted, and which it may be meant to be."""
    names = list(accepted)
    near = difflib.get_close_matches(str(value), names, n=1)
    hint = f" (did you mean {near[0]!r}?)" if near else ""
    return f"{value!r}{hint}; accepted are {', '.join(names)}"
