"""What was compared, kept and read again."""

from __future__ import annotations

import dataclasses
import json

import fabricated
import pytest

from xent_numba.errors import ResultFileError
from xent_numba.measurement.comparison import COMPARISON
from xent_numba.measurement.participant import AGAIN
from xent_numba.measurement.statistics import ratio_interval
from xent_numba.measurement.suite import SUBJECT
from xent_numba.results import store


@pytest.fixture(scope="module")
def found():
    return fabricated.comparison("small").content


def test_a_comparison_survives_its_file():
    run = fabricated.comparison("small")
    text = store.dumps(COMPARISON, run.provenance, run.content)
    assert store.loads(text, COMPARISON) == run


@pytest.mark.parametrize(
    "change",
    [
        lambda content: content.update(rows=[]),
        lambda content: content["settings"].pop("threads"),
        lambda content: content["activity"].pop("others_percent"),
        lambda content: content["numba"].pop("simd_bits"),
        lambda content: content["rows"][0]["case"].update(operation="an_operation"),
        lambda content: content["rows"][0]["case"].update(size=0),
        lambda content: content["rows"][0].update(seconds=[1.0]),
        lambda content: content["rows"][0]["preparation"].update(status="fine"),
    ],
)
def test_what_cannot_be_drawn_is_refused(change):
    run = fabricated.comparison("labels")
    document = json.loads(store.dumps(COMPARISON, run.provenance, run.content))
    change(document["content"])
    with pytest.raises(ResultFileError, match="holds no comparison of this version: "):
        store.loads(json.dumps(document), COMPARISON)


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
