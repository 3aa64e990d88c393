"""By which interpreter a participant is judged and timed."""

from __future__ import annotations

import os
import re
import sys
from importlib import metadata
from pathlib import Path

import pytest

import xent_numba
from xent_numba import registry
from xent_numba.measurement import compare
from xent_numba.measurement.participant import Participant


def test_this_interpreter_with_its_modules(monkeypatch):
    monkeypatch.setenv("XENT_PYTHON_OTHER", "/other/bin/python")
    program = Participant.of("numba_parallel", 2).program()
    assert program.python == sys.executable
    assert set(sys.path) - {""} <= set(program.variables["PYTHONPATH"].split(os.pathsep))
    assert "LD_LIBRARY_PATH" not in program.variables


def test_the_interpreter_that_a_variable_names_has_this_package_alone(monkeypatch):
    monkeypatch.setenv("XENT_PYTHON_NUMBA_SVML", "/other/bin/python")
    program = Participant.of("numba_svml@1", 2).program()
    assert program.python == "/other/bin/python"
    assert program.variables["PYTHONPATH"] == str(Path(xent_numba.__file__).parents[1])
    assert program.variables["LD_LIBRARY_PATH"] == "/other/lib"
    assert program.variables["NUMBA_NUM_THREADS"] == "1"


@pytest.mark.skipif(sys.platform == "win32", reason="a script stands for an interpreter")
def test_what_a_row_calls_has_the_version_of_its_own_interpreter(monkeypatch, tmp_path):
    """And the address of the report of its fault, where it declares one."""
    other = tmp_path / "python"
    other.write_text("#!/bin/sh\necho 9.9.9\n", encoding="utf-8")
    other.chmod(0o755)
    monkeypatch.setenv("XENT_PYTHON_JAX_JIT", str(other))
    several = [Participant.of(name, 1) for name in ("jax_jit", "numexpr_vm", "naive")]
    said = compare.called(several)
    fault = "Known upstream: https://github.com/jax-ml/jax/issues/39707"
    assert said["jax_jit"]["binary_cross_entropy"].startswith("jax 9.9.9: -(xlogy(")
    assert said["jax_jit"]["binary_cross_entropy"].endswith(fault)
    assert fault not in said["jax_jit"]["sigmoid"]
    assert said["numexpr_vm"]["sigmoid"].startswith(f"numexpr {metadata.version('numexpr')}: ")
    assert not said["naive"]["sigmoid"].partition(":")[0].endswith("0")


def test_the_faults_that_are_declared_have_addresses():
    addresses = {
        declared.upstream
        for implementation in registry.implementations().values()
        for declared in implementation.operations.values()
        if declared.upstream
    }
    assert all(re.fullmatch(r"https://github\.com/[\w/-]+/issues/\d+", x) for x in addresses)
