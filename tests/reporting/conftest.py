"""A report of fabricated measurements."""

from __future__ import annotations

import fabricated
import pytest

from xent_numba import cli


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A report of fabricated measurements."""
    folder = tmp_path_factory.mktemp("reports")
    fabricated.write(folder)
    assert cli.main(["report", "--folder", str(folder)]) == 0
    return folder


@pytest.fixture(scope="module")
def html(folder):
    return (folder / "index.html").read_text()
