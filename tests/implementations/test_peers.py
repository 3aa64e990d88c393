"""The adapters of other libraries: what they compute, what they bind, and what they leave alone."""

from __future__ import annotations

import os
import subprocess
import sys
from importlib import metadata

import numpy as np
import pytest

import xent_numba
from xent_numba import ImplementationUnavailableError, known_failures, peer, registry, workloads
from xent_numba.operations import OPERATIONS

PACKAGES = {
    "duckdb_sql": "duckdb",
    "jax_jit": "jax",
    "numexpr_vm": "numexpr",
    "onnxruntime_graph": "onnxruntime",
    "polars_expr": "polars",
    "scipy_special": "scipy",
    "sklearn_log_loss": "sklearn",
    "sklearn_loss": "sklearn",
    "torch_compiled": "torch",
    "torch_eager": "torch",
}
# The folder says what there is: a file that was removed is not missed here.
PEERS = sorted(PACKAGES.keys() & set(registry.names()))
PAIRS = [
    pytest.param(name, operation, id=f"{name}-{operation}")
    for name in PEERS
    for operation in registry.get(name).operations
]
LOSSES = [pair for pair in PAIRS if pair.values[1] != "sigmoid"]
RTOL = {"float32": 1e-5, "float64": 1e-12}
# What the cancellation in some of them leaves of a small loss.
ATOL = {"float32": 1e-6, "float64": 1e-14}


def require(name):
    if reason := registry.get(name).unavailable():
        if name in os.environ.get("XENT_REQUIRE", "").split(","):
            pytest.fail(f"{name} is required: {reason}")
        pytest.skip(f"{name}: {reason}")


def compute(operation, arguments, implementation, **options):
    return getattr(xent_numba, operation)(*arguments, implementation=implementation, **options)


def assert_agree(got, expected, dtype, terms=1):
    if not isinstance(expected, tuple):
        got, expected = (got,), (expected,)
    for a, b in zip(got, expected, strict=True):
        a = np.asarray(a)
        assert a.dtype == dtype
        np.testing.assert_allclose(a, b, RTOL[dtype], ATOL[dtype] * terms)


@pytest.mark.parametrize(("name", "operation"), LOSSES)
def test_soft_labels(name, operation):
    require(name)
    if not OPERATIONS[operation].labels.soft:
        pytest.skip(f"{operation} takes hard labels")
    first, _ = workloads.sample("gaussian", 1001).arguments(OPERATIONS[operation])
    arguments = first, np.linspace(0, 1, 1001)
    expected = compute(operation, arguments, "numpy_stable")
    assert_agree(compute(operation, arguments, name), expected, "float64")


@pytest.mark.parametrize("workload", ["gaussian", "gaussian-soft-weighted"])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(("name", "operation"), PAIRS)
def test_bound_call_gives_what_the_function_gives(name, operation, dtype, workload):
    require(name)
    chosen = OPERATIONS[operation]
    if not chosen.labels and workload != "gaussian":
        pytest.skip(f"{operation} has nothing to weigh")
    hard = workload == "gaussian" or not chosen.labels.soft
    workload = workload.replace("-soft", "") if hard else workload
    sample = workloads.sample(workload, 10_007, dtype, "int8" if hard else dtype)
    arguments = sample.arguments(chosen)
    if chosen.first == "probabilities":
        # Infinite losses of a probability of 0 or 1, which some clamp, are no question here.
        arguments = (np.clip(arguments[0], 1e-4, 1 - 1e-4).astype(dtype), *arguments[1:])
    before = [array.copy() for array in arguments]
    for reduction in chosen.reductions:
        options = {} if operation == "sigmoid" else {"reduction": reduction}
        if len(arguments) > 2:
            options["sample_weight"] = arguments[2]
        expected = compute(operation, arguments[:2], name, **options)
        call = registry.get(name).module.bind(operation, arguments, reduction)
        for _ in range(2):
            assert_agree(call(), expected, dtype)
    for array, copy in zip(arguments, before, strict=True):
        np.testing.assert_array_equal(array, copy)


def test_what_a_peer_has_no_function_for_is_not_there():
    if "sklearn_loss" not in PEERS:
        pytest.skip("sklearn_loss was removed")
    require("sklearn_loss")
    with pytest.raises(ImplementationUnavailableError, match="does not compute logistic_loss"):
        compute("logistic_loss", ([1.0], [1.0]), "sklearn_loss")


@pytest.mark.parametrize("name", PEERS)
def test_the_version_of_what_is_called_can_be_asked(name):
    require(name)
    assert metadata.version(registry.get(name).module.DISTRIBUTION)


@pytest.mark.usefixtures("without_packages")
@pytest.mark.parametrize("name", PEERS)
def test_missing_package_says_what_to_install(name):
    reason = registry.get(name).unavailable()
    assert f"{PACKAGES[name]} is not installed: pip install 'xent-numba[" in reason


def test_torch_compiled_needs_a_compiler(monkeypatch):
    if "torch_compiled" not in PEERS:
        pytest.skip("torch_compiled was removed")
    module = registry.get("torch_compiled").module
    monkeypatch.setattr(module.shutil, "which", lambda command: None)
    assert "needs the C++ compiler" in module.unavailable()


@pytest.mark.parametrize(("name", "operation"), PAIRS)
def test_summary_says_what_is_called(name, operation):
    summary = registry.get(name).operations[operation].summary
    assert summary.endswith(".")
    assert any(word in summary for word in PACKAGES.values())


def test_listing_the_peers_imports_none_of_them():
    code = (
        "import sys; from xent_numba import registry;"
        f"[registry.get(name).unavailable() for name in {PEERS}];"
        f"assert not set({list(PACKAGES.values())}) & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_threads_are_those_of_numba(monkeypatch):
    monkeypatch.setenv("NUMBA_NUM_THREADS", "3")
    assert peer.threads() == 3
    monkeypatch.delenv("NUMBA_NUM_THREADS")
    assert 1 <= peer.threads() <= os.cpu_count()


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_cliffs_are_where_exp_breaks(dtype):
    at, limits = known_failures.CLIFFS[dtype], np.finfo(dtype)
    kind = limits.dtype.type

    def just_below(x):
        return np.nextafter(
            kind(x) if kind(x) >= x else np.nextafter(kind(x), kind(np.inf)), kind(0)
        )

    with np.errstate(all="ignore"):
        overflow = np.nextafter(just_below(at.overflow), kind(np.inf))
        assert np.isinf(np.exp(overflow))
        assert np.isfinite(np.exp(just_below(at.overflow)))
        wide = np.longdouble
        subnormal = wide(np.nextafter(just_below(at.subnormal), kind(np.inf)))
        assert (
            np.exp(-subnormal) < limits.smallest_normal <= np.exp(-wide(just_below(at.subnormal)))
        )
        steps = np.exp(-wide(at.vanishes(3))) / wide(limits.smallest_subnormal)
        assert steps == pytest.approx(3, rel=1e-12)
    assert at.largest == limits.max
