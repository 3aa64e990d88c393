"""Numba CUDA: one pass on an NVIDIA GPU, within 2 ULP, the same bits for any launch.

The arithmetic is in ``kernels.cuda.elementary`` and ``kernels.cuda.samples``, the kernels and the
sums are in ``kernels.cuda.grid``. Host arrays are copied to the current device and back. Arrays
with ``__cuda_array_interface__`` are used where they are, on their device and their stream
(``kernels.cuda.arrays``), whatever their strides; per-sample results and gradients stay there. A
sum or mean is returned as a host scalar, for which, and for the value checks, the call waits.
float16 and bfloat16 scores, labels and weights are read as they are and computed in float32, the
dtype of the results.

In Numba's simulator (NUMBA_ENABLE_CUDASIM=1) everything runs on the CPU, to be tested; a time
measured there would say nothing, so `unavailable_for_timing` has a reason where `unavailable` has
none. Nothing of CUDA is imported before one of the two, or a computation, is asked for.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any, cast

import numpy as np
from numpy import ndarray

from xent_numba.host_arrays import LABEL_DTYPES
from xent_numba.kernels.cuda.availability import one_line
from xent_numba.kernels.cuda.availability import unavailable as unavailable
from xent_numba.kernels.cuda.availability import unavailable_for_timing as unavailable_for_timing
from xent_numba.operations import OPERATIONS, Call, Reduction
from xent_numba.registry import implements
from xent_numba.validation import raise_bad_value, raise_bad_weight_sum

_ULP = {"float32": 2, "float64": 2}


class DeviceArrays:
    """Arrays with ``__cuda_array_interface__``."""

    plain: type | None = None

    @staticmethod
    def adopt(name: str, value: Any) -> Any:
        """See `validation.Arrays`."""
        from xent_numba.kernels.cuda import arrays

        if not hasattr(type(value), "is_cuda") and not hasattr(value, "__cuda_array_interface__"):
            raise TypeError(
                f"{name} is a host {type(value).__name__}; accepted is a device array, as the "
                "first argument is one"
            )
        try:
            array = arrays.adopt(name, value)
        except NotImplementedError as error:
            raise TypeError(f"{name} is no array that Numba reads: {one_line(error)}") from None
        if name != "labels" and array.dtype not in (np.float32, np.float64):
            raise TypeError(
                f"{name} has dtype {array.dtype}; accepted on a device are float16, bfloat16, "
                "float32 and float64"
            )
        if name == "labels" and array.dtype not in LABEL_DTYPES:
            raise TypeError(
                f"labels has dtype {array.dtype}; accepted on a device are float16, bfloat16, "
                f"{', '.join(map(str, LABEL_DTYPES))}"
            )
        return array

    @staticmethod
    def empty_like(first: Any) -> Any:
        """See `validation.Arrays`."""
        from xent_numba.kernels.cuda import arrays, launch

        with launch.machine.on_device(first.device):
            return arrays.empty_like(first, arrays.join_streams([first]))

    @classmethod
    def check_out(cls, name: str, out: Any, inputs: tuple[Any, ...]) -> Any:
        """See `validation.Arrays`."""
        from xent_numba.kernels.cuda import arrays
        from xent_numba.kernels.cuda.extents import overlap

        if not hasattr(type(out), "is_cuda") and not hasattr(out, "__cuda_array_interface__"):
            raise TypeError(f"{name} is a {type(out).__name__}; accepted is a device array")
        place = arrays.adopt_output(name, out)
        for other in inputs:
            if other is not None and overlap(place, taken := arrays.adopt(name, other)):
                raise ValueError(
                    f"{name} shares memory with another argument, of shape {taken.shape}; accepted "
                    "is memory of its own"
                )
        return place

    @staticmethod
    def poison(out: Any) -> None:
        """See `validation.Arrays`."""
        from xent_numba.kernels.cuda import arrays, copies, launch
        from xent_numba.kernels.cuda.passes import Launch

        array = arrays.adopt("out", out)
        with launch.machine.on_device(array.device):
            copies.fill(array, np.nan, Launch(arrays.join_streams([array])))


arrays = DeviceArrays()


def short_way(kind: type) -> Callable[[Call], Any] | None:
    """Return what computes a call like one before it without the longer look, for arrays of a type.

    It returns None for a call that takes one; there is no such way for most types.
    """
    if kind.__module__.partition(".")[0] not in ("torch", "cupy") or unavailable():
        return None
    from xent_numba.kernels.cuda import short

    return short.way_of(kind)


def on_stream(stream: Any) -> AbstractContextManager[None]:
    """Let the calls within a with statement run on a stream of the caller's.

    Without it a call runs on the stream that its first argument names in its interface, on
    PyTorch's current stream for a tensor of PyTorch's, and else on the default stream. In each case
    it waits for what is queued on the streams of the other arguments.

    Parameters
    ----------
    stream : object with ``__cuda_stream__``, or int
        A stream of CuPy's, PyTorch's, cuda.core's or Numba's, or its handle.

    Returns
    -------
    context manager
        For a with statement.
    """
    from xent_numba.kernels.cuda import arrays

    return arrays.computing_on(stream)


def bind(operation: str, inputs: tuple[ndarray, ...], reduction: str) -> Callable[[], Any]:
    """Return a call on copies of the inputs that are on the device already; its result stays there.

    Nothing waits for the device.
    """
    from xent_numba.kernels.cuda import arrays

    columns = [arrays.to_device(array) for array in inputs]
    first, labels, weights, *_ = (*columns, None, None)
    chosen, dtype = OPERATIONS[operation], str(inputs[0].dtype)
    call = Call(
        chosen,
        first,
        labels,
        weights,
        reduction=cast(Reduction, reduction),
        out=arrays.room_for(first.shape if reduction == "none" else (), dtype),
        grad_out=arrays.room_for(first.shape, dtype) if chosen.gradient else None,
    )
    result = (call.out, call.grad_out) if chosen.gradient else call.out

    def run() -> Any:
        compute(call)
        return result

    return run


def on_host(result: Any) -> Any:
    """See `registry`."""
    from xent_numba.kernels.cuda import copies

    return copies.to_host(result)


def clock() -> Callable[[], float]:
    """Return a clock that reads seconds from events on the GPU."""
    from xent_numba.kernels.cuda import events

    return events.Clock()


def timer(call: Callable[[], Any]) -> Callable[[int], float]:
    """See `registry`."""
    from xent_numba.kernels.cuda import events

    return events.timer(call)


@implements(
    "sigmoid",
    device="cuda",
    formulation="stable",
    max_ulp=_ULP,
    summary="1/(1 + e) or e/(1 + e) with e = exp(-|s|).",
)
@implements(
    "binary_cross_entropy",
    device="cuda",
    formulation="stable",
    max_ulp=_ULP,
    summary="-log p or -log(1 - p), with 1 - p kept unrounded.",
)
@implements(
    "logistic_loss",
    device="cuda",
    formulation="stable",
    max_ulp=_ULP,
    summary="log(1 + e^-m), mirrored for negative margins.",
)
@implements(
    "binary_cross_entropy_with_logits",
    device="cuda",
    formulation="stable",
    max_ulp=_ULP,
    summary="The logistic loss of the margin (2y - 1)s; soft labels add their distance times it.",
)
@implements(
    "logistic_loss_and_grad",
    device="cuda",
    formulation="stable",
    max_ulp=_ULP,
    max_ulp_gradient=_ULP,
    summary="Loss and -y g(-ys) from one exponential and one division.",
)
@implements(
    "binary_cross_entropy_with_logits_and_grad",
    device="cuda",
    formulation="stable",
    max_ulp=_ULP,
    max_ulp_gradient=_ULP,
    summary="Loss and g(s) - y from one exponential and one division.",
)
def compute(call: Call) -> Any:
    """Launch on arrays in device memory; host arrays are copied there and back."""
    from xent_numba.kernels.cuda import arrays, copies, launch

    operation, first, labels, weights, reduction, out, grad_out = call
    if isinstance(first, ndarray):
        return _compute_on_copies(call)
    given = first, labels, weights, out, grad_out
    adopted = [None if array is None else arrays.adopt("argument", array) for array in given]
    task = launch.Task(operation.name, *adopted)  # type: ignore[arg-type]
    _check_places(task)
    entered = launch.machine.enter(task.first.device)
    try:
        if not task.first.size:
            if reduction != "none" and task.losses:
                copies.fill(task.losses, 0.0, _where(task))
            return 0.0 if out is None else out
        result = _run(task, call)
    finally:
        if entered:
            launch.machine.leave()
    return result if out is None else out


def _compute_on_copies(call: Call) -> Any:
    """Compute on host arrays by way of the device."""
    from xent_numba.kernels.cuda import arrays, copies, launch

    _, first, labels, weights, reduction, out, grad_out = call
    if reduction != "none":
        out = None
    if not first.size:
        return 0.0 if out is None else out
    launch.machine.current_device()
    inputs = [None if a is None else arrays.to_device(a) for a in (first, labels, weights)]
    outputs = [
        None if a is None else arrays.room_for(a.shape, str(a.dtype)) for a in (out, grad_out)
    ]
    task = launch.Task(call.operation.name, *inputs, *outputs)  # type: ignore[arg-type]
    result = _run(task, call._replace(out=None))
    for host, array in zip((out, grad_out), outputs, strict=True):
        if host is not None:
            host[...] = copies.to_host(array)
    return out if reduction == "none" else result


def _check_places(task: Any) -> None:
    """Raise if an array is on another device than the first."""
    names = OPERATIONS[task.operation].first, "labels", "sample_weight", "out", "grad_out"
    here = task.first.device
    arrays = task.first, task.labels, task.weights, task.losses, task.gradients
    for name, array in zip(names, arrays, strict=True):
        if array is not None and array.device != here:
            raise ValueError(
                f"{name} is on device {array.device}; accepted is device {here}, where "
                f"{names[0]} is"
            )


def _where(task: Any) -> Any:
    """Return the stream to run on, which waits for what is queued on those of all arrays."""
    from xent_numba.kernels.cuda import arrays
    from xent_numba.kernels.cuda.passes import Launch

    given = task.first, task.labels, task.weights, task.losses, task.gradients
    return Launch(arrays.join_streams([array for array in given if array]))


def _run(task: Any, call: Call) -> Any:
    """Compute on arrays of the current device; return the sum or mean that is no array.

    Where the caller gave `out` nothing waits for the device, and a bad value leaves NaN.
    """
    from xent_numba.kernels.cuda import launch

    where = _where(task)
    if task.labels is None:
        launch.launch_map(task.operation, task.first, task.losses, where)
        return None
    waits = type(call.out) is not type(task.first)
    number = _take_number(task, call.reduction)
    scratch = launch.scratch_on(task.first.device, where.stream)
    if task.divisor == "sum":
        of_weights = launch.Task("sample_weight", task.weights)
        launch.launch_sum(of_weights, scratch, (scratch.totals, scratch.result), where)
    if waits:
        totals = launch.awaited(task, scratch, where)
        _raise_if_bad(totals, task, call, where)
        return None if call.reduction == "none" else totals.result
    if number:
        launch.launch_sum(task, scratch, (scratch.totals, number.address), where)
    else:
        launch.launch_pass(task, scratch, (scratch.totals, scratch.result), where)
    return None


def _take_number(task: Any, reduction: str) -> Any:
    """Tell a task what becomes of its losses; return the array for the sum or mean, if any."""
    if reduction == "none":
        return None
    number, task.losses = task.losses, None
    if reduction == "mean":
        task.rule = "weighted mean" if task.weights else "mean"
        if task.gradients:
            task.divisor = "sum" if task.weights else "size"
    return number


def _raise_if_bad(totals: Any, task: Any, call: Call, where: Any) -> None:
    """Raise for a value outside its set, or weights that have no mean."""
    if totals.bad:
        raise_bad_value(call.operation, *(_on_host(array, where) for array in call[1:4]))
    if task.rule == "weighted mean" and not 0 < totals.weight_sum < np.inf:
        raise_bad_weight_sum(totals.weight_sum)


def _on_host(array: Any, where: Any) -> Any:
    """Return an argument as a NumPy array of the numbers it stands for; None for None."""
    from xent_numba.kernels.cuda import arrays, copies

    if array is None or isinstance(array, ndarray):
        return array
    adopted = arrays.adopt("argument", array)
    return adopted.numbers(copies.to_host(adopted, where))
