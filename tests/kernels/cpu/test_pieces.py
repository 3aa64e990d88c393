"""Pieces of an array add up to the table that the loop over the whole array fills, bit by bit."""

import itertools

import numpy as np
import pytest

from xent_numba.kernels.cpu import partials, pieces
from xent_numba.kernels.cpu.log_of_product import SECTION


def rows_of(samples, scale):
    """Rows that depend on all samples of a section, and whose sum depends on their order."""
    (values,) = samples
    rows = np.zeros((pieces.sections(values.size), partials.COLUMNS))
    if values.size:
        starts = np.arange(0, values.size, SECTION)
        rows[:, partials.SUM] = np.add.reduceat(values, starts) * scale
        rows[:, partials.ERROR] = np.maximum.reduceat(values, starts) * 2.0**-53 * scale
    return rows


@pytest.mark.parametrize("size", [0, 1, SECTION - 1, SECTION, SECTION + 1, 10_007, 1_500_003])
def test_any_partition_adds_up_to_the_same_table(size):
    rng = np.random.default_rng(size)
    values = rng.lognormal(0, 9, size)
    whole = pieces.Whole(size, (partials.SUM,), True, partials.UNSCALED, again=False)
    expected = pieces.by_chunk(size, rows_of((values,), 1.0))
    for _ in range(12):
        cuts = np.sort(rng.integers(0, size + 1, rng.integers(0, 40)))
        bounds = [0, *cuts.tolist(), size]
        found = [
            pieces.cut(whole, rows_of, start, (values[start:stop],))
            for start, stop in itertools.pairwise(bounds)
        ]
        while len(found) > 1:  # in a tree of any shape
            at = int(rng.integers(0, len(found) - 1))
            found[at : at + 3] = [pieces.join(whole, rows_of, found[at : at + 3])]
        np.testing.assert_array_equal(found[0].rows.plain, expected)
