"""Bad arguments get one sentence that names the argument, its value and what is accepted."""

from __future__ import annotations

import re

import numpy as np
import pytest

import xent_numba
from xent_numba import ImplementationUnavailableError, registry, validation
from xent_numba.operations import OPERATIONS

SCORES = np.array([0.5, -1.0, 2.0])
LABELS = np.array([1, -1, 1], np.int8)
HERE = {"implementation": "numpy_stable"}


def frozen(array):
    array.flags.writeable = False
    return array


#: Name of the case, arguments that differ from a right call, exception, and the message.
BAD = {
    "labels of another shape": (
        {"labels": LABELS[:, None]},
        ValueError,
        r"labels has shape (3, 1); accepted is the shape of scores, (3,)",
    ),
    "weights of another shape": (
        {"sample_weight": np.ones(4)},
        ValueError,
        r"sample_weight has shape (4,); accepted is the shape of scores, (3,)",
    ),
    "one label for all": (
        {"labels": 1},
        ValueError,
        r"labels has shape (); accepted is the shape of scores, (3,)",
    ),
    "ragged scores": ({"scores": [[1, 2], [3]]}, ValueError, "scores is no array ("),
    "unknown reduction": (
        {"reduction": "avg"},
        ValueError,
        "reduction is 'avg'; accepted are none, sum, mean",
    ),
    "reduction of another type": (
        {"reduction": None},
        ValueError,
        "reduction is None; accepted are none, sum, mean",
    ),
    "complex scores": (
        {"scores": SCORES + 1j},
        TypeError,
        "scores has dtype complex128; accepted are float32, float64, float16",
    ),
    "object scores": ({"scores": SCORES.astype(object)}, TypeError, "scores has dtype object"),
    "text scores": ({"scores": ["a", "b", "c"]}, TypeError, "scores has dtype <U1"),
    "dates": ({"scores": SCORES.astype("M8[s]")}, TypeError, "scores has dtype datetime64[s]"),
    "complex labels": (
        {"labels": LABELS + 0j},
        TypeError,
        "labels has dtype complex128; accepted are bool, integers and floating-point numbers",
    ),
    "no labels": ({"labels": None}, TypeError, "labels has dtype object"),
    "masked scores": (
        {"scores": np.ma.masked_array(SCORES, [0, 1, 0])},
        TypeError,
        "scores is a MaskedArray, whose mask would be ignored; accepted is an array without a mask",
    ),
    "masked labels": ({"labels": np.ma.masked_array(LABELS)}, TypeError, "labels is a MaskedArray"),
    "masked weights": (
        {"sample_weight": np.ma.masked_array(SCORES)},
        TypeError,
        "sample_weight is a MaskedArray",
    ),
    "complex weights": (
        {"sample_weight": SCORES + 1j},
        TypeError,
        "sample_weight has dtype complex128",
    ),
    "label outside its set": (
        {"labels": np.array([1, 0, 1])},
        ValueError,
        "labels[1] is 0; accepted is -1 or +1",
    ),
    "unknown implementation": (
        {"implementation": "numpy_stabel"},
        ValueError,
        "implementation is 'numpy_stabel' (did you mean 'numpy_stable'?); accepted are",
    ),
    "out of another shape": (
        {"out": np.empty(4), "reduction": "none"},
        ValueError,
        "out has shape (4,); accepted is (3,)",
    ),
    "out of a reduced loss": (
        {"out": np.empty(3)},
        ValueError,
        "out has shape (3,); accepted is ()",
    ),
    "out of another dtype": (
        {"out": np.empty(3, np.float32), "reduction": "none"},
        ValueError,
        "out has dtype float32; accepted is float64",
    ),
    "out in the other byte order": (
        {"out": np.empty(3, np.dtype(float).newbyteorder()), "reduction": "none"},
        ValueError,
        "out has dtype",
    ),
    "out that is no array": (
        {"out": [0.0] * 3, "reduction": "none"},
        TypeError,
        "out is a list; accepted is a numpy.ndarray",
    ),
    "read-only out": (
        {"out": frozen(np.empty(3)), "reduction": "none"},
        ValueError,
        "out is read-only; accepted is a writable array",
    ),
    "out that shares its own memory": (
        {"out": np.lib.stride_tricks.as_strided(np.empty(1), (3,), (0,)), "reduction": "none"},
        ValueError,
        "out has elements that share memory with each other",
    ),
    "mean of nothing": (
        {"scores": np.empty(0), "labels": np.empty(0)},
        ValueError,
        "reduction is 'mean' and scores has shape (0,), no samples; accepted is at least one",
    ),
}


@pytest.mark.parametrize("case", BAD)
def test_message(case):
    changes, kind, message = BAD[case]
    arguments = {"scores": SCORES, "labels": LABELS, **HERE, **changes}
    scores, labels = arguments.pop("scores"), arguments.pop("labels")
    with pytest.raises(kind, match=re.escape(message)) as raised:
        xent_numba.logistic_loss(scores, labels, **arguments)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("case", [k for k in BAD if BAD[k][0].keys() == {"out", "reduction"}])
