"""Every way in which a result can be written: into `out`, whole, and nowhere else.

The memory that an output is a view of is filled with a number that no operation returns. After the
call the elements of the view are the results that a call without `out` gives, bit by bit, and all
other bytes, on both sides and in the gaps, are as they were.
"""

from __future__ import annotations

import itertools

import numpy as np
import pytest

import xent_numba as xn

CANARY = -7.25
PADDING = 80  # elements on each side, more than any vector register or row of the views below
REDUCTIONS = ("none", "sum", "mean")


def _laid_out(order, steps):
    """Make views whose axes lie in memory in `order`, with `steps`, inside memory of their own."""

    def make(shape, dtype):
        axes = order(len(shape))
        steps_of = steps(len(shape))[: len(shape)]
        lengths = [shape[a] * abs(steps_of[a]) for a in axes]
        memory = np.full(PADDING + int(np.prod(lengths)) + PADDING, CANARY, dtype)
        block = memory[PADDING : memory.size - PADDING].reshape(lengths)
        view = block.transpose(np.argsort(axes))
        # The ellipsis keeps an array of no dimensions an array.
        return memory, view[(..., *(slice(None, None, step) for step in steps_of))]

    return make


def _c(ndim):
    return list(range(ndim))


def _fortran(ndim):
    return list(range(ndim))[::-1]


def _field(shape, dtype):
    """One field of records: elements with gaps between them, and not aligned."""
    record = np.dtype([("before", "u1"), ("value", dtype), ("after", "u1")])
    memory = np.zeros(PADDING + int(np.prod(shape)) + PADDING, record)
    memory["value"] = CANARY
    return memory, memory[PADDING : memory.size - PADDING].reshape(shape)["value"]


def _misaligned(shape, dtype):
    """One piece of memory that begins one byte after the start of an element."""
    size = int(np.prod(shape))
    memory = np.zeros((2 * PADDING + size) * np.dtype(dtype).itemsize + 1, "u1")
    values = memory[1:].view(dtype)
    values[:] = CANARY
    return memory, values[PADDING : PADDING + size].reshape(shape)


LAYOUTS = {
    "contiguous": _laid_out(_c, lambda n: [1] * n),
    "fortran": _laid_out(_fortran, lambda n: [1] * n),
    "column": _laid_out(_c, lambda n: [1] * (n - 1) + [2]),
    "rows": _laid_out(_c, lambda n: [3] + [1] * (n - 1)),
    "reversed": _laid_out(_c, lambda n: [-1] * n),
    "one axis reversed": _laid_out(_c, lambda n: [1] * (n - 1) + [-1]),
    "fortran, reversed, every second": _laid_out(_fortran, lambda n: [-2] * n),
    "field of a record": _field,
    "misaligned": _misaligned,
}
SHAPES = [(1,), (5,), (6, 8), (1024,), (1025,), (33, 40), (3, 1025), (20_000,)]


def _bits(values):
    return np.ascontiguousarray(values).view(f"u{values.dtype.itemsize}")


@pytest.mark.parametrize("layout", LAYOUTS)
def test_outputs_are_filled_and_nothing_else_is(target, layout):
    slow = target.name == "naive"
    for shape in [s for s in SHAPES if not slow or np.prod(s) < 100]:
        first, *rest = (a.reshape(shape) for a in target.sample(int(np.prod(shape))))
        if target.operation.labels is None:
            _check(target, layout, (first,), {})
            continue
        weights = np.random.default_rng(3).random(shape).astype(target.dtype)
        for reduction, weight in itertools.product(REDUCTIONS, (None, weights)):
            options = {"reduction": reduction, "sample_weight": weight}
            _check(target, layout, (first, *rest), options)


def _check(target, layout, arguments, options):
    expected = target(*arguments, **options)
    expected = expected if target.operation.gradient else (expected,)
    shape = arguments[0].shape
    shapes = {"out": shape if options.get("reduction", "none") == "none" else ()}
    if target.operation.gradient:
        shapes["grad_out"] = shape
    memories, views = {}, {}
    for name, of in shapes.items():
        memories[name], views[name] = LAYOUTS[layout](of, target.dtype)
    found = target(*arguments, **options, **views)
    found = found if target.operation.gradient else (found,)
    for name, result, right in zip(shapes, found, expected, strict=True):
        view = views[name]
        assert result is view
        np.testing.assert_array_equal(_bits(view), _bits(np.asarray(right)), err_msg=f"{shape}")
        view[...] = CANARY
        untouched, _ = LAYOUTS[layout](shapes[name], target.dtype)
        assert memories[name].tobytes() == untouched.tobytes(), f"written outside {name}, {shape}"


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("shape", [(7,), (6, 8), (3, 4, 5)])
def test_few_samples_in_any_order_of_memory(shape, dtype):
    """Numba's ufuncs step through an output as if it had no gaps wherever the input has none."""
    values = np.random.default_rng(5).normal(0, 4, shape).astype(dtype)
    expected = _bits(xn.sigmoid(values))
    for layout, other in itertools.product(LAYOUTS, LAYOUTS):
        _, scores = LAYOUTS[layout](shape, dtype)
        scores[...] = values
        memory, out = LAYOUTS[other](shape, dtype)
        xn.sigmoid(scores, out=out)
        np.testing.assert_array_equal(_bits(out), expected, err_msg=f"{layout} into {other}")
        out[...] = CANARY
        assert memory.tobytes() == LAYOUTS[other](shape, dtype)[0].tobytes()


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_numba_has_not_repaired_its_ufuncs(dtype):
    """Fails when numba looks at the stride of an output too: then the detour can go."""
    import numba

    double = numba.vectorize([f"{dtype}({dtype})"])(lambda x: x + x)
    memory = np.zeros(8, dtype)
    double(np.ones(4, dtype), memory[::2])
    assert memory.tolist() == [2, 2, 2, 2, 0, 0, 0, 0]
