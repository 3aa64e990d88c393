"""The constants of the kernels are what their names say, in whatever state they are imported."""

from __future__ import annotations

import os
import platform
import subprocess
import sys

import mpmath
import pytest

from xent_numba.kernels.cpu import exp, log

MODES = {"to nearest": 0, "down": 0x400, "up": 0x800}
"""As fesetround takes them on x86."""

NUMBERS = """
import ctypes, importlib, pkgutil, sys
import numba, numpy as np
assert not ctypes.CDLL(None).fesetround(int(sys.argv[1]))
sys.pycache_prefix = sys.argv[2]
from xent_numba import operations
from xent_numba.kernels import cpu

def look(name, value):
    if isinstance(value, (tuple, list)):
        for place, part in enumerate(value):
            look(f"{name}[{place}]", part)
    elif isinstance(value, (float, np.floating)):
        print(name, float(value).hex())

for module in pkgutil.iter_modules(cpu.__path__, cpu.__name__ + "."):
    for name, value in vars(importlib.import_module(module.name)).items():
        look(f"{module.name}.{name}", value)
print("a third", (np.float64(1) / np.float64(3)).hex())
"""


def numbers(mode: str, folder) -> list[str]:
    """Every number of the modules of kernels, as imported, and compiled to bytecode, in a mode."""
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", NUMBERS, str(MODES[mode]), folder],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


@pytest.mark.skipif(
    sys.platform != "linux" or platform.machine() != "x86_64", reason="sets the mode of x86"
)
def test_an_import_in_another_rounding_mode(tmp_path):
    *expected, third = numbers("to nearest", str(tmp_path / "to nearest"))
    assert len(expected) > 100
    thirds = {third}
    for mode in ("down", "up"):
        *found, third = numbers(mode, str(tmp_path / mode))
        assert found == expected, mode
        thirds.add(third)
    assert len(thirds) == 2  # the modes were set indeed


def rounded(value: mpmath.mpf, digits: int) -> float:
    """A number rounded to so many binary digits."""
    with mpmath.workprec(digits):
        return float(+value)


@pytest.mark.parametrize(("digits", "of_exp", "of_log"), [
    (24, exp.FLOAT32, log.FLOAT32), (53, exp.FLOAT64, log.FLOAT64),
])  # fmt: skip
def test_constants_are_what_their_formulas_give(digits, of_exp, of_log):
    with mpmath.workprec(200):
        ln2, half = mpmath.log(2), mpmath.mpf(1) / 2
        assert float(of_exp.inverse_ln2) == rounded(1 / ln2, digits)
        assert float(of_log.sqrt_half) == rounded(mpmath.sqrt(half), digits)
        assert float(of_exp.ln2_high) == rounded(ln2, digits)
        for constants in (of_exp, of_log):
            high = mpmath.mpf(float(constants.ln2_high))
            # The low part of ln 2 is what the high part leaves of it, rounded once; where a
            # float64 held ln 2 in between, to 2^-54 of it.
            low = float(constants.ln2_low)
            assert abs(mpmath.mpf(low) - (ln2 - high)) <= mpmath.ldexp(abs(low), -digits) * 1.01
        # n ln2_high is exact for every exponent n of a subnormal number and of a large one.
        exponents = 8 if digits == 24 else 11
        zeros = mpmath.ldexp(mpmath.mpf(float(of_log.ln2_high)), digits - exponents)
        assert zeros == mpmath.floor(zeros)
