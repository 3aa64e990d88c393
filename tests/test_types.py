"""User code as mypy and pyright see it; run as a test, and checked by both in .ci/run.

An `ignore` that is not needed is an error: what must be refused is.
"""

from __future__ import annotations

from typing import Any, assert_type

import numpy as np
from numpy.typing import NDArray

import xent_numba

Number = np.floating[Any]
Array = NDArray[np.floating[Any]]


def test_results_are_typed_by_the_reduction() -> None:
    scores = np.array([2.0, -1.0], dtype=np.float32)
    labels = np.array([1, -1], dtype=np.int8)
    assert_type(xent_numba.sigmoid(scores), Array)
    assert_type(xent_numba.sigmoid(0.5), Number)
    for loss in (
        assert_type(xent_numba.logistic_loss(scores, labels), Number),
        assert_type(xent_numba.logistic_loss([2.0, -1.0], [1, -1], reduction="sum"), Number),
    ):
        assert isinstance(loss, np.floating)
    losses = assert_type(xent_numba.logistic_loss(scores, labels, reduction="none"), Array)
    assert losses.shape == (2,)
    out = np.empty(2, dtype=np.float32)
    filled: NDArray[np.float32] = xent_numba.logistic_loss(
        scores, labels, reduction="none", out=out
    )
    assert filled is out


def test_pairs_are_typed_by_the_reduction() -> None:
    scores, labels = np.array([2.0, -1.0]), np.array([1, 0])
    loss, gradient = xent_numba.binary_cross_entropy_with_logits_and_grad(scores, labels)
    assert_type(loss, Number)
    assert_type(gradient, Array)
    both = xent_numba.logistic_loss_and_grad(scores, 2 * labels - 1, reduction="none")
    assert_type(both, tuple[Array, Array])


def test_functions_of_a_number_are_typed_by_it() -> None:
    assert_type(xent_numba.vectormath.exp(1.0), float)
    assert_type(xent_numba.vectormath.log1p(np.float32(1)), np.float32)
    assert xent_numba.vectormath.sigmoid(0) == 0.5


def misuse(scores: NDArray[np.float32], labels: NDArray[np.int8]) -> None:
    xent_numba.logistic_loss(scores, labels, reduction="median")  # type: ignore[call-overload]  # pyright: ignore
    xent_numba.logistic_loss(scores, labels, "sum")  # type: ignore[call-overload]  # pyright: ignore
    xent_numba.vectormath.exp(scores)  # type: ignore[type-var]  # pyright: ignore
    xent_numba.sigmoid(scores, implementation=1)  # type: ignore[call-overload]  # pyright: ignore


def test_public_names_are_the_ones_shown() -> None:
    shown = {name for name in dir(xent_numba) if not name.startswith("__")}
    assert shown == set(xent_numba.__all__)
