"""Counts of chunks add up."""

from __future__ import annotations

from xent_numba.accuracy.error_counts import Errors


def test_percentile_and_merge():
    small, large = Errors(999, 999, 0.26, "0x1p0"), Errors(1, 0, 1e6, "0x1.cp2")
    small.histogram[16] = 999
    large.histogram[256 + 20] = 1
    small.merge(large)
    assert (small.count, small.max_ulp, float.fromhex(small.worst)) == (1000, 1e6, 7.0)
    assert 0.25 <= small.percentile(0.999) == small.summary().percentile_999 <= 0.27
    assert small.percentile(1.0) == 1e6
    small.merge(Errors(5, 5, 2e6, "0x1p3"), shares=False)
    assert (small.count, small.max_ulp, float.fromhex(small.worst)) == (1000, 2e6, 8.0)
