"""What holds more than numbers is refused with a sentence, or given back as what it is."""

from __future__ import annotations

import functools
import warnings

import numpy as np
import pytest

import xent_numba as xn

SCORES = np.array([0.5, -1.0, 2.0])
LABELS = np.array([1, -1, 1], np.int8)
HERE = {"implementation": "numpy_stable"}


class Unit:
    """Something that numbers are multiplied by."""

    def __mul__(self, other):
        return self

    def __str__(self):
        return "metre"


class Behind:
    """An array that NumPy gets at only by asking for it, as a variable of a file is."""

    units = "1"

    def __init__(self, array):
        self.array = array

    def __array__(self, dtype=None, copy=None):
        return self.array


class Scaled(Behind):
    """A quantity that is no array."""

    units = Unit()


class Percent(np.ndarray):
    """A quantity that is an array with arithmetic of its own."""

    def __array_ufunc__(self, ufunc, method, *inputs, **options):
        return NotImplemented


class Refusing:
    """A tensor that gives its numbers to nobody."""

    def __array__(self, dtype=None, copy=None):
        raise RuntimeError("call detach() first.\nA long story follows")


MASKED = np.ma.masked_array(SCORES, [False, True, False])
MEANING = {
    "a mask": (MASKED, "MaskedArray, whose mask would be ignored"),
    "a mask behind __array__": (Behind(MASKED), "Behind, whose mask would be ignored"),
    "masks in a list": ([MASKED, MASKED], "MaskedArray, whose mask would be ignored"),
    "masks in a list of tuples": (
        [(MASKED[0], MASKED[1]), (1.0, 2.0)],
        "MaskedConstant, whose mask would be ignored",
    ),
    "a masked constant in a list": ([1.0, np.ma.masked, 2.0], "MaskedConstant, whose mask"),
    "a unit": (Scaled(SCORES), "Scaled in units of metre, which would be ignored"),
    "units in a list": ([Scaled(0.5), Scaled(1.0)], "Scaled in units of metre"),
    "arithmetic of its own": (SCORES.view(Percent), "Percent, whose arithmetic is its own"),
    "the same behind __array__": (Behind(SCORES.view(Percent)), "Behind, whose arithmetic is its"),
    "a refusal": (Refusing(), r"no array \(call detach\(\) first\); accepted"),
}


@pytest.mark.parametrize("name", ["scores", "labels", "sample_weight"])
@pytest.mark.parametrize("case", MEANING)
def test_more_than_numbers_is_refused(case, name):
    value, message = MEANING[case]
    arguments = {"scores": SCORES, "labels": LABELS, "sample_weight": np.ones(3), name: value}
    with pytest.raises(TypeError, match=rf"{name} is (a )?{message}") as raised:
        xn.logistic_loss(**arguments)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("case", MEANING)
def test_more_than_probabilities_is_refused(case):
    value, message = MEANING[case]
    with pytest.raises(TypeError, match=f"probabilities is (a )?{message}"):
        xn.binary_cross_entropy(value, np.ones(3), reduction="none")


