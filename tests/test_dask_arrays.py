"""Dask arrays give what NumPy arrays give, chunk by chunk."""

import numpy as np
import pytest

import xent_numba
from xent_numba.operations import OPERATIONS, REDUCTIONS

da = pytest.importorskip(
    "dask.array", reason="dask is not installed: pip install 'xent-numba[dask]'"
)

LOSSES = [operation for operation in OPERATIONS.values() if operation.labels]
HERE = {"implementation": "numpy_stable"}


def arguments(operation, shape=(60, 7)):
    rng = np.random.default_rng(20)
    first = (
        rng.uniform(size=shape) if operation.first == "probabilities" else rng.normal(size=shape)
    )
    return first, rng.choice(operation.labels.hard, size=shape).astype(np.int8)


def test_sigmoid_is_lazy_and_chunked():
    scores = np.linspace(-9, 9, 120).reshape(12, 10)
    lazy = xent_numba.sigmoid(da.from_array(scores, chunks=(5, 4)), **HERE)
    assert lazy.chunks == ((5, 5, 2), (4, 4, 2))
    np.testing.assert_array_equal(lazy.compute(), xent_numba.sigmoid(scores, **HERE))


@pytest.mark.parametrize("operation", LOSSES, ids=lambda o: o.name)
@pytest.mark.parametrize("reduction", REDUCTIONS)
@pytest.mark.parametrize("weighted", [False, True])
def test_losses_match_numpy(operation, reduction, weighted):
    function = getattr(xent_numba, operation.name)
    first, labels = arguments(operation)
    weight = np.random.default_rng(3).uniform(size=first.shape) if weighted else None
    options = {"sample_weight": weight, "reduction": reduction, **HERE}
    # Labels keep a chunking of their own, which has to be brought to that of the scores.
    lazy = function(
        da.from_array(first, chunks=(25, 3)), da.from_array(labels, chunks=9), **options
    )
    lazy, expected = (
        r if operation.gradient else (r,) for r in (lazy, function(first, labels, **options))
    )
    for got, want in zip(lazy, expected, strict=True):
        assert got.dtype == want.dtype
        np.testing.assert_allclose(got.compute(), want, rtol=1e-13)


@pytest.mark.parametrize(
    "scheduler", ["synchronous", "threads", pytest.param("processes", marks=pytest.mark.slow)]
)
@pytest.mark.parametrize("reduction", REDUCTIONS)
@pytest.mark.parametrize("by", ["auto", "numpy_stable"])
def test_an_error_names_the_place_in_the_whole(scheduler, reduction, by):
    if scheduler == "processes" and reduction != "mean":
        return
    scores = da.zeros((50, 100), chunks=(7, 30))
    for name, value in (("labels", 3), ("sample_weight", -1.0)):
        bad = np.ones((50, 100))
        bad[43, 71] = value
        given = {"labels": np.ones((50, 100)), name: da.from_array(bad, chunks=(20, 100))}
        lazy = xent_numba.logistic_loss(scores, **given, reduction=reduction, implementation=by)
        with pytest.raises(ValueError, match=rf"{name}\[43, 71\] is {value}"):
            lazy.compute(scheduler=scheduler)


@pytest.mark.parametrize(
    ("options", "message"),
    [({"out": np.empty(4)}, "out is a ndarray"), ({"reduction": "max"}, "reduction is 'max'")],
)
def test_bad_arguments(options, message):
    with pytest.raises((TypeError, ValueError), match=message):
        xent_numba.logistic_loss(da.zeros(4), np.ones(4), **options)


def test_shapes_must_match():
    with pytest.raises(ValueError, match="labels has shape"):
        xent_numba.logistic_loss(da.zeros(4), np.ones((4, 1)))


def test_mean_over_no_samples():
    with pytest.raises(ValueError, match="no samples"):
        xent_numba.logistic_loss(da.zeros(0), np.ones(0))


def test_weights_that_sum_to_zero():
    lazy = xent_numba.logistic_loss(da.zeros(4), np.ones(4), sample_weight=np.zeros(4), **HERE)
    with pytest.raises(ValueError, match="sample_weight sums to 0"):
        lazy.compute()


def test_dtypes_are_those_of_numpy_arrays():
    assert xent_numba.sigmoid(da.zeros(4, dtype=">f4"), **HERE).dtype == np.float32
    assert xent_numba.sigmoid(da.zeros(4, dtype=int), **HERE).dtype == np.float64
    for bad in (da.zeros(4, dtype=complex), da.from_array(np.array(["1", "2"]))):
        with pytest.raises(TypeError, match="scores has dtype"):
            xent_numba.sigmoid(bad, **HERE)


def test_chunks_of_unknown_size():
    scores = da.arange(9.0, chunks=3)
    with pytest.raises(ValueError, match="chunks of unknown size"):
        xent_numba.logistic_loss(scores[scores > 3], np.ones(5), **HERE)


@pytest.mark.parametrize("scale", [1e-305, 1e-50, 1e40, 1e305])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_weighted_mean_does_not_depend_on_the_scale_of_the_weights(dtype, scale):
    scores = np.linspace(-3, 3, 12, dtype=dtype)
    labels = np.ones(12, np.int8)
    weight = np.linspace(0, 2, 12)
    weight[4:8] = 0

    def found(weight):
        lazy = xent_numba.logistic_loss_and_grad(
            da.from_array(scores, chunks=4), labels, sample_weight=weight, **HERE
        )
        return np.hstack([one.compute() for one in lazy])

    expected = np.hstack(
        xent_numba.logistic_loss_and_grad(scores, labels, sample_weight=weight, **HERE)
    )
    np.testing.assert_allclose(found(weight * scale), expected, rtol=8 * np.finfo(dtype).eps)


@pytest.mark.parametrize(("dtype", "score"), [("float64", -1e308), ("float32", -3e38)])
def test_a_mean_is_finite_where_its_sum_is_not(dtype, score):
    lazy = xent_numba.logistic_loss(da.full(6, score, dtype=dtype, chunks=2), np.ones(6), **HERE)
    assert lazy.compute() == -np.dtype(dtype).type(score)


def test_chunks_without_samples_count_nothing():
    scores = da.from_array(np.ones(4), chunks=((2, 0, 2),))
    for weight in (None, np.ones(4)):
        lazy = xent_numba.logistic_loss(scores, np.ones(4), sample_weight=weight, **HERE)
        whole = xent_numba.logistic_loss(np.ones(4), np.ones(4), sample_weight=weight, **HERE)
        assert lazy.compute() == whole
