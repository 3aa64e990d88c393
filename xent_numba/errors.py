"""The exceptions that are the project's own."""

from __future__ import annotations


class ImplementationUnavailableError(RuntimeError):
    """A named implementation cannot run here; the message says what is missing."""


class ResultFileError(ValueError):
    """A file does not hold the result that it should; the message names it and says why."""


class UsageError(Exception):
    """What was asked of a command cannot be done; the message says why, in one sentence."""
