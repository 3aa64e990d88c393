"""What was compared, kept and read again."""

from __future__ import annotations

import dataclasses

import fabricated
import pytest

from xent_numba.measurement.comparison import Comparison
from xent_numba.measurement.participant import AGAIN
from xent_numba.measurement.statistics import ratio_interval
from xent_numba.measurement.suite import SUBJECT


@pytest.fixture(scope="module")
def found():
    return fabricated.comparison("small")


def test_a_comparison_survives_json(found):
    text = found.to_json()
    assert "NaN" not in text
    assert "Infinity" not in text
    assert Comparison.from_json(text) == found


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"format": 99, "rows": []}', '{"format": 1}'])
def test_other_json_is_refused(text):
    with pytest.raises(ValueError, match=r".+"):
        Comparison.from_json(text)


def test_ratios_to_the_control_are_kept_either_way_round(found):
    case, rows = next(found.cases())
    times = {row.implementation: row.rounds for row in rows}
    forward = found.ratio(case, "numpy_stable", SUBJECT)
    assert forward == ratio_interval(times["numpy_stable"], times[SUBJECT])
    back = found.ratio(case, SUBJECT, "numpy_stable")
    assert (back.value, back.low, back.high) == pytest.approx(
        (1 / forward.value, 1 / forward.high, 1 / forward.low)
    )
    assert found.ratio(case, "numba_cuda", SUBJECT) is None
    assert found.resolution(case) == ratio_interval(times[SUBJECT + AGAIN], times[SUBJECT])
    assert dataclasses.replace(found, control="").resolution(case) is None