def test_message_by_the_short_way_of_few_samples(case):
    changes, kind, message = BAD[case]
    with pytest.raises(kind, match=re.escape(message)):
        xent_numba.sigmoid(SCORES, out=changes["out"])


@pytest.mark.parametrize(("scores", "out"), [("all", "all"), ("all", "part"), ("part", "all")])
def test_overlapping_outputs_are_refused_by_the_short_way(scores, out):
    memory = np.ones(3)
    views = {"all": memory, "part": memory[:]}
    with pytest.raises(ValueError, match="shares memory with another argument"):
        xent_numba.sigmoid(views[scores], out=views[out])
    np.testing.assert_array_equal(memory, np.ones(3))


@pytest.mark.parametrize("shared", ["scores", "sample_weight", "grad_out"])
def test_overlapping_outputs_are_refused(shared):
    memory = np.ones(4)
    arrays = {
        "scores": memory[:3] if shared == "scores" else SCORES.copy(),
        "sample_weight": memory[:3] if shared == "sample_weight" else np.ones(3),
        "grad_out": memory[:3] if shared == "grad_out" else np.empty(3),
    }
    with pytest.raises(ValueError, match="shares memory with another argument"):
        xent_numba.logistic_loss_and_grad(
            arrays.pop("scores"), LABELS, out=memory[1:], reduction="none", **arrays, **HERE
        )
    np.testing.assert_array_equal(memory, np.ones(4))


@pytest.mark.parametrize("options", [HERE, {}], ids=["the long way", "the short way"])
def test_arrays_that_interleave_do_not_overlap(options):
    memory = np.array([0.5, 0, -1.0, 0, 2.0, 0])
    result = xent_numba.sigmoid(memory[::2], out=memory[1::2], **options)
    np.testing.assert_array_equal(result, xent_numba.sigmoid(SCORES, **options))


@pytest.mark.parametrize("name", ["", "../naive", "__init__", "Naive", "numpy"])
def test_names_that_are_no_implementation(name):
    with pytest.raises(ValueError, match=r"accepted are .*naive"):
        xent_numba.sigmoid(SCORES, implementation=name)


def test_unavailable_implementation_does_not_fall_back(monkeypatch):
    module = registry.get("naive").module
    monkeypatch.setattr(module, "unavailable", lambda: "install patience", raising=False)
    registry.resolve.cache_clear()
    try:
        with pytest.raises(
            ImplementationUnavailableError,
            match="implementation 'naive' cannot run here: install patience",
        ):
            xent_numba.sigmoid(SCORES, implementation="naive")
    finally:
        registry.resolve.cache_clear()


def test_interrupt_leaves_nan_in_outputs(monkeypatch):
    """What is poisoned on an error is poisoned on Ctrl-C too."""
    out, grad_out = np.ones(3), np.ones(3)

    def interrupted(*arguments, **options):
        raise KeyboardInterrupt

    monkeypatch.setattr(registry, "resolve", lambda *names: interrupted)
    with pytest.raises(KeyboardInterrupt):
        xent_numba.logistic_loss_and_grad(
            SCORES, LABELS, reduction="none", out=out, grad_out=grad_out, **HERE
        )
    assert np.isnan(out).all()
    assert np.isnan(grad_out).all()


def test_bad_structure_leaves_outputs_alone():
    """A shape is refused before anything is computed, so nothing needs to be marked."""
    out = np.ones(3)
    with pytest.raises(ValueError, match="labels has shape"):
        xent_numba.logistic_loss(SCORES, LABELS[:2], reduction="none", out=out, **HERE)
    np.testing.assert_array_equal(out, np.ones(3))


@pytest.mark.parametrize("name", ["numpy_stable", "numba_parallel"])
@pytest.mark.parametrize("label", [np.nextafter(1, 2), -5e-324])
def test_a_label_outside_by_less_than_float32_can_tell(name, label):
    scores, labels = np.array([0.5], np.float32), np.array([label])
    for function in (
        xent_numba.binary_cross_entropy,
        xent_numba.binary_cross_entropy_with_logits,
        xent_numba.binary_cross_entropy_with_logits_and_grad,
    ):
        with pytest.raises(ValueError, match=r"labels\[0\] is"):
            function(scores, labels, implementation=name)


def test_an_implementation_that_is_no_name():
    with pytest.raises(TypeError, match="implementation is \\['a'\\]; accepted is a name"):
        xent_numba.sigmoid([1.0], implementation=["a"])


def test_a_value_that_was_met_and_is_gone_raises_all_the_same():
    """Another thread may have written it; what was computed with it is no result."""
    with pytest.raises(ValueError, match="held a value that is not accepted and is gone now"):
        validation.raise_bad_value(OPERATIONS["logistic_loss"], SCORES, LABELS, None)
