"""Arrays of every kind, through every implementation: same values, nothing written but outputs."""

from __future__ import annotations

import numpy as np
import pytest

from xent_numba.host_arrays import LABEL_DTYPES

LOSSES = pytest.mark.targets(lambda t: t.operation.labels)
FLOAT32 = pytest.mark.targets(lambda t: t.dtype == np.float32)
SIMPLE_ONES_ALIKE = pytest.mark.slow_targets(
    lambda t: t.name == "numba_simple" and t.operation.name not in ("sigmoid", "logistic_loss")
)
"""The simple kernels are compiled for every layout, and they are written alike."""
PARALLEL_ONES_ALIKE = pytest.mark.slow_targets(
    lambda t: (
        t.name == "numba_parallel"
        and t.operation.name in ("logistic_loss", "binary_cross_entropy_with_logits_and_grad")
    )
)
"""Of losses on scores one with a gradient and one without stand for all: both are one kernel."""
SHAPE = (6, 10)


def loss_of(target, result):
    return result[0] if target.operation.gradient else result


def unaligned(array):
    buffer = np.empty(array.nbytes + 1, np.uint8)[1:]
    copy = np.ndarray(array.shape, array.dtype, buffer)
    copy[...] = array
    return copy


def strided(array):
    wide = np.zeros((*array.shape[:-1], 2 * array.shape[-1]), array.dtype)
    wide[..., ::2] = array
    return wide[..., ::2]


def reversed_view(array):
    return array[::-1, ::-1].copy()[::-1, ::-1]


def swapped(array):
    return array.astype(array.dtype.newbyteorder())


def broadcast_rows(array):
    """Rows that share their memory; the samples are those of the first row."""
    return np.broadcast_to(array[:1], array.shape)


LAYOUTS = {
    "fortran": np.asfortranarray,
    "strided": strided,
    "reversed": reversed_view,
    "unaligned": unaligned,
    "byte-swapped": swapped,
    "broadcast": broadcast_rows,
    "three dimensions": lambda a: a.reshape(2, 3, 10),
    "transposed": lambda a: a.T.copy().T,
}


def given(target):
    return tuple(array.reshape(SHAPE) for array in target.sample(60))


def assert_same(target, arguments, plain):
    """`arguments` give what C-contiguous copies of the same values give, and keep their values."""
    before = [array.copy() for array in arguments]
    got = target.per_sample(*arguments)
    expected = target.per_sample(*plain)
    for kind, values in got.items():
        assert values.shape == arguments[0].shape
        assert values.dtype == target.dtype
        # A vectorised library may take another path for another layout.
        steps = 0 if target.name.startswith("numba") else np.ceil(2 * target.limit(kind))
        np.testing.assert_array_max_ulp(values, expected[kind].reshape(values.shape), max(steps, 1))
    for array, original in zip(arguments, before, strict=True):
        np.testing.assert_array_equal(array, original)
    if target.operation.labels is not None:
        reduced = loss_of(target, target(*arguments, reduction="sum"))
        assert reduced.dtype == target.dtype
        assert float(reduced) == pytest.approx(got["loss"].sum(dtype=float), rel=1e-5)


@FLOAT32
@SIMPLE_ONES_ALIKE
@pytest.mark.parametrize("layout", LAYOUTS)
def test_layouts(target, layout):
    arguments = tuple(LAYOUTS[layout](array) for array in given(target))
    plain = tuple(
        np.ascontiguousarray(array.astype(array.dtype.newbyteorder("="))) for array in arguments
    )
    assert_same(target, arguments, plain)


@FLOAT32
@SIMPLE_ONES_ALIKE
@PARALLEL_ONES_ALIKE
def test_read_only(target):
    arguments = given(target)
    for array in arguments:
        array.flags.writeable = False
    assert_same(target, arguments, given(target))


@FLOAT32
@SIMPLE_ONES_ALIKE
@PARALLEL_ONES_ALIKE
def test_memory_map(target, tmp_path):
    arguments = []
    for i, array in enumerate(given(target)):
        np.save(tmp_path / f"{i}.npy", array)
        arguments.append(np.load(tmp_path / f"{i}.npy", mmap_mode="r"))
    assert_same(target, tuple(arguments), given(target))


@FLOAT32
@SIMPLE_ONES_ALIKE
def test_no_dimensions(target):
    scalars = tuple(array[0, 0] for array in given(target))
    plain = target.per_sample(*(array[:1, 0].copy() for array in given(target)))
    for arguments in (scalars, tuple(np.array(scalar) for scalar in scalars)):
        got = target.per_sample(*arguments)
        for kind, value in got.items():
            assert np.shape(value) == ()
            assert value.dtype == target.dtype
            np.testing.assert_array_max_ulp(value, plain[kind][0], 4)


