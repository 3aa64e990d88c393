"""Any call gives the right numbers, whatever holds them, or one sentence, whoever computes it.

hypothesis draws the operation, dtypes, memory layouts, values, weights, reduction and outputs, and
plants faults. It draws few here, and compiles few kernels; `soak/test_trials.py` draws many.
"""

from __future__ import annotations

import itertools
import warnings
from dataclasses import dataclass, field
from typing import Any

import hypothesis
import numpy as np
from hypothesis import strategies as st

import xent_numba as xn
from xent_numba.operations import OPERATIONS, REDUCTIONS, Operation

#: Those that are always here, share no code, and declare to fail nowhere.
NAMES = ("numpy_stable", "numba_parallel")
SCORES = (0.0, -0.0, 1.5, -3.25, 40.0, -88.0, 100.0, -800.0, 1e4, np.inf, -np.inf, np.nan)
PROBABILITIES = (0.0, 0.25, 0.5, 1e-4, 0.9990234375, 1.0)
WEIGHTS = (0.0, 1.0, 0.5, 3.0, 1e-30, 1e30)
FLOATS = ("<f4", ">f4", "<f8", ">f8", "<f2", "longdouble")
INTEGERS = ("i1", "<i2", ">i4", "<i8", "u1", ">u2", "<u4", "<u8", "?")
KINDS = list(
    itertools.product(map(np.dtype, FLOATS + INTEGERS[:4]), (None, *map(np.dtype, FLOATS[:4])))
)
"""Dtypes of labels and weights, for each of which kernels may have to be compiled."""
LAYOUTS = ("C", "F", "reversed", "gaps", "unaligned", "read-only", "broadcast")


@dataclass
class Drawn:
    """One call, what is wrong with it, and the values that went in."""

    operation: Operation
    first: Any
    labels: Any = None
    options: dict[str, Any] = field(default_factory=dict)
    faults: list[str] = field(default_factory=list)

    @property
    def kind(self) -> tuple[np.dtype | None, np.dtype | None]:
        """As in `KINDS`."""
        arrays = self.labels, self.options.get("sample_weight")
        labels, weights = (a if a is None else a.dtype for a in arrays)
        return labels, weights

    def __call__(self, name: str) -> Any:
        labels = () if self.operation.labels is None else (self.labels,)
        function = getattr(xn, self.operation.name)
        return function(self.first, *labels, implementation=name, **self.options)


def lay(values: np.ndarray, layout: str) -> np.ndarray:
    """The same values in another place and order of memory."""
    if not values.ndim:
        return values
    if layout == "F":
        return np.asfortranarray(values)
    if layout == "reversed":
        return np.ascontiguousarray(values[..., ::-1])[..., ::-1]
    if layout == "gaps":
        wide = np.zeros((*values.shape, 3), values.dtype)
        wide[..., 1] = values
        return wide[..., 1]
    if layout == "unaligned":
        memory = np.zeros(values.nbytes + 1, np.uint8)[1:]
        moved = memory.view(values.dtype).reshape(values.shape)
        moved[...] = values
        return moved
    if layout == "broadcast" and values.size:
        return np.broadcast_to(values.ravel()[0], values.shape)
    if layout == "read-only":
        values = values.copy()
        values.flags.writeable = False
    return values


@st.composite
def arrays(draw: st.DrawFn, shape: tuple[int, ...], values: Any, dtypes: Any) -> np.ndarray:
    """An array of some of the values, in one of the dtypes, in any layout."""
    size = int(np.prod(shape))
    # Few drawn values fill an array of any size.
    few = draw(st.lists(st.sampled_from(values), min_size=1, max_size=7))
    with np.errstate(all="ignore"):
        array = np.resize(np.array(few, float), size).reshape(shape).astype(draw(dtypes))
    return lay(array, draw(st.sampled_from(LAYOUTS)))


