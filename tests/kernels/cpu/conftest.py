"""A module with a kernel, and the folder that its compiled code is kept in."""

from __future__ import annotations

import pytest
from compiling import KERNEL, call


@pytest.fixture
def small(tmp_path):
    """A folder with the module `small`, which calls its kernel."""
    folder = tmp_path / "small"
    folder.mkdir()
    (folder / "small.py").write_text(KERNEL)
    return folder


@pytest.fixture
def cache(tmp_path):
    return tmp_path / "cache"


@pytest.fixture
def kept(small, cache):
    """The file in which the code of the small kernel is kept for a float."""
    assert call(small, cache) == (1.5, 0, 0)
    (path,) = cache.rglob("*.nbc")
    return path