@FLOAT32
@SIMPLE_ONES_ALIKE
@pytest.mark.parametrize("shape", [(0,), (0, 3), (2, 0, 4)])
def test_no_samples(target, shape):
    arguments = tuple(np.empty(shape, array.dtype) for array in given(target))
    for values in target.per_sample(*arguments).values():
        assert values.shape == shape
        assert values.dtype == target.dtype
    if target.operation.labels is not None:
        result = target(*arguments, reduction="sum")
        assert loss_of(target, result) == 0
        assert not np.signbit(loss_of(target, result))
        with pytest.raises(ValueError, match=r"reduction is 'mean'.*no samples"):
            target(*arguments, reduction="mean")


@FLOAT32
@pytest.mark.targets(lambda t: t.operation.labels and not t.operation.gradient)
@pytest.mark.targets(lambda t: t.name != "numba_parallel")
@pytest.mark.parametrize("label_dtype", [str(dtype) for dtype in LABEL_DTYPES])
def test_label_dtypes(target, label_dtype):
    """Every dtype that can hold the labels gives what int8 gives, to the bit."""
    assert_label_dtype_does_not_matter(target, label_dtype)


@FLOAT32
@PARALLEL_ONES_ALIKE
@pytest.mark.targets(lambda t: t.operation.labels and not t.operation.gradient)
@pytest.mark.targets(lambda t: t.name == "numba_parallel")
@pytest.mark.parametrize(
    "label_dtype",
    [
        *("bool", "int64", "float32", "float64"),
        *(pytest.param(name, marks=pytest.mark.slow) for name in ("uint8", "int32")),
    ],
)
def test_label_dtypes_that_are_compiled_for(target, label_dtype):
    assert_label_dtype_does_not_matter(target, label_dtype)


@FLOAT32
@PARALLEL_ONES_ALIKE
@pytest.mark.targets(lambda t: t.operation.gradient)
@pytest.mark.parametrize("label_dtype", ["bool", "float32", "float64"])
def test_label_dtypes_with_gradient(target, label_dtype):
    """Three stand for all: a compiler spends seconds on each."""
    assert_label_dtype_does_not_matter(target, label_dtype)


def assert_label_dtype_does_not_matter(target, label_dtype):
    first, labels = target.sample(300)
    if target.operation.labels.hard[0] < 0 and np.dtype(label_dtype).kind in "bu":
        labels[...] = 1
        first = np.abs(first)
        failing = [
            target.declaration.known_failure(s, 1.0, target.dtype.name) for s in first.tolist()
        ]
        first[np.array([f is not None for f in failing])] = 0.5
    cast = labels.astype(label_dtype)
    assert (cast == labels).all()
    for reduction in ("none", "mean"):
        got = target(first, cast, reduction=reduction)
        expected = target(first, labels, reduction=reduction)
        if not target.operation.gradient:
            got, expected = (got,), (expected,)
        for mine, theirs in zip(got, expected, strict=True):
            np.testing.assert_array_equal(mine, theirs)
    np.testing.assert_array_equal(cast, labels)


@pytest.mark.targets(lambda t: t.dtype == np.float64 and not t.operation.gradient)
def test_lists_and_integers_become_float64(target):
    first, *rest = target.sample(9)
    whole = [0, 1] if target.operation.first == "probabilities" else [-2, -1, 0, 1]
    labels = [target.operation.labels.hard[1]] * len(whole) if rest else None
    if all(
        target.declaration.known_failure(float(v), 1.0, "float64") is None
        and target.declaration.known_failure(float(v), None, "float64") is None
        for v in whole
    ):
        got = target.per_sample(whole, *([labels] if rest else []))
        same = target.per_sample(np.array(whole, float), *([np.array(labels)] if rest else []))
        for kind in got:
            assert got[kind].dtype == np.float64
            np.testing.assert_array_equal(got[kind], same[kind])
    listed = target.per_sample(first.tolist(), *(array.tolist() for array in rest))
    same = target.per_sample(first, *rest)
    for kind in listed:
        np.testing.assert_array_max_ulp(listed[kind], same[kind], 4)


@FLOAT32
def test_out(target):
    first, *rest = target.sample(60)
    options = {"out": np.full(60, 7, target.dtype)}
    if target.operation.gradient:
        options["grad_out"] = np.full((60, 2), 7, target.dtype)[:, 1]
    got = target.per_sample(first, *rest, **options)
    fresh = target.per_sample(first, *rest)
    assert got["loss"] is options["out"]
    np.testing.assert_array_max_ulp(got["loss"], fresh["loss"], 4)
    if target.operation.gradient:
        assert got["gradient"] is options["grad_out"]
        np.testing.assert_array_max_ulp(got["gradient"], fresh["gradient"], 4)


