"""Beyond memory and beyond one machine: partitions, out of core, clusters, a fit.

Each has a short form, for every run of the suite; ``pytest -m soak tests/soak/test_scale.py``
writes ``reports/scale``, with a page and a picture.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest
from soak import scale_page
from soak.conftest import KIND

from xent_numba.results import store

REPORT = "scale"
pytest.importorskip("dask", reason="dask is not installed: pip install 'xent-numba[dask]'")
LINUX = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
SOAK = pytest.mark.soak
pytestmark = pytest.mark.slow


def draw(folder: Path) -> None:
    """Write the page and the picture of all that is kept."""
    kept = {path.stem: store.read(path, KIND) for path in sorted(folder.glob("*.json"))}
    said = {run.provenance.revision: str(run.provenance) for run in kept.values()}
    found = {name: run.content.figures for name, run in kept.items()}
    scale_page.draw(folder, found, "\n\n".join(said.values()))


@pytest.mark.parametrize(
    "count", [pytest.param(6, id="short"), pytest.param(1000, id="long", marks=SOAK)]
)
def test_random_partitions_have_the_same_bits(trial, keep, count):
    figures = trial("partitions", count, timeout=3600)
    assert figures["partitions"] == count
    assert figures["different"] == 0
    # Of float64 five numbers a section, twice in a mean; of float32 once.
    assert figures["bytes_a_section_float32_mean"] < 48
    assert figures["bytes_a_section_float64_mean"] < 96
    keep("partitions", figures)


@LINUX
@pytest.mark.parametrize(
    "power",
    [pytest.param(5, id="short"), *(pytest.param(p, marks=SOAK) for p in scale_page.POWERS)],
)
def test_out_of_core(trial, keep, power):
    figures = trial("out_of_core", 10**power, timeout=3600)
    if "lacks" in figures:
        pytest.skip(f"needs room on the disk for {10**power} samples twice: {figures['lacks']}")
    assert figures["same_bits_as_numpy"]
    assert figures["resident_bytes"] < 2**30
    keep(f"out_of_core_{power}", figures)
    if power == max(scale_page.POWERS):
        # Files that do not come from the disk are read faster than losses are computed.
        assert figures["share_of_reading_speed_dropped"] >= 0.8


@pytest.mark.soak
def test_scaling_of_a_cluster(trial, keep):
    pytest.importorskip("distributed", reason="distributed is not installed")
    figures = trial("scaling", 2**27, 2**22, timeout=3600)
    assert figures["resident_bytes_2"] < 2**30
    keep("scaling", figures)


@pytest.mark.parametrize(
    "most", [pytest.param(20_000, id="short"), pytest.param(10**6, id="long", marks=SOAK)]
)
def test_a_fit_on_chunks(trial, keep, most):
    figures = trial("fit_in_chunks", most, timeout=3600)
    assert figures["same_bits"]
    keep("fit", figures)


def test_the_page_has_every_figure(tmp_path):
    """Drawn from runs that are made up."""
    run: dict[str, Any] = {
        "read_seconds_cached": 1.0, "loss_seconds_cached": 1.25, "resident_bytes": 2**28,
        "share_of_reading_speed_cached": 0.8, "share_of_reading_speed_dropped": 0.99,
    }  # fmt: skip
    found = {f"out_of_core_{p}": run | {"samples": 10**p} for p in scale_page.POWERS}
    found["scaling"] = {
        "samples_a_second_of_one_worker": 1e9, "seconds_a_chunk_cluster": 1e-3,
        "bytes_of_partials": 80 * 2048, "chunk": 2**22,
    }  # fmt: skip
    scale_page.draw(tmp_path, found, "By a test.")
    page = (tmp_path / "README.md").read_text()
    assert "| 1,000,000,000 | 1 | 1.25 | 0.80 | 0.99 | 256 |" in page
    # 10^12 samples at 10^9 a second, and 14,902 chunks of a millisecond.
    assert "| 10 | 100 | 15 |" in page
    assert "| 1,000 | 1 | 15 |" in page
    assert (tmp_path / "out_of_core.svg").read_text().startswith("<?xml")
