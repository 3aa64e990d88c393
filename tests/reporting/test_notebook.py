"""A comparison as data: as a script has it, and as Jupyter shows it."""

from __future__ import annotations

import pytest

from xent_numba import cli
from xent_numba.reporting.notebook import compare

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def found():
    return compare(
        operations="sigmoid",
        workloads="gaussian",
        sizes=1000,
        dtypes="float32",
        implementations="numpy_textbook",
        budget=0.2,
        processes=2,
    )


def test_records_hold_what_was_measured(found):
    records = {one["implementation"]: one for one in found.records()}
    assert set(records) == {
        "memory limit",
        "numpy_textbook",
        "numpy_textbook (A/A)",
        "numpy_stable",
    }
    one = records["numpy_textbook"]
    assert (one["operation"], one["size"], one["status"]) == ("sigmoid", 1000, "ok")
    assert one["seconds_low"] <= one["seconds"] <= one["seconds_high"]
    assert one["rounds"] >= 2 * 6


def test_each_process_has_its_rounds(found):
    from xent_numba.measurement.statistics import ROUNDS

    assert found.run.content.settings["processes"] == 2
    for row in found.run.content.rows:
        assert {number // ROUNDS for number in row.rounds} == {0, 1}


def test_they_are_a_data_frame_where_pandas_is(found):
    pytest.importorskip("pandas")
    frame = found.to_pandas()
    assert list(frame["implementation"]) == [one["implementation"] for one in found.records()]


def test_jupyter_shows_tables(found):
    html = found._repr_html_()
    assert html.count("<table>") == html.count("</table>") == 1
    assert "<th" in html
    assert "numpy_textbook (A/A)" in html
    assert "numpy_textbook" in str(found)


def test_what_is_saved_is_shown_by_report(found, tmp_path, capsys):
    found.save(tmp_path / "run.json")
    assert cli.main(["report", str(tmp_path / "run.json")]) == 0
    assert "numpy_textbook" in capsys.readouterr().out
