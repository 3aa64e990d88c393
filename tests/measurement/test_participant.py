"""By which interpreter a participant is judged and timed."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import xent_numba
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
