"""The wheel as somebody gets it who wants the functions: run with ``-I`` where it is alone."""

from __future__ import annotations

import sys
from importlib import metadata, resources
from pathlib import Path

import numpy as np

import xent_numba
from xent_numba import cli

FORBIDDEN = {"tests", "benchmarks", "tools", "docs"}


def check_files() -> None:
    """Fail unless it is installed here, has all of its own files and none of others."""
    folder = Path(xent_numba.__file__).parent
    assert folder.is_relative_to(sys.prefix), f"{folder} is not what was installed"
    for file in ("py.typed", "api.pyi", "reporting/page.html"):
        assert resources.files("xent_numba").joinpath(file).is_file(), f"{file} was left out"
    tops = {file.parts[0] for file in metadata.files("xent-numba") or ()}
    assert not tops & FORBIDDEN, f"the wheel installs {tops & FORBIDDEN} beside the package"


def check_metadata() -> None:
    """Fail where it does not say what it is, who wrote it and where it lives."""
    said = metadata.metadata("xent-numba")
    assert said["Version"] == xent_numba.__version__
    for field in ("Author", "License-Expression", "Requires-Python", "Description"):
        assert said[field], f"the metadata has no {field}"
    addresses = dict(line.split(", ") for line in said.get_all("Project-URL", ()))
    assert {"Repository", "Documentation", "Changelog"} <= addresses.keys()


def check_functions() -> None:
    """Fail where a function or the command does not do its work."""
    scores, labels = np.array([2.0, -1.0], np.float32), np.array([1, -1], np.int8)
    loss, gradient = xent_numba.logistic_loss_and_grad(scores, labels, reduction="sum")
    np.testing.assert_allclose(loss, 0.44018972, rtol=1e-6)
    np.testing.assert_allclose(gradient, [-0.11920292, 0.26894143], rtol=1e-6)
    for arguments in (["--version"], ["info"], ["info", "--cpu"]):
        try:
            status = cli.main(arguments)
        except SystemExit as end:
            status = end.code
        assert not status, f"xent-numba {' '.join(arguments)} ends with {status}"


if __name__ == "__main__":
    check_files()
    check_metadata()
    check_functions()
