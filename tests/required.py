"""What cannot run here is skipped by name, unless this machine must be able to."""

from __future__ import annotations

import os
from typing import NoReturn

import pytest


def missing(name: str, reason: str) -> NoReturn:
    """Skip; fail if XENT_REQUIRE has the name."""
    if name in os.environ.get("XENT_REQUIRE", "").split(","):
        pytest.fail(f"{name} is required by XENT_REQUIRE and cannot run here: {reason}")
    pytest.skip(f"{name}: {reason}")
