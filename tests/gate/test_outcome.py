"""What becomes of findings: the exit status, the tables, and what GitHub is told."""

from __future__ import annotations

import io
import json
import math
import re

import pytest
from rich.console import Console

from xent_numba.gate import exact, tables
from xent_numba.gate.decision import Finding, Verdict
from xent_numba.gate.exact import Value
from xent_numba.gate.outcome import OUTCOME, Outcome, Timing
from xent_numba.gate.project import Revision
from xent_numba.measurement.statistics import Interval
from xent_numba.results import store
from xent_numba.results.machine import Machine
from xent_numba.results.provenance import Provenance

SIDES = {
    "baseline": Revision("main", "a" * 40),
    "candidate": Revision("the working tree", "b" * 40),
}


def timing(verdict, name="times.Work.time_work('[odd]')"):
    return Timing(name, Finding(Interval(1.05, 1.02, 1.08), 0.03, 12, verdict), 2e-4, 2.1e-4)


def outcome(
    *verdicts, values=(), left_out=None, broken=(), unknown=(), others=(0.0,), packages=None
):
    return Outcome(
        exact=bool(values),
        sides=SIDES,
        threshold=0.05,
        timings=[timing(verdict) for verdict in verdicts],
        values=list(values),
        left_out=left_out or {},
        broken=list(broken),
        unknown=list(unknown),
        packages=packages or {},
        others=list(others),
        seconds={"building": 1.0, "measuring": 20.0},
    )


def printed(found):
    stream = io.StringIO()
    tables.show(found, Console(file=stream, width=80))
    return stream.getvalue()


@pytest.mark.parametrize(
    ("found", "status", "strict"),
    [
        (outcome(Verdict.SAME, Verdict.FASTER), 0, 0),
        (outcome(Verdict.SAME, Verdict.SLOWER), 1, 1),
        (outcome(Verdict.INCONCLUSIVE, Verdict.SLOWER), 1, 1),
        (outcome(Verdict.SAME, Verdict.INCONCLUSIVE), 0, 3),
        (outcome(Verdict.SAME, broken=["one"]), 2, 2),
        (outcome(Verdict.SLOWER, broken=["one"]), 1, 1),
        (outcome(), 2, 2),
        (outcome(Verdict.SAME, unknown=["one"]), 0, 3),
        (outcome(values=[Value("one", "ULP", 0.5, 0.5, Verdict.EQUAL)]), 0, 0),
        (outcome(values=[Value("one", "ULP", 0.5, 0.6, Verdict.WORSE)]), 1, 1),
    ],
)
def test_exit_status(found, status, strict):
    assert found.status(strict=False) == status
    assert found.status(strict=True) == strict


@pytest.mark.parametrize(
    ("baseline", "candidate", "better", "change"),
    [
        (1.0, 1.0, "lower", "EQUAL"),
        (1.0, 1.0000001, "lower", "WORSE"),
        (1.0, 1.0000001, "higher", "BETTER"),
        (512.0, 256.0, "higher", "WORSE"),
        (512.0, 256.0, "lower", "BETTER"),
        (4.0, float("inf"), "lower", "WORSE"),
        (4.0, None, "lower", "WORSE"),
        (None, 4.0, "lower", "EQUAL"),
        (None, None, "lower", "EQUAL"),
    ],
)
def test_counts_are_compared_exactly(baseline, candidate, better, change):
    assert exact.judge(baseline, candidate, better) == change


def test_json_comes_back_as_it_was():
    lost = Value("one", "ULP", 0.5, None, Verdict.WORSE, "candidate failed: ValueError")
    for found in (outcome(Verdict.SLOWER, left_out={"a": "b"}), outcome(values=[lost])):
        kept = store.dumps(
            OUTCOME, Provenance("xent-numba gate", "", None, False, Machine()), found
        )
        assert store.loads(kept, OUTCOME).content == found


