"""The committed coefficients are what the generator writes, and meet their bound."""

from __future__ import annotations

import re
from pathlib import Path

import mpmath
import pytest

from tools import minimax
from xent_numba.kernels.cpu import coefficients


def test_the_generator_writes_the_committed_file():
    assert minimax.source() == Path(coefficients.__file__).read_text()


@pytest.mark.parametrize("approximation", minimax.APPROXIMATIONS, ids=lambda a: a.name)
def test_bound(approximation):
    """Checked between the points that the generator looked at."""
    text = Path(coefficients.__file__).read_text()
    before = text[: text.index(f"{approximation.name} = ")]
    bound = float(re.findall(r"below 2\^(-[\d.]+)\.", before)[-1])
    terms = getattr(coefficients, approximation.name)
    with mpmath.workdps(minimax.DIGITS):
        for x in mpmath.linspace(approximation.low, approximation.high, 1999):
            error = approximation.target(x) - minimax.polynomial(terms, x)
            assert abs(approximation.weight(x) * error) <= mpmath.mpf(2) ** (bound + 0.01)
