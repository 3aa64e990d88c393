"""The exceptions that are the project's own."""

from __future__ import annotations


class ImplementationUnavailableError(RuntimeError):
    """A named implementation cannot run here; the message says what is missing."""