def test_the_terminal_shows_each_benchmark_and_every_note():
    found = outcome(
        Verdict.SLOWER,
        left_out={
            "new": "the baseline has no such benchmark",
            "n/a": "x does not apply; y does not apply",
        },
        packages={"numpy": {"baseline": "1.26", "candidate": "2.0"}},
        others=[0.1, 0.6],
    )
    text = printed(found)
    assert "the working tree (bbbbbbbbbb) against main (aaaaaaaaaa)" in text
    assert "  times.Work.time_work('[odd]')\n" in text
    assert "SLOWER     200 us     210 us   +5.0%  [+2.0%, +8.0%]        3.0%" in text
    assert "not compared: new: the baseline has no such benchmark" in text
    assert "1 benchmarks apply to neither side" in text
    assert "the sides differ in numpy: 1.26 against 2.0" in text
    assert "other programs used up to 60% of the CPUs, and more than 25% during 1 of 2" in text


def test_the_exact_table_shows_changes_only():
    values = [
        Value("fine", "ULP", 0.5, 0.5, Verdict.EQUAL),
        Value("bad", "bits", 512.0, None, Verdict.WORSE, "candidate failed"),
    ]
    text = tables.markdown(outcome(values=values))
    assert "| `bad` | 512 | none | bits | WORSE |" in text
    assert "`fine`" not in text
    assert "- 1 WORSE, 1 EQUAL" in text


def test_a_parameter_of_any_letters_is_one_row_of_markdown():
    name = "all.time_split('a|b\n| c | d |', '`')"
    found = outcome(Verdict.SLOWER, left_out={name: "candidate could not run: x\n| y"})
    found.timings[0] = timing(Verdict.SLOWER, name)
    lines = tables.markdown(found).splitlines()
    rows = [line for line in lines if line.startswith("|")]
    assert len(rows) == 3
    assert len({len(re.findall(r"(?<!\\)\|", row)) for row in rows}) == 1
    assert sum("not compared" in line for line in lines) == 1
    assert (
        len(printed(found).splitlines()) == len(printed(outcome(Verdict.SLOWER)).splitlines()) + 1
    )


def test_annotations_are_one_line_each():
    values = [
        Value("a\nb", "%", 1.0, 2.0, Verdict.WORSE),
        Value("c", "x", 2.0, 1.0, Verdict.BETTER),
    ]
    left_out = {"gone": "candidate could not run: it\nraised", "new": "there is no such benchmark"}
    lines = tables.workflow_commands(outcome(values=values, left_out=left_out))
    assert lines == [
        "::error title=worse::a%0Ab: 1 -> 2 %25",
        "::notice title=better::c: 2 -> 1 x",
        "::warning title=not compared::gone: candidate could not run: it%0Araised",
    ]
    kinds = [
        line.split()[0]
        for line in tables.workflow_commands(
            outcome(Verdict.SLOWER, Verdict.INCONCLUSIVE, Verdict.FASTER, Verdict.SAME)
        )
    ]
    assert kinds == ["::error", "::warning", "::notice"]
    name = "all.track_width('a: b')"
    known = outcome(values=[Value(name, "x", 1.0, 2.0, Verdict.WORSE)])
    known.accepted[name] = "up to +100.0%: it is wider"
    assert tables.workflow_commands(known) == [f"::notice title=accepted::{name}: 1 -> 2 x"]


def test_what_is_kept_is_strict_json():
    value = Value("one", "ULP", math.inf, math.nan, Verdict.WORSE)
    found = outcome(values=[value], others=[math.inf])

    def refuse(word):
        raise AssertionError(word)

    provenance = Provenance("xent-numba gate", "2026-01-01", "0" * 40, False, Machine())
    text = store.dumps(OUTCOME, provenance, found)
    json.loads(text, parse_constant=refuse)
    assert store.loads(text, OUTCOME).content.values[0].baseline == math.inf
