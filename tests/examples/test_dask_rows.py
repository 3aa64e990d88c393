"""Rows of a comparison that are dask's: judged like any other, and gone when it ends."""

from __future__ import annotations

import dataclasses
import time
from pathlib import Path

import psutil
import pytest

from xent_numba.measurement.case import Case
from xent_numba.measurement.inputs import shared
from xent_numba.measurement.participant import Participant
from xent_numba.measurement.worker import Worker

ROWS = Path(__file__).parents[2] / "examples" / "dask_rows"


@pytest.mark.slow
@pytest.mark.parametrize("name", ["dask_threads", "dask_processes"])
def test_a_row_is_judged_right_and_leaves_no_process(name):
    pytest.importorskip("dask", reason="dask is not installed: pip install 'xent-numba[dask]'")
    participant = Participant.of(str(ROWS / f"{name}.py"), 2)
    with Worker(participant.program()) as worker:
        for operation in ("sigmoid", "logistic_loss_and_grad"):
            case = Case.of(operation, "gaussian", 300_000, "float32", None, "sum")
            with shared(case.arguments()) as laid:
                found = worker.do("prepare", dataclasses.asdict(case), laid.places)
            assert found["status"] == "ok", found
        children = psutil.Process(worker._process.pid).children(recursive=True)
        assert len(children) >= (2 if name == "dask_processes" else 0)
    end = time.monotonic() + 30
    while any(one.is_running() and one.status() != "zombie" for one in children):
        assert time.monotonic() < end, children
        time.sleep(0.1)
