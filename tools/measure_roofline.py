"""Measure the roofline: ``python -m tools.measure_roofline`` writes ``reports/roofline.json``.

``xent-numba report`` draws it. Nothing else should run meanwhile; it takes about a minute.
"""

from __future__ import annotations

from pathlib import Path

from xent_numba.measurement import roofline
from xent_numba.results import store
from xent_numba.results.provenance import Provenance

REPORT = Path(__file__).parents[1] / "reports" / "roofline.json"

if __name__ == "__main__":
    began = Provenance.now("python -m tools.measure_roofline")
    store.write(REPORT, roofline.ROOFLINE, began, roofline.measure())