@FLOAT32
@LOSSES
@pytest.mark.parametrize("reduction", ["sum", "mean"])
def test_out_of_a_reduced_loss(target, reduction):
    arguments = target.sample(60)
    out = np.array(7, target.dtype)
    result = loss_of(target, target(*arguments, reduction=reduction, out=out))
    assert result is out
    assert out == loss_of(target, target(*arguments, reduction=reduction))


@FLOAT32
@LOSSES
def test_weights(target):
    """Weight 1 changes nothing, 2 counts twice, 0 not at all; gradients follow the reduction."""
    first, labels = target.sample(200)
    weights = np.random.default_rng(1).choice(np.array([0, 1, 2], target.dtype), 200)
    repeats = weights.astype(int)
    repeated = (first.repeat(repeats), labels.repeat(repeats))
    for reduction in ("sum", "mean"):
        weighted = target(first, labels, reduction=reduction, sample_weight=weights)
        counted = target(*repeated, reduction=reduction)
        assert loss_of(target, weighted) == pytest.approx(float(loss_of(target, counted)), rel=2e-6)
        if target.operation.gradient:
            _, gradient = target(first, labels, reduction="none")
            divisor = 1 if reduction == "sum" else weights.sum()
            np.testing.assert_allclose(
                weighted[1], gradient * weights / divisor, rtol=1e-5, atol=1e-40
            )
            assert (weighted[1][weights == 0] == 0).all()


@FLOAT32
@LOSSES
def test_weights_that_sum_to_zero(target):
    first, labels = target.sample(20)
    zeros = np.zeros(20, target.dtype)
    with pytest.raises(ValueError, match="sample_weight sums to 0; accepted for a mean is"):
        target(first, labels, sample_weight=zeros)
    assert loss_of(target, target(first, labels, sample_weight=zeros, reduction="sum")) == 0


@FLOAT32
@LOSSES
@pytest.mark.parametrize("bad", [-1, np.nan, np.inf])
def test_bad_weight_is_named(target, bad):
    first, labels = given(target)
    weights = np.ones(SHAPE, target.dtype)
    weights[3, 4], weights[5, 5] = bad, -3
    with pytest.raises(ValueError, match=rf"sample_weight\[3, 4\] is {bad}.*finite value >= 0"):
        target(first, labels, sample_weight=weights)


@FLOAT32
@LOSSES
@pytest.mark.parametrize("reduction", ["none", "mean"])
@pytest.mark.parametrize("bad", [2, 5, -3, "between"])
def test_bad_label_is_named_and_outputs_hold_nan(target, reduction, bad):
    first, labels = given(target)
    labels = labels.astype(np.float32)
    if bad == "between":
        bad = -0.5 if target.operation.labels.soft else 0.5
    labels[2, 7], labels[4, 0] = bad, 9
    before = first.copy(), labels.copy()
    options = {"out": np.ones(SHAPE if reduction == "none" else (), target.dtype)}
    if target.operation.gradient:
        options["grad_out"] = np.ones(SHAPE, target.dtype)
    with pytest.raises(ValueError, match=rf"labels\[2, 7\] is {float(bad)}; accepted is"):
        target(first, labels, reduction=reduction, **options)
    if reduction == "none":
        assert np.isnan(options["out"]).all()
    if target.operation.gradient:
        assert np.isnan(options["grad_out"]).all()
    np.testing.assert_array_equal(first, before[0])
    np.testing.assert_array_equal(labels, before[1])


@FLOAT32
@LOSSES
@pytest.mark.parametrize("place", [0, 4095, 4096, 9999])
def test_bad_label_is_found_anywhere(target, place):
    """In the first block, at its ends, and in the last and shorter one."""
    first, labels = target.sample(10_000)
    labels[place] = 3
    with pytest.raises(ValueError, match=rf"labels\[{place}\] is 3; accepted is"):
        target(first, labels, reduction="sum")


@FLOAT32
@LOSSES
def test_nan_label_is_refused(target):
    first, labels = target.sample(30)
    labels = labels.astype(np.float32)
    labels[11] = np.nan
    with pytest.raises(ValueError, match=r"labels\[11\] is nan; accepted is"):
        target(first, labels, reduction="sum")


@pytest.mark.targets(lambda t: t.operation.first == "probabilities")
@pytest.mark.parametrize("bad", [-1e-30, 1.5, np.nan, np.inf])
def test_bad_probability_is_named(target, bad):
    first, labels = given(target)
    first[1, 2], first[3, 3] = bad, 2
    with pytest.raises(ValueError, match=r"probabilities\[1, 2\] is .*; accepted is a value in"):
        target(first, labels)


@FLOAT32
@LOSSES
def test_nan_scores_propagate(target):
    if target.operation.first == "probabilities":
        pytest.skip("a NaN probability is an error")
    first, labels = target.sample(300)
    first[[3, 290]] = np.nan
    for values in target.per_sample(first, labels).values():
        np.testing.assert_array_equal(np.flatnonzero(np.isnan(values)), [3, 290])
