"""A few samples take another way to the same bits, and as quietly."""

from __future__ import annotations

import os
import subprocess
import sys
import warnings

import numpy as np
import pytest

import xent_numba as xn

ENDS = [np.inf, -np.inf, np.nan, 0.0, -0.0, 1e-310, -87.5, -104.0, -745.2, 1e38]


@pytest.mark.parametrize(("dtype", "bits"), [(np.float32, np.int32), (np.float64, np.int64)])
def test_sigmoid(dtype, bits):
    scores = np.concatenate([np.random.default_rng(2).normal(0, 50, 5000), ENDS]).astype(dtype)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        many = xn.sigmoid(scores)
        few = np.concatenate([xn.sigmoid(part) for part in np.split(scores, 501)])
    assert np.isnan(few[-8])
    number = ~np.isnan(scores)
    np.testing.assert_array_equal(few[number].view(bits), many[number].view(bits))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("end", [-745.2, -87.5, 80.0, np.inf, -np.inf, np.nan])
def test_underflow_is_no_error_where_numpy_would_raise(dtype, end):
    scores = np.array([end, 0.0], dtype)
    out = np.empty_like(scores)
    expected = xn.sigmoid(np.resize(scores, 3000))[:2]
    with np.errstate(all="raise"):
        for found in (
            xn.sigmoid(scores),
            xn.sigmoid(scores, out=out),
            xn.sigmoid(scores.astype(scores.dtype.newbyteorder())),
        ):
            np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("name", ["auto", "numba_parallel"])
def test_results_go_where_they_are_sent(name):
    scores = np.linspace(-3, 3, 6).reshape(2, 3)
    out = np.empty((2, 3))
    assert xn.sigmoid(scores, out=out, implementation=name) is out
    np.testing.assert_array_equal(out, xn.sigmoid(scores))


@pytest.mark.parametrize("scores", [[1.0, -2.0], np.array([1, 0]), np.zeros((2, 3))[:, ::2]])
def test_what_the_short_way_leaves_to_the_long_one(scores):
    expected = 1 / (1 + np.exp(-np.asarray(scores, np.float64)))
    np.testing.assert_allclose(xn.sigmoid(scores), expected, rtol=1e-15)
    with pytest.raises(TypeError, match="complex"):
        xn.sigmoid(np.zeros(2, complex))
    assert xn.sigmoid(np.zeros(2, ">f4")).dtype == np.float32


FIRST = """
import numpy as np, pathlib, sys, xent_numba
for n in (5000, 5):
    xent_numba.sigmoid(np.ones(n, np.float32))
    made = pathlib.Path(sys.argv[1]).rglob("*.nbc")
    print(*sorted(path.name.partition("-")[0] for path in made), end=";")
"""


def test_a_first_call_compiles_what_it_needs(tmp_path):
    environment = os.environ | {"NUMBA_CACHE_DIR": str(tmp_path)}
    command = [sys.executable, "-c", FIRST, str(tmp_path)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    many, both, _ = done.stdout.split(";")
    assert many == "sigmoid_whole"
    assert both == "sigmoid_ufunc_float32 sigmoid_whole"