@st.composite
def calls(draw: st.DrawFn) -> Drawn:
    """A call, right or wrong."""
    operation = draw(st.sampled_from(list(OPERATIONS.values())))
    shape = draw(st.sampled_from([(), (1,), (3,), (2, 3), (0,), (1023,), (1025,), (2050, 1)]))
    probabilities = operation.first == "probabilities"
    kinds = st.sampled_from(FLOATS if probabilities else FLOATS + INTEGERS)
    values = PROBABILITIES if probabilities else SCORES
    faults = []
    drawn = Drawn(operation, draw(arrays(shape, values, kinds)), faults=faults)
    if probabilities and draw(st.booleans()) and np.prod(shape):
        drawn.first = np.array(drawn.first)
        drawn.first[(0,) * drawn.first.ndim] = draw(st.sampled_from([1.5, -0.25, np.nan]))
        faults.append("probabilities")
    if operation.labels is not None:
        _draw_labels(draw, drawn, shape)
        _draw_weights(draw, drawn, shape)
    if draw(st.integers(0, 3)) == 0:
        _draw_outputs(draw, drawn, shape)
    return drawn


def _draw_labels(draw: st.DrawFn, drawn: Drawn, shape: tuple[int, ...]) -> None:
    chosen = drawn.operation.labels
    bad = {"NaN": np.nan, "two": 2.0, "zero": 0.0, "minus one": -1.0, "half": 0.5}
    fault = draw(st.sampled_from([None] * 6 + list(bad)))
    soft = chosen.soft and draw(st.booleans())
    values = (*chosen.hard, 0.25, 0.9) if soft else chosen.hard
    kinds = st.sampled_from(FLOATS if soft or fault else FLOATS + INTEGERS[:4])
    labels = np.array(draw(arrays(shape, values, kinds)))
    if fault and labels.size and not chosen.contains(np.array(bad[fault])):
        labels[(-1,) * labels.ndim] = bad[fault]
        drawn.faults.append("labels")
    drawn.labels = lay(labels, draw(st.sampled_from(LAYOUTS[:-1])))
    if draw(st.integers(0, 9)) == 0:
        drawn.labels = drawn.labels[..., None]
        drawn.faults.append("labels")
    drawn.options["reduction"] = draw(st.sampled_from(REDUCTIONS))
    if draw(st.integers(0, 19)) == 0:
        drawn.options["reduction"] = "average"
        drawn.faults.append("reduction")
    if drawn.options["reduction"] == "mean" and not labels.size:
        drawn.faults.append("samples")


def _draw_weights(draw: st.DrawFn, drawn: Drawn, shape: tuple[int, ...]) -> None:
    if draw(st.booleans()):
        return
    weight = np.array(draw(arrays(shape, WEIGHTS, st.sampled_from(FLOATS[:4]))))
    if weight.size and draw(st.integers(0, 4)) == 0:
        weight[(0,) * weight.ndim] = draw(st.sampled_from([-1.0, np.nan, np.inf]))
        drawn.faults.append("sample_weight")
    elif not weight.any() and drawn.options["reduction"] == "mean":
        drawn.faults.append("sample_weight")
    drawn.options["sample_weight"] = lay(weight, draw(st.sampled_from(LAYOUTS[:-1])))


def _draw_outputs(draw: st.DrawFn, drawn: Drawn, shape: tuple[int, ...]) -> None:
    kind = drawn.first.dtype
    dtype = np.dtype("f4") if kind.kind == "f" and kind.itemsize < 8 else np.dtype("f8")
    reduced = drawn.options.get("reduction", "none") != "none"
    names = ("out", "grad_out") if drawn.operation.gradient else ("out",)
    for name in names:
        out = np.full(() if name == "out" and reduced else shape, 7.0, dtype)
        fault = draw(st.sampled_from([None, None, None, "shape", "dtype", "read-only", "input"]))
        if fault == "shape":
            out = np.full((*out.shape, 1), 7.0, dtype)
        elif fault == "dtype":
            out = out.astype("f2")
        elif fault == "read-only":
            out.flags.writeable = False
        elif fault == "input" and out.shape == shape and out.size:
            drawn.first = out
            out[...] = 0.5
        elif fault == "input":
            fault = None
        layout = draw(st.sampled_from(["C", "F", "reversed", "gaps"]))
        drawn.options[name] = out if fault else lay(out, layout)
        if fault:
            drawn.faults.append(name)


