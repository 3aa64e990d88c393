"""Plans reach every exponent, every part of an octave, and both sides of every seam."""

from __future__ import annotations

import numpy as np
import pytest

from xent_numba.accuracy.plans import Seams, Strata, seams


@pytest.mark.parametrize("first", ["scores", "probabilities"])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_strata_cover_every_exponent(first, dtype):
    plan = Strata(first, dtype, 10_000)
    pieces = [piece for chunk in range(plan.chunks) for piece in plan.pieces(chunk)]
    inputs = np.concatenate(pieces)
    again = np.concatenate([p for chunk in range(plan.chunks) for p in plan.pieces(chunk)])
    np.testing.assert_array_equal(inputs.view(np.uint8), again.view(np.uint8))
    assert all((np.diff(piece) >= 0).all() for piece in pieces)
    assert inputs.min() >= 0
    info = np.finfo(dtype)
    exponents = set(np.frexp(inputs[inputs >= info.smallest_normal])[1].tolist())
    assert set(range(info.minexp + 1, (info.maxexp if first == "scores" else 0) + 1)) <= exponents
    if first == "probabilities":
        complements = np.frexp(1 - inputs[inputs > 0.5].astype(np.float64))[1]
        assert set(range(1 - info.nmant, 0)) <= set(complements.tolist())


def test_strata_are_even_within_an_octave():
    plan = Strata("scores", "float64", 2047 * 2 * 64)
    octave = next(p for c in range(plan.chunks) for p in plan.pieces(c) if p[0] >= 1)
    counts, _ = np.histogram(octave, bins=16, range=(1, 2))
    assert (counts == 4).all()


def test_seams_reach_both_sides_of_every_seam():
    assert {0.0, 0.5, 0.75, 1.0} <= set(seams("probabilities", "float32").tolist())
    plan = Seams("probabilities", "float32", 2)
    inputs = np.concatenate([p for c in range(plan.chunks) for p in plan.pieces(c)])
    assert np.nextafter(np.float32(0.5), np.float32(1)) in inputs
    assert np.nextafter(np.float32(1), np.float32(0)) in inputs
    assert inputs.max() == 1
    scores = next(Seams("scores", "float64", 2).pieces(0))
    assert scores[0] == 0
    assert not np.signbit(scores).any()
