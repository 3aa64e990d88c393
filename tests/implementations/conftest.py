"""Numba's CUDA, where there is a GPU."""

from __future__ import annotations

import os

import pytest

from xent_numba import registry


@pytest.fixture(scope="module")
def cuda():
    module = registry.get("numba_cuda").module
    if reason := module.unavailable_for_timing():
        if "numba_cuda" in os.environ.get("XENT_REQUIRE", "").split(",") and (
            "simulator" not in reason
        ):
            pytest.fail(f"numba_cuda is required by XENT_REQUIRE: {reason}")
        pytest.skip(f"numba_cuda: {reason}")
    from numba import cuda

    return cuda
