"""ONNX Runtime: graphs of its operators on the CPU, as a model that was exported to it.

It has Softplus in single precision alone; in double precision log(1 + exp(x)) is written out.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from numpy import ndarray

from xent_numba.known_failures import CLIFFS, KnownFailure
from xent_numba.operations import Call
from xent_numba.peer import evaluate_bound, missing, reducer, threads
from xent_numba.registry import implements

_INPUTS = ("s", "y")
_FLUSHED = "Sigmoid errs by 1e-7, however small it is"
_LOST = "log(1 + exp(-|s|)) loses the tail, without log1p"
_DIGITS = "log(1 - p) loses digits of p, without log1p"


def _tails(negative: float, positive: float) -> Iterator[KnownFailure]:
    """In double precision, where Softplus is not."""
    vanished = CLIFFS["float64"].vanishes(12)
    yield KnownFailure(_LOST, -vanished, -2.0, negative, "float64")
    yield KnownFailure(_LOST, 2.0, vanished, positive, "float64")


DISTRIBUTION = "onnxruntime"


def unavailable() -> str | None:
    """See `registry`."""
    return missing("onnxruntime", "'xent-numba[peers]'") or missing("onnx", "'xent-numba[peers]'")


def bind(operation: str, inputs: tuple[ndarray, ...], reduction: str) -> Callable[[], Any]:
    """See `registry`."""
    arrays = [np.ascontiguousarray(array, inputs[0].dtype) for array in inputs]
    session, out = _session(operation, arrays[0].dtype), np.empty_like(arrays[0])
    bound = session.io_binding()
    for name, array in zip(_INPUTS, arrays, strict=False):
        bound.bind_cpu_input(name, array)
    where = out.ctypes.data
    bound.bind_output("out", "cpu", 0, out.dtype.type, out.shape, where)
    reduce = reducer(reduction, *arrays[2:])

    def call() -> Any:
        session.run_with_iobinding(bound)
        return reduce(out)

    return call


@functools.cache
def _session(operation: str, dtype: np.dtype) -> Any:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads()
    return onnxruntime.InferenceSession(
        _model(operation, dtype), options, providers=["CPUExecutionProvider"]
    )


def _model(operation: str, dtype: np.dtype) -> bytes:
    """Write the losses or the sigmoid as a graph."""
    from onnx import helper, numpy_helper

    kind = helper.np_dtype_to_tensor_dtype(dtype)
    nodes: list[Any] = []

    def do(operator: str, *inputs: str) -> str:
        nodes.append(helper.make_node(operator, inputs, [f"value{len(nodes)}"]))
        return f"value{len(nodes) - 1}"

    def softplus_of_minus(magnitude: str) -> str:
        if dtype == np.float32:
            return do("Softplus", do("Neg", magnitude))
        return do("Log", do("Add", "one", do("Exp", do("Neg", magnitude))))

    def share(label: str, loss: str) -> str:
        return do("Where", do("Equal", label, "zero"), "zero", do("Mul", label, loss))

    other = "" if operation == "sigmoid" else do("Sub", "one", "y")
    if operation == "sigmoid":
        do("Sigmoid", "s")
    elif operation == "binary_cross_entropy":
        of_one, of_zero = (do("Neg", do("Log", p)) for p in ("s", do("Sub", "one", "s")))
        do("Add", share("y", of_one), share(other, of_zero))
    elif operation == "logistic_loss":
        margin = do("Mul", "y", "s")
        do("Add", do("Max", do("Neg", margin), "zero"), softplus_of_minus(do("Abs", margin)))
    else:
        wrong = do("Where", do("Greater", "s", "zero"), other, "y")
        do("Add", share(wrong, do("Abs", "s")), softplus_of_minus(do("Abs", "s")))
    nodes[-1].output[0] = "out"
    names = _INPUTS[: 1 if operation == "sigmoid" else 2]
    graph = helper.make_graph(
        nodes,
        operation,
        [helper.make_tensor_value_info(name, kind, ["n"]) for name in names],
        [helper.make_tensor_value_info("out", kind, ["n"])],
        [
            numpy_helper.from_array(np.array(value, dtype), name)
            for name, value in (("zero", 0), ("one", 1))
            if any(name in node.input for node in nodes)
        ],
    )
    opsets = [helper.make_opsetid("", 17)]
    written: bytes = helper.make_model(
        graph, opset_imports=opsets, ir_version=9
    ).SerializeToString()
    return written


@implements(
    "sigmoid",
    formulation="stable",
    max_ulp={"float32": 10, "float64": 10},
    known_failures=tuple(
        KnownFailure(_FLUSHED, -at.vanishes(10), -1.9, dtype=dtype) for dtype, at in CLIFFS.items()
    ),
    summary="onnxruntime: Sigmoid.",
    upstream="https://github.com/microsoft/onnxruntime/issues/22557",
)
@implements(
    "logistic_loss",
    formulation="textbook",
    max_ulp={"float32": 5, "float64": 12},
    known_failures=tuple(_tails(-1.0, 1.0)),
    summary="onnxruntime: max(-y s, 0) + Softplus(-|s|); sums by NumPy.",
)
@implements(
    "binary_cross_entropy_with_logits",
    formulation="textbook",
    max_ulp={"float32": 5, "float64": 12},
    known_failures=tuple(_tails(0.0, 1.0)),
    summary="onnxruntime: w |s| + Softplus(-|s|), w the label across from s; sums by NumPy.",
)
@implements(
    "binary_cross_entropy",
    formulation="textbook",
    max_ulp={"float32": 8, "float64": 6},
    known_failures=tuple(
        # Zero is within what is declared of the first subnormals.
        KnownFailure(_DIGITS, 9 * float(np.finfo(dtype).smallest_subnormal), 0.1, 0.0, dtype)
        for dtype in CLIFFS
    ),
    summary="onnxruntime: -[y Log(p) + (1 - y) Log(1 - p)]; sums by NumPy.",
)
def compute(call: Call) -> Any:
    """Run the graph of the operation."""
    return evaluate_bound(call, bind)
