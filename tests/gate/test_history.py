"""The history that asv keeps: which series there are, and where they changed."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest

from xent_numba import cli
from xent_numba.gate import GateError, history
from xent_numba.gate.changes import changes
from xent_numba.results import store

COMMITS = [f"{number:02x}" * 20 for number in range(1, 31)]


def keep(folder, commit, date, versions, results):
    """A file of results as asv 0.6 writes it; each is values and parameters."""
    columns = ["result", "params", "version"]
    content = {
        "commit_hash": commit,
        "env_name": "virtualenv-py3.11",
        "date": date,
        "params": {"machine": "one", "python": "3.11"},
        "python": "3.11",
        "requirements": {},
        "env_vars": {},
        "result_columns": columns,
        "results": {n: [*found, versions.get(n, "1")] for n, found in results.items()},
        "durations": {},
        "version": 2,
    }
    (folder / "one" / f"{commit[-8:]}-virtualenv-py3.11.json").write_text(json.dumps(content))


@pytest.fixture
def results(tmp_path):
    """Thirty commits: a step at the twentieth in one of two parameters, and a rate that falls."""
    folder = tmp_path / "results"
    (folder / "one").mkdir(parents=True)
    (folder / "one" / "machine.json").write_text('{"machine": "one", "version": 1}')
    described = {
        "version": 2,
        "a.time_sort": {"unit": "seconds"},
        "a.track_speed": {"unit": "it/s"},
    }
    (folder / "benchmarks.json").write_text(json.dumps(described))
    rng = np.random.default_rng(1)
    for number, commit in enumerate(COMMITS):
        noise = np.exp(rng.normal(0, 0.01, 4))
        sort = [1.0 * noise[0], (1.5 if number >= 20 else 1.0) * noise[1]]
        found = {
            "a.time_sort": [sort, [["10", "'x'"]]],
            "a.track_speed": [[(80 if number >= 10 else 100) * noise[2]], []],
            "a.time_lost": [[None if number % 2 else math.nan], []],
            "a.time_old": [[1.0 if number < 25 else 9.0], []],
        }
        versions = {"a.time_old": "old" if number < 25 else "new"}
        keep(folder, commit, 1000 * number, versions, found)
    return folder


def test_series_and_their_changes(results):
    found = history.read(results)
    changed = {one.benchmark: one for one in found.series if one.changes}
    assert set(changed) == {"a.time_sort('x')", "a.track_speed"}
    (step,) = changed["a.time_sort('x')"].changes
    assert (step.at, step.ratio.value) == (20, pytest.approx(1.5, rel=0.02))
    # Fewer a second is worse.
    (fall,) = changed["a.track_speed"].changes
    assert (fall.at, fall.ratio.value) == (10, pytest.approx(0.8, rel=0.02))
    assert all(one.is_worse(one.changes[0]) for one in changed.values())
    # What was measured by another benchmark of the same name is another series.
    assert found.short == 1
    assert history.read(results, ["track_"]).series == [changed["a.track_speed"]]


def test_what_is_offered_asks_the_gate_about_the_commits_around_it(results):
    (one,) = (x for x in history.read(results, [r"'x'"]).series if x.changes)
    (step,) = one.changes
    before, after = COMMITS[step.first - 1][:10], COMMITS[step.last][:10]
    assert one.check(step).startswith(f"xent-numba gate {before} {after} --bench '^a")
    assert COMMITS.index(one.commits[step.first - 1]) < 20 <= COMMITS.index(one.commits[step.last])


@pytest.mark.parametrize(
    ("benchmark", "unit", "exact"),
    [
        ("a.B.track_bytes('x')", "bytes", True),
        ("a.track_lap", "Seconds (lower is better)", False),
        ("a.track_speed", "it/s", False),
        ("a.time_track_x", "", False),
        ("a.mem_list", "bytes", True),
        ("a.peakmem_b", "bytes", False),
    ],
)
def test_what_is_counted_is_asked_of_the_exact_gate(benchmark, unit, exact):
    values = [1.0] * 10 + [2.0] * 10
    (step,) = changes(np.array(values))
    one = history.Series(benchmark, unit, "one", "here", COMMITS[:20], values, [step])
    assert ("--exact" in one.check(step)) == exact


def test_it_is_shown_and_kept(results, tmp_path, capsys):
    files = {kind: tmp_path / f"history.{kind}" for kind in ("json", "markdown", "figure")}
    options = [part for kind, path in files.items() for part in (f"--{kind}", str(path))]
    assert cli.main(["history", str(results), *options]) == 0
    out = capsys.readouterr().out
    assert "2 of 3 series changed; 1 are too short to say" in out
    assert "+50" in out
    assert "| `a.track_speed` | one, virtualenv-py3.11 |" in files["markdown"].read_text()
    assert "<svg" in files["figure"].read_text()
    kept = store.read(files["json"], history.HISTORY).content
    assert kept == history.read(results)


def test_no_results_are_an_error(tmp_path, capsys):
    with pytest.raises(GateError, match="holds no results; accepted is a results_dir of asv"):
        history.read(tmp_path)
    assert cli.main(["history", str(tmp_path)]) == 2
