"""The tuning script to its end, on a device that is not there: its logic, and no time of anything.

The fake's times are chosen, to be recognised in the tables; nothing is timed.
"""

from __future__ import annotations

import json
import subprocess
import sys
from argparse import Namespace

import numpy as np
import pytest

import xent_numba
from tools import cuda_rows, cuda_tuning

CASES = cuda_rows.CASES


class Device:
    """Takes as many milliseconds as it is told, by name of the call."""

    def __init__(self):
        self.log = []

    def milliseconds(self, call):
        call()
        return 2.0

    kernel_milliseconds = wall_milliseconds = milliseconds

    def upload(self, array):
        return array

    empty_like = download = upload

    def copy_to(self, target, source):
        assert target is not source
        self.log.append("copy")

    def launch_nothing(self):
        self.log.append("nothing")

    def l2_bytes(self):
        return 1 << 16

    def describe(self):
        return {"gpu": "none, a fake"}

    state = describe


def right(case, sets, layout, device, *, arithmetic=True):
    """What the kernels would return."""
    for arguments in sets:
        function = getattr(xent_numba, case.operation)
        if case.labels is None:
            yield lambda f=function, a=arguments[0]: f(a)
            continue
        total = function(*arguments, reduction="sum")
        total = total[0] if isinstance(total, tuple) else total
        yield lambda t=total: np.array([t, 0.0])


def library(size):
    scores = np.ones(size)
    yield cuda_rows.SUM, 4, [scores.sum]

    def fails():
        raise RuntimeError("no graph")

    yield cuda_rows.GRAPH, 0, [fails]


@pytest.fixture
def options(tmp_path):
    return Namespace(log2_size=12, rounds=3, output=tmp_path, commit="a1b2c3d4")


def run(options, device, make):
    """With two layouts, and tools of others that find what they are told."""
    tools = lambda call: {"tool": 2.02, "other": "none"}  # noqa: E731
    return cuda_tuning.run(options, device, make, library, cuda_tuning.layouts()[:2], tools)


def test_it_runs_to_its_end_and_judges_by_what_it_found(options):
    device = Device()
    report = run(options, device, right)
    assert json.loads((options.output / "tuning.json").read_text()) == json.loads(
        json.dumps(report)
    )
    tables = (options.output / "tuning.md").read_text()
    assert report["commit"] == "a1b2c3d4"
    assert "at commit a1b2c3d4." in tables
    verdicts = {(t["row"], t["against"]): t["verdict"] for t in report["targets"]}
    # All rows take the same time here, so that those that move more bytes have more bandwidth.
    assert verdicts[CASES[0].name, cuda_rows.COPY] == "PASS"
    assert verdicts[CASES[1].name, cuda_rows.SUM] == "PASS"
    assert verdicts[CASES[4].name, cuda_rows.COPY] == "PASS"
    assert f"{cuda_rows.GRAPH} | WRONG: RuntimeError: no graph" in tables
    assert "tool: 2.0200 ms, +1.0%, within 5%" in tables
    assert "other: none" in tables
    assert {"copy", "nothing"} <= set(device.log)
    row = next(r for r in report["rows"] if r["name"] == CASES[0].name)
    assert {clock: len(times) for clock, times in row["times"].items()} == {
        "kernel": 3,
        "launch to sync": 3,
    }
    assert len(report["experiment"]) == 2 * len(CASES)
    assert f"| {CASES[0].name} \\| 256 lanes, " in tables
    assert [found["at most"] for found in report["ceilings"]] == [1.0] * len(CASES)
    assert f"| {CASES[0].name} | 1.000 | no, less than 1.05 |" in tables
    assert {path.name for path in options.output.iterdir()} == {"tuning.json", "tuning.md"}


def test_faster_arithmetic_deserves_a_row_where_it_could_gain_something():
    def rows(bare):
        names = {CASES[0].name: 1.0, cuda_rows.BARE.format(CASES[0].name): bare}
        return [cuda_rows.Row(name, 8, {"kernel": [t]}) for name, t in names.items()]

    assert [cuda_rows.ceilings(rows(t))[0]["deserves"] for t in (0.9, 0.99)] == [True, False]
    assert cuda_rows.ceilings(rows(0.9)[:1]) == []


def test_a_wrong_kernel_has_no_time(options):
    def off(case, sets, layout, device, **options):
        for call in right(case, sets, layout, device, **options):
            yield (lambda call=call: call() * 1.001) if case.dtype == "float64" else call

    report = run(options, Device(), off)
    wrong = {row["name"] for row in report["rows"] if row["wrong"]} - {cuda_rows.GRAPH}
    assert wrong == {CASES[2].name}
    assert not next(r for r in report["rows"] if r["name"] == CASES[2].name)["times"]
    assert next(t for t in report["targets"] if t["row"] == CASES[2].name)["verdict"] == (
        "not measured"
    )


def test_a_layout_that_cannot_be_launched_is_said_so_and_the_rest_goes_on(options):
    def failing(case, sets, layout, device, **options):
        def fails():
            raise RuntimeError("too many resources requested for launch")

        for call in right(case, sets, layout, device, **options):
            yield call if layout.lanes == 256 else fails

    report = run(options, Device(), failing)
    said = {row["wrong"] for row in report["experiment"]}
    assert said == {None, "RuntimeError: too many resources requested for launch"}


def test_inputs_are_random_and_larger_than_the_cache():
    for case in CASES:
        first, *labels = case.inputs(4096)
        assert np.unique(first).size > 3000
        assert all(np.unique(array).size == 2 for array in labels)
        assert case.bytes(1) == first.itemsize * (1 + (not labels or "grad" in case.name)) + sum(
            array.itemsize for array in labels
        )
    one, other, *_ = cuda_tuning.rotated(CASES[1], 4096, Device())
    np.testing.assert_array_equal(np.roll(one[0], 1), other[0])
    np.testing.assert_array_equal(np.roll(one[1], 1), other[1])


def test_inputs_repeat_after_more_than_a_cache_holds():
    first, labels = CASES[1].inputs(250, 3, most=100)
    np.testing.assert_array_equal(first[:100], first[100:200])
    np.testing.assert_array_equal(labels[:50], labels[200:])
    assert np.unique(first).size == 100


def test_a_target_is_missed_by_a_little():
    def rows(milliseconds):
        names = {CASES[0].name: (8, milliseconds), cuda_rows.COPY: (8, 0.95)}
        return [cuda_rows.Row(n, b, {"kernel": [t]}) for n, (b, t) in names.items()]

    verdict = [cuda_rows.judged(rows(t))[0]["verdict"] for t in (0.99, 1.01)]
    assert verdict == ["PASS", "MISS"]


@pytest.mark.parametrize("simulated", ["0", "1"])
def test_it_refuses_where_there_is_no_gpu(simulated, monkeypatch, tmp_path):
    from xent_numba import registry

    if simulated == "0" and registry.get("numba_cuda").module.unavailable_for_timing() is None:
        pytest.skip("this machine has a GPU")
    monkeypatch.setenv("NUMBA_ENABLE_CUDASIM", simulated)
    command = [sys.executable, "-m", "tools.cuda_tuning", "--output", tmp_path]
    result = subprocess.run(command, capture_output=True, text=True)
    assert result.returncode == 2
    assert "cannot be timed here" in result.stderr
    assert ("simulator" in result.stderr) == (simulated == "1")
    assert not list(tmp_path.iterdir())
