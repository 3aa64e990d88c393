"""Rows of other libraries on a GPU, without one: their formulas, and what they say is missing."""

from __future__ import annotations

import sys
from types import SimpleNamespace

import numpy as np
import pytest

import xent_numba
from xent_numba import peer, registry
from xent_numba.accuracy.judge import judge
from xent_numba.accuracy.tolerance import Tolerance
from xent_numba.measurement import binding
from xent_numba.measurement.case import Case
from xent_numba.operations import OPERATIONS, REDUCTIONS

ROWS = ("cupy_fused", "torch_compiled_cuda", "torch_eager_cuda")
present = pytest.mark.skipif("cupy_fused" not in registry.names(), reason="cupy_fused was removed")


@pytest.fixture
def cupy(monkeypatch):
    """CuPy, as far as it is asked: NumPy, whose functions nothing fuses."""

    def fused():
        return lambda function: function

    stand_in = SimpleNamespace(
        **{name: getattr(np, name) for name in ("exp", "log", "log1p", "maximum", "where", "sum")},
        asarray=np.array,
        asnumpy=np.asarray,
        fuse=fused,
    )
    monkeypatch.setitem(sys.modules, "cupy", stand_in)
    module = registry.get("cupy_fused").module
    monkeypatch.setattr(module, "unavailable", lambda: None)
    for cached in (module.fused, registry.resolve):
        cached.cache_clear()
    yield registry.get("cupy_fused")
    for cached in (module.fused, registry.resolve):
        cached.cache_clear()


@present
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("operation", OPERATIONS)
def test_the_formulas_of_cupy_agree_with_the_oracle(cupy, operation, dtype):
    """Through the public function, and through what is bound for timing."""
    chosen = OPERATIONS[operation]
    rng = np.random.default_rng(1)
    first = rng.beta(2, 2, 400) if chosen.first == "probabilities" else rng.normal(0, 8, 400)
    inputs = [first.astype(dtype)]
    if chosen.labels:
        inputs.append(rng.choice(chosen.labels.hard, 400).astype(dtype))
    for reduction in REDUCTIONS if chosen.labels else ("none",):
        case = Case(operation, "gaussian", 400, dtype, chosen.labels and dtype, reduction)
        with np.errstate(all="ignore"):
            call = binding.bind(cupy, case, tuple(inputs))
            verdict = binding.judge_call(cupy, case, tuple(inputs), call)
        assert verdict.ok, verdict.reason


@present
def test_soft_labels_are_held_too(cupy):
    operation = OPERATIONS["binary_cross_entropy_with_logits_and_grad"]
    rng = np.random.default_rng(2)
    given = rng.normal(0, 4, 300), rng.random(300)

    def compute(*arguments, **options):
        return getattr(xent_numba, operation.name)(
            *arguments, implementation="cupy_fused", **options
        )

    verdict = judge(compute, operation, given, reduction="none", tolerance=Tolerance(8, 8))
    assert verdict.ok, verdict.reason


@pytest.mark.usefixtures("without_packages")
@pytest.mark.parametrize("name", ROWS)
def test_a_row_says_which_package_is_missing(name):
    if name not in registry.names():
        pytest.skip(f"{name} was removed")
    row = registry.get(name)
    package = name.partition("_")[0]
    assert row.unavailable().startswith(f"{package} is not installed: pip install ")


@pytest.mark.parametrize("name", ROWS)
def test_a_row_says_that_there_is_no_gpu(name, monkeypatch):
    from xent_numba.kernels.cuda import availability

    row = registry.get(name)
    if availability.no_device() is None:
        pytest.skip("this machine has a GPU")
    monkeypatch.setattr(peer.util, "find_spec", lambda package: object())
    reason = row.unavailable()
    assert reason == availability.no_device()
    assert binding.unavailable(row) == reason
    assert "pip install 'xent-numba[cuda]'" in reason
    assert row.device == "cuda"


@pytest.mark.parametrize("name", [*ROWS, "numba_cuda"])
def test_every_row_of_a_gpu_is_timed_by_its_events(name):
    """Without that it would be timed by the host's clock, which sees a launch and no more."""
    module = registry.get(name).module
    for needed in ("bind", "on_host", "timer", "clock"):
        assert callable(getattr(module, needed)), (name, needed)