def outcome(drawn: Drawn, name: str) -> tuple[str, Any]:
    """What a call gives, or its error; nothing that went in may change."""
    inputs = [drawn.first, drawn.labels, drawn.options.get("sample_weight")]
    before = [None if array is None else array.tobytes() for array in inputs]
    outputs = {key: drawn.options[key] for key in ("out", "grad_out") if key in drawn.options}
    kept = {key: array.copy() for key, array in outputs.items()}
    with np.errstate(all="raise"), warnings.catch_warnings():
        warnings.simplefilter("error")
        try:
            result = drawn(name)
        except (ValueError, TypeError) as error:
            for key, array in outputs.items():
                assert np.isnan(array).all() or np.array_equal(array, kept[key])
            result = error
    assert before == [None if array is None else array.tobytes() for array in inputs]
    if isinstance(result, Exception):
        assert "\n" not in str(result)
        return "error", f"{type(result).__name__}: {result}"
    results = result if drawn.operation.gradient else (result,)
    for (key, array), got in zip(outputs.items(), results, strict=False):
        assert got is array, key
    copies = [np.array(one) for one in results]
    for key, array in outputs.items():
        array[...] = kept[key]
    return "result", copies


def plain(drawn: Drawn) -> list[np.ndarray]:
    """What the same values give in fresh arrays of the dtypes that are computed with."""
    kind = drawn.first.dtype
    single = kind.kind == "f" and kind.itemsize < 8
    first = drawn.first.astype(np.float32 if single else np.float64)
    options = {k: v for k, v in drawn.options.items() if k not in ("out", "grad_out")}
    if "sample_weight" in options:
        options["sample_weight"] = options["sample_weight"].astype(np.float64)
    labels = () if drawn.labels is None else (drawn.labels.astype(np.float64),)
    function = getattr(xn, drawn.operation.name)
    result = function(first, *labels, implementation="numpy_stable", **options)
    return [np.array(one) for one in (result if drawn.operation.gradient else (result,))]


def compiled_already(drawn: Drawn) -> bool:
    """Whether other tests need the kernel too: each takes seconds to compile."""
    labels, weight = drawn.labels, drawn.options.get("sample_weight")
    return (labels is None or labels.dtype in ("i1", "f8")) and (
        weight is None or weight.dtype == "f8"
    )


def holds(drawn: Drawn, names: tuple[str, ...]) -> None:
    """Check one call on some implementations, and against plain arrays of the same values."""
    found = {name: outcome(drawn, name) for name in names}
    if drawn.faults:
        assert {kind for kind, _ in found.values()} == {"error"}, (drawn.faults, found)
        (message,) = {message for _, message in found.values()}
        named = (*drawn.faults, "no samples", "scores", "probabilities")
        assert any(name in message for name in named), (drawn.faults, message)
        return
    for name, (kind, results) in found.items():
        assert kind == "result", (name, results)
        for want, got in zip(plain(drawn), results, strict=True):
            assert got.dtype == want.dtype
            assert got.shape == want.shape
            tolerance = 40 * np.finfo(want.dtype).eps
            np.testing.assert_allclose(got, want, rtol=tolerance, atol=1e-44, err_msg=name)


@hypothesis.given(calls())
@hypothesis.settings(max_examples=150)
def test_any_call(drawn):
    holds(drawn, NAMES if compiled_already(drawn) else NAMES[:1])
