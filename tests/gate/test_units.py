"""Units as benchmarks give them: a clock's or not, and which way is better."""

from __future__ import annotations

import pytest

from xent_numba.gate import units


@pytest.mark.parametrize(
    ("unit", "by_clock", "better"),
    [
        ("s", True, "lower"),
        ("ms", True, "lower"),
        ("µs", True, "lower"),
        ("sec", True, "lower"),
        ("minutes", True, "lower"),
        ("Seconds (lower is better)", True, "lower"),
        ("CPU seconds", True, "lower"),
        ("time [s]", True, "lower"),
        ("s/it", True, "lower"),
        ("ns per element", True, "lower"),
        ("MB/s", True, "higher"),
        ("it/s", True, "higher"),
        ("requests per second", True, "higher"),
        ("GFLOPS", True, "higher"),
        ("kHz", True, "higher"),
        ("ULP", False, "lower"),
        ("bits", False, "lower"),
        ("bytes", False, "lower"),
        ("calls", False, "lower"),
        ("instructions per sample", False, "lower"),
        ("%", False, "lower"),
        ("unit", False, "lower"),
        ("steps", False, "lower"),
        ("", False, "lower"),
        ("score (higher is better)", False, "higher"),
        ("hits, more is better", False, "higher"),
    ],
)
def test_what_a_unit_says(unit, by_clock, better):
    assert units.by_clock(unit) == by_clock
    assert units.better(unit) == better
