"""Every engine of dask gives the same bits: processes, a cluster, and one that loses a worker."""

from __future__ import annotations

import os
import re
import signal
import time
from pathlib import Path

import numpy as np
import pytest
from layers import LAYERS, run

import xent_numba

da = pytest.importorskip(
    "dask.array", reason="dask is not installed: pip install 'xent-numba[dask]'"
)

SIZE = 100_003
SCORES = np.random.default_rng(5).normal(0, 4, SIZE)
LABELS = np.random.default_rng(6).choice([-1, 1], SIZE).astype(np.int8)


def mean(scores):
    return xent_numba.logistic_loss(scores, da.from_array(LABELS, chunks=9_999))


@pytest.mark.parametrize("scheduler", ["synchronous", "threads", "processes"])
def test_schedulers(scheduler):
    found = mean(da.from_array(SCORES, chunks=7_001)).compute(scheduler=scheduler, num_workers=2)
    assert found == xent_numba.logistic_loss(SCORES, LABELS)


@pytest.fixture(scope="module")
def cluster():
    distributed = pytest.importorskip(
        "distributed", reason="distributed is not installed: pip install distributed"
    )
    with (
        distributed.LocalCluster(
            n_workers=2, threads_per_worker=1, host="127.0.0.1", dashboard_address=None
        ) as cluster,
        distributed.Client(cluster),
    ):
        yield cluster


def slowly(block, block_info=None):
    time.sleep(0.1)
    return block


@pytest.mark.slow
@pytest.mark.filterwarnings("default")
def test_a_worker_is_killed_in_the_middle(cluster):
    from distributed import default_client

    client = default_client()
    future = client.compute(mean(da.from_array(SCORES, chunks=2_503).map_blocks(slowly)))
    time.sleep(1)
    victims = client.run(os.getpid)
    os.kill(next(iter(victims.values())), signal.SIGKILL)
    assert not future.done()
    assert future.result(timeout=60) == xent_numba.logistic_loss(SCORES, LABELS)


@pytest.mark.filterwarnings("default")
def test_one_bad_label_on_a_remote_worker(cluster):
    labels = LABELS.copy()
    labels[77_777] = 5
    lazy = xent_numba.logistic_loss(da.from_array(SCORES, chunks=7_001), labels)
    with pytest.raises(ValueError, match=r"labels\[77777\] is 5"):
        lazy.compute()


@pytest.mark.filterwarnings("default")
def test_the_script_of_the_page_runs_on_a_cluster(cluster, capsys):
    page = (Path(__file__).parents[1] / "docs" / "dask.md").read_text()
    (script,) = re.findall(
        r"^```python\n(import dask\.array as da\nfrom.*?)^```", page, re.S | re.M
    )
    script = script.replace("tcp://scheduler:8786", cluster.scheduler_address)
    exec(script.replace("50_000_000", "50_000").replace("5_000_000", "7_000"), names := {})
    names["client"].close()
    assert len(script.splitlines()) == 10
    expected = xent_numba.logistic_loss(names["scores"].compute(), names["labels"].compute())
    assert repr(float(expected)) in capsys.readouterr().out


NO_POOL = """
import dask, dask.array as da
scores = da.from_array(inputs(np.float32, 400_000)[0], chunks=100_000)
labels = da.where(scores > 1, 1, -1).astype(np.int8)
for by in ("auto", "numba_simple"):
    lazy = [xn.sigmoid(scores, implementation=by)]
    for reduction in ("none", "sum", "mean"):
        lazy.append(xn.logistic_loss(scores, labels, reduction=reduction, implementation=by))
        lazy += xn.logistic_loss_and_grad(scores, labels, reduction=reduction, implementation=by)
    dask.compute(*lazy, scheduler="threads", num_workers=2)
    dask.compute(*lazy, scheduler="synchronous")
try:
    print(numba.threading_layer())
except ValueError:
    print("no pool")
xn.sigmoid(np.zeros(100_000))
print(numba.threading_layer())
"""


@pytest.mark.slow
@LAYERS
def test_no_pool_of_threads_is_started_inside_a_task(layer):
    """dask has a thread a chunk already; outside of its tasks a call takes all threads as ever."""
    output = run(NO_POOL, NUMBA_THREADING_LAYER=layer, NUMBA_NUM_THREADS="2")
    assert output.splitlines() == ["no pool", layer]