@pytest.mark.parametrize(
    "value",
    [
        Behind(SCORES),
        SCORES.tolist(),
        tuple(SCORES),
        list(SCORES),
        [SCORES[:1], SCORES[1:2], SCORES[2:]],
        SCORES[None].view(np.matrix),
        SCORES.astype(np.longdouble),
        SCORES.astype(">f8"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_numbers_in_whatever_holds_them_are_taken(value):
    np.testing.assert_array_equal(xn.sigmoid(value).ravel(), xn.sigmoid(SCORES))


@pytest.mark.parametrize(
    "out",
    [np.zeros((1, 1)).view(np.matrix), np.ma.masked_array([0.0]), np.zeros(1).view(Percent)],
    ids=lambda out: type(out).__name__,
)
def test_an_out_that_is_more_than_an_array_is_refused(out):
    kind = type(out).__name__
    message = rf"is a {kind}; accepted is a numpy.ndarray itself, such as its .view\("
    for name in ("out", "grad_out"):
        with pytest.raises(TypeError, match=f"^{name} {message}"):
            xn.logistic_loss_and_grad(
                np.zeros(out.shape), np.ones(out.shape), reduction="none", **{name: out}
            )
    with pytest.raises(TypeError, match=f"^out {message}"):
        xn.sigmoid(np.zeros(out.shape), out=out)
    np.testing.assert_array_equal(np.asarray(out).ravel(), [0.0])


def test_a_memory_map_takes_results(tmp_path):
    out = np.memmap(tmp_path / "out", float, "w+", shape=3)
    assert xn.sigmoid(SCORES, out=out) is out
    np.testing.assert_array_equal(out, xn.sigmoid(SCORES))
    grad_out = np.memmap(tmp_path / "gradient", float, "w+", shape=3)
    _, found = xn.logistic_loss_and_grad(SCORES, LABELS, grad_out=grad_out)
    assert found is grad_out
    assert grad_out.all()


def test_text_of_any_length_is_no_number():
    if not hasattr(np.dtypes, "StringDType"):
        pytest.skip("NumPy has no StringDType")
    text = np.array(["1", "0"], np.dtypes.StringDType())
    with pytest.raises(TypeError, match="scores has dtype StringDType"):
        xn.sigmoid(text)
    with pytest.raises(TypeError, match="labels has dtype StringDType"):
        xn.logistic_loss(np.ones(2), text)


@pytest.mark.parametrize(
    "kind",
    [
        *("f2", "f4", "f8", "i1", "i4", "i8", "u1", "u4", "u8"),
        *(pytest.param(kind, marks=pytest.mark.slow) for kind in ("i2", "u2")),
    ],
)
@pytest.mark.parametrize("order", "<>")
def test_labels_of_every_dtype(kind, order):
    dtype = np.dtype(kind).newbyteorder(order)
    expected = xn.binary_cross_entropy_with_logits(SCORES, [1, 0, 1])
    assert xn.binary_cross_entropy_with_logits(SCORES, np.array([1, 0, 1], dtype)) == expected
    if dtype.kind != "f":
        # In a narrower integer, or in two's complement, the largest would be a label.
        bad = np.array([1, 1, np.iinfo(dtype).max], dtype)
        with pytest.raises(ValueError, match=r"labels\[2\] is [\d.e+]+; accepted is -1"):
            xn.logistic_loss(SCORES, bad)


def test_float16_is_computed_in_float32():
    half = SCORES.astype(np.float16)
    assert xn.sigmoid(half).dtype == np.float32
    np.testing.assert_array_equal(xn.sigmoid(half), xn.sigmoid(half.astype(np.float32)))
    assert xn.logistic_loss(half, LABELS.astype(np.float16), sample_weight=abs(half)).dtype == "f4"


@pytest.mark.parametrize("scores", ["other byte order", "integers"])
def test_an_out_on_memory_that_is_converted_first_is_refused(scores):
    """A converted copy shares nothing with `out`; what was passed does."""
    memory = np.ones(3, ">f8" if scores == "other byte order" else np.int64)
    out = memory.view(float)
    before = memory.tobytes()
    with pytest.raises(ValueError, match="out shares memory with another argument"):
        xn.sigmoid(memory, out=out)
    with pytest.raises(ValueError, match="grad_out shares memory with another argument"):
        xn.logistic_loss_and_grad(memory, LABELS, grad_out=out)
    with pytest.raises(ValueError, match="out shares memory with another argument"):
        xn.logistic_loss(SCORES, LABELS, sample_weight=memory, out=out, reduction="none")
    assert memory.tobytes() == before


class TestDask:
    """A dask array is known by its type."""

    def setup_method(self):
        self.dask = pytest.importorskip("dask")
        self.da = pytest.importorskip("dask.array")

    def test_other_graphs_are_refused(self):
        for value in (self.dask.delayed(np.ones)(3), self.dask.delayed(1.0)):
            with pytest.raises(TypeError, match=r"scores is a dask Delayed\w*; accepted is a dask"):
                xn.sigmoid(value)
            with pytest.raises(TypeError, match=r"labels is a dask Delayed\w*; accepted is a dask"):
                xn.logistic_loss(self.da.ones(3), value)

    def test_a_graph_with_a_unit_is_a_quantity(self):
        class Lazy(Scaled):
            def __dask_graph__(self):
                return None

        with pytest.raises(TypeError, match="scores is a Lazy in units of metre"):
            xn.sigmoid(Lazy(SCORES))

    @pytest.mark.parametrize("name", ["scores", "labels", "sample_weight"])
    def test_masks_are_refused(self, name):
        plain = {"scores": SCORES, "labels": LABELS, "sample_weight": np.ones(3)}
        arguments = {key: self.da.from_array(value) for key, value in plain.items()}
        for masked in (
            np.ma.masked_array(plain[name]),
            self.da.from_array(np.ma.masked_array(plain[name])),
        ):
            if isinstance(masked, np.ma.MaskedArray) and name == "scores":
                continue
            with pytest.raises(TypeError, match=f"{name} is a MaskedArray"):
                xn.logistic_loss(**{**arguments, name: masked})

    def test_no_dimensions(self):
        score, label = self.da.from_array(np.float64(0.5)), self.da.from_array(np.int8(1))
        assert xn.sigmoid(score, **HERE).compute() == xn.sigmoid(0.5, **HERE)
        for reduction in ("none", "sum", "mean"):
            found = xn.logistic_loss_and_grad(score, label, reduction=reduction, **HERE)
            expected = xn.logistic_loss_and_grad(0.5, 1, reduction=reduction, **HERE)
            assert self.dask.compute(*found) == expected

    def test_a_series(self):
        class Series:
            """A column of a dask DataFrame, as far as it is used."""

            def __dask_graph__(self):
                return {}

            def to_dask_array(self, lengths):
                assert lengths
                return da.from_array(SCORES, chunks=2)

        da = self.da
        np.testing.assert_array_equal(xn.sigmoid(Series()).compute(), xn.sigmoid(SCORES))
        found = xn.logistic_loss(da.from_array(LABELS), Series(), reduction="none", **HERE)
        with pytest.raises(ValueError, match=r"labels\[0\] is 0.5"):
            found.compute()


class TestXarray:
    """A DataArray in, a DataArray out."""

    def setup_method(self):
        self.xr = pytest.importorskip("xarray")

    def array(self, values, **changes):
        options = {"dims": "x", "coords": {"x": [1, 2, 3]}, "name": "s", **changes}
        return self.xr.DataArray(values, **options)

    @pytest.mark.parametrize("inside", ["numpy", "dask"])
    def test_coordinates_are_kept(self, inside):
        wrap = functools.partial(pytest.importorskip("dask.array").from_array, chunks=2)
        scores = self.array(wrap(SCORES) if inside == "dask" else SCORES, attrs={"units": "K"})
        labels = self.array(LABELS)
        plain = xn.sigmoid(SCORES, **HERE)
        self.xr.testing.assert_identical(xn.sigmoid(scores, **HERE).compute(), self.array(plain))
        for weight in (None, np.ones(3), self.array(np.ones(3))):
            found = xn.logistic_loss_and_grad(
                scores, labels, sample_weight=weight, reduction="none", **HERE
            )
            expected = xn.logistic_loss_and_grad(SCORES, LABELS, reduction="none", **HERE)
            for got, want in zip(found, expected, strict=True):
                self.xr.testing.assert_identical(got.compute(), self.array(want))

    def test_sums_are_numbers(self):
        scores, labels = self.array(SCORES), self.array(LABELS)
        loss = xn.logistic_loss(scores, labels)
        assert type(loss) is np.float64
        assert loss == xn.logistic_loss(SCORES, LABELS)
        loss, gradient = xn.logistic_loss_and_grad(scores, labels)
        assert type(loss) is np.float64
        assert isinstance(gradient, self.xr.DataArray)

    def test_what_does_not_line_up_is_refused(self):
        scores = self.array(SCORES)
        with pytest.raises(ValueError, match="labels has other coordinates than scores"):
            xn.logistic_loss(scores, self.array(LABELS, coords={"x": [1, 2, 4]}))
        weight = self.array(np.ones(3), dims="y", coords={})
        with pytest.raises(ValueError, match=r"sample_weight has dimensions \('y',\); accepted"):
            xn.logistic_loss(scores, LABELS, sample_weight=weight)

    def test_outputs_are_filled(self):
        out, grad_out = np.empty(3), np.empty(3)
        found = xn.logistic_loss_and_grad(
            self.array(SCORES), LABELS, reduction="none", out=out, grad_out=grad_out
        )
        assert found == (out, grad_out)

    def test_masks_and_units_inside_are_refused(self):
        for inside, message in ((SCORES.view(Percent), "Percent"), (MASKED, "MaskedArray")):
            array = self.array(SCORES)
            array.variable._data = inside
            with pytest.raises(TypeError, match=f"scores is a {message}"):
                xn.sigmoid(array)


@pytest.mark.parametrize("size", [1, 1025, 20_000])
@pytest.mark.parametrize("name", ["numba_parallel", "numpy_stable"])
def test_what_numpy_was_told_of_floating_point_is_no_matter(name, size):
    """Not for few samples, many, or the sums; nor do the outputs hold half a result."""
    scores = np.resize(np.array([-95.0, 1e38, -1e38, np.inf, 0.0], np.float32), size)
    labels = np.resize(np.array([1, -1], np.int8), size)
    function = functools.partial(xn.logistic_loss_and_grad, implementation=name)
    for reduction in ("none", "sum", "mean"):
        expected = function(scores, labels, reduction=reduction)
        with np.errstate(all="raise"), warnings.catch_warnings():
            warnings.simplefilter("error")
            for out_dtype in (scores, scores.astype(">f4"), scores.astype(np.float64)):
                found = function(out_dtype, labels, reduction=reduction)
                if out_dtype.dtype != np.float64:
                    for got, want in zip(found, expected, strict=True):
                        np.testing.assert_array_equal(got, want)
        with np.errstate(all="warn"), warnings.catch_warnings():
            warnings.simplefilter("error")
            function(scores, labels, reduction=reduction)


@pytest.mark.parametrize("name", ["numba_parallel", "numpy_stable"])
def test_a_sum_beyond_float32_is_infinite_and_quiet(name):
    scores, labels = np.full(3, -3e38, np.float32), np.ones(3, np.int8)
    out = np.zeros((), np.float32)
    for state in ("raise", "warn"):
        with np.errstate(all=state), warnings.catch_warnings():
            warnings.simplefilter("error")
            found = xn.logistic_loss(scores, labels, reduction="sum", out=out, implementation=name)
        assert found is out
        assert np.isinf(out)


WAYS_OUT = {
    "labels 0 and 1 for -1 and +1": (
        lambda: xn.logistic_loss(SCORES, [0, 1, 1]),
        r"labels\[0\] is 0; accepted is -1 or \+1; binary_cross_entropy_with_logits takes 0 and 1",
    ),
    "and with the gradient": (
        lambda: xn.logistic_loss_and_grad(SCORES, np.array([1, 0, 1], bool)),
        r"labels\[1\] is False; .*; binary_cross_entropy_with_logits_and_grad takes 0 and 1",
    ),
    "labels -1 and +1 for 0 and 1": (
        lambda: xn.binary_cross_entropy_with_logits(SCORES, LABELS),
        r"labels\[1\] is -1; .*; logistic_loss takes scores and -1 and \+1",
    ),
    "scores for probabilities": (
        lambda: xn.binary_cross_entropy(SCORES, [0, 1, 1]),
        r"probabilities\[1\] is -1.0; .*; binary_cross_entropy_with_logits takes scores",
    ),
    "labels first": (
        lambda: xn.logistic_loss(LABELS, SCORES),
        r"labels\[0\] is 0.5; .*; the order is scores, labels, which is not that of scikit-learn",
    ),
    "labels first, with logits": (
        lambda: xn.binary_cross_entropy_with_logits([0, 1, 1], SCORES),
        r"labels\[1\] is -1.0; .*; the order is scores, labels, which is not that of scikit",
    ),
    "labels first, with probabilities": (
        lambda: xn.binary_cross_entropy(np.array([0, 1]), np.array([0.2, 0.7])),
        "probabilities has dtype int64 and labels are fractions; the order is probabilities, labe",
    ),
}


@pytest.mark.parametrize("case", WAYS_OUT)
def test_a_likely_mistake_is_told_the_way_out(case):
    call, message = WAYS_OUT[case]
    with pytest.raises(ValueError, match=message):
        call()
