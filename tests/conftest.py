"""A test that asks for `target` runs on every implementation, operation and dtype it applies to.

Targets come from the registry, so a new file in the folder is tested without an edit here. An
implementation that cannot run here is skipped by name; ``XENT_REQUIRE=name,name`` turns that into a
failure, for machines that are meant to have it.
"""

from __future__ import annotations

import importlib.util
import os
import shutil
import signal
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import hypothesis
import numpy as np
import pytest
from required import missing

import xent_numba
from xent_numba import registry
from xent_numba.accuracy.tolerance import Tolerance
from xent_numba.operations import OPERATIONS, Operation
from xent_numba.registry import Declaration

hypothesis.settings.register_profile("suite", deadline=None, derandomize=True, max_examples=50)
hypothesis.settings.load_profile("suite")

DTYPES = ("float32", "float64")
BROWSERS = ("chromium", "chromium-browser", "google-chrome", "chrome")


@dataclass(frozen=True)
class Target:
    """One implementation of one operation in one dtype."""

    name: str
    operation: Operation
    dtype: np.dtype
    declaration: Declaration

    @property
    def function(self) -> Callable[..., Any]:
        return getattr(xent_numba, self.operation.name)

    def __call__(self, *arguments: Any, **options: Any) -> Any:
        return self.function(*arguments, implementation=self.name, **options)

    def per_sample(self, *arguments: Any, **options: Any) -> dict[str, np.ndarray]:
        """Loss or sigmoid, and gradient, of each sample, by kind."""
        if self.operation.labels is not None:
            options["reduction"] = "none"
        result = self(*arguments, **options)
        kinds = ("loss", "gradient") if self.operation.gradient else ("loss",)
        return dict(zip(kinds, result if self.operation.gradient else (result,), strict=True))

    def limit(self, kind: str) -> float:
        """Declared accuracy in ULP."""
        by_dtype = {
            "loss": self.declaration.max_ulp,
            "gradient": self.declaration.max_ulp_gradient,
        }
        return by_dtype[kind][self.dtype.name]

    @property
    def tolerance(self) -> Tolerance:
        """Declared accuracy, as the judge takes it; failures are not excused."""
        gradient = self.limit("gradient") if self.operation.gradient else None
        soft = self.declaration.max_ulp_soft.get(self.dtype.name)
        return Tolerance(self.limit("loss"), gradient, soft)

    def sample(self, size: int, label_dtype: str = "int8", seed: int = 7) -> tuple[np.ndarray, ...]:
        """Random arguments on which no failure is declared."""
        rng = np.random.default_rng(seed)
        first = (rng.beta(2, 2, size) if self._probabilities else rng.normal(0, 4, size)).astype(
            self.dtype
        )
        if self.operation.labels is None:
            return (np.where(self._fails(first, None), self.dtype.type(0.5), first),)
        labels = rng.choice(self.operation.labels.hard, size)
        negative, positive = self.operation.labels.hard
        for label in (negative, positive):
            failing = (labels == label) & self._fails(first, label)
            # Nothing is known to fail at small scores, nor at probabilities of one half.
            first[failing] = self.dtype.type(0.5)
        return first, labels.astype(label_dtype)

    @property
    def _probabilities(self) -> bool:
        return self.operation.first == "probabilities"

    def _fails(self, first: np.ndarray, label: float | None) -> np.ndarray:
        values = first.astype(np.float64)
        fails = np.zeros(first.shape, bool)
        for failure in self.declaration.known_failures:
            if failure.label in (None, label) and failure.dtype in (None, self.dtype.name):
                fails |= (values >= failure.low) & (values <= failure.high)
        return fails


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line(
        "markers", "targets(where): restrict `target` to the targets for which where(target) holds"
    )
    config.addinivalue_line(
        "markers", "slow_targets(where): mark as slow the targets for which where(target) holds"
    )
    # A shell starts what runs in its background with SIGINT ignored, which children inherit: those
    # that tests interrupt would go on.
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "target" in metafunc.fixturenames:
        conditions, slow = (
            [mark.args[0] for mark in metafunc.definition.iter_markers(name)]
            for name in ("targets", "slow_targets")
        )
        targets = [
            pytest.param(t, marks=[pytest.mark.slow] if any(where(t) for where in slow) else [])
            for t in _all_targets()
            if all(condition(t) for condition in conditions)
        ]
        metafunc.parametrize("target", targets, indirect=True, ids=_identify)
    if "implementation" in metafunc.fixturenames:
        metafunc.parametrize("implementation", registry.names(), indirect=True)


@pytest.fixture
def target(request: pytest.FixtureRequest) -> Target:
    require(request.param.name)
    return request.param


@pytest.fixture
def implementation(request: pytest.FixtureRequest) -> str:
    """Name of an implementation that can run here."""
    require(request.param)
    return request.param


def require(name: str) -> None:
    """Skip, or fail, where an implementation cannot run."""
    if reason := registry.get(name).unavailable():
        missing(name, reason)


@pytest.fixture
def without_packages(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let no package be found, whatever is installed."""
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """Chromium: the one that XENT_BROWSER names, or the system's."""
    try:
        from playwright.sync_api import sync_playwright
    except ModuleNotFoundError:
        missing("browser", "playwright is not installed: pip install 'xent-numba[test]'")
    path = os.environ.get("XENT_BROWSER") or next(filter(None, map(shutil.which, BROWSERS)), None)
    if path is None:
        missing("browser", "no Chromium was found: install it, or set XENT_BROWSER to it")
    with sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        yield opened
        opened.close()


@pytest.fixture(scope="session")
def offline() -> Any:
    """`codegen.ptx`, where NVIDIA's wheels (the extra ``cuda-check``) are installed."""
    if importlib.util.find_spec("numba_cuda") is None:
        missing("cuda_check", "numba-cuda is not installed; pip install 'xent-numba[cuda-check]'")
    from xent_numba.codegen import ptx

    if reason := ptx.missing():
        missing("cuda_check", reason)
    return ptx


def _all_targets() -> list[Target]:
    return [
        Target(name, OPERATIONS[operation], np.dtype(dtype), declaration)
        for name, implementation in registry.implementations().items()
        for operation, declaration in implementation.operations.items()
        for dtype in DTYPES
    ]


def _identify(target: Target) -> str:
    return f"{target.name}-{target.operation.name}-{target.dtype}"
