"""Numba CUDA: one pass on an NVIDIA GPU, within 2 ULP, the same bits for any launch.

The arithmetic is in ``kernels.cuda_elementary`` and ``kernels.cuda_samples``, the kernels and the
sums are in ``kernels.cuda_grid``. Host arrays are copied to the current device and back. Arrays
with ``__cuda_array_interface__`` are used where they are, on their device and their stream
(``kernels.cuda_arrays``), whatever their strides; per-sample results and gradients stay there. A
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
from importlib.metadata import PackageNotFoundError, version
from typing import Any, cast

import numpy as np
from numpy import ndarray

from xent_numba.host_arrays import HOST, LABEL_DTYPES
from xent_numba.operations import OPERATIONS, Call, Operation, Reduction
from xent_numba.registry import implements
from xent_numba.validation import raise_bad_value, raise_bad_weight_sum

_ULP = {"float32": 2, "float64": 2}
_INSTALL = "pip install 'xent-numba[cuda]'"


def unavailable() -> str | None:
    """Return why no kernel can run here, or None."""
    try:
        from numba import cuda
        from numba.cuda.cudadrv import driver, nvvm
    except Exception as error:  # noqa: BLE001 - mismatched versions fail in many ways
        return (
            f"{_versions()} cannot be imported together ({_one_line(error)}); for a pair that "
            f"can, {_INSTALL}"
        )
    if _simulated():
        return None
    if not driver.driver.is_available:
        return (
            "no CUDA driver was found; on a machine with an NVIDIA GPU install its driver, "
            f"then {_INSTALL}"
        )
    try:
        devices = len(cuda.gpus)
    except Exception as error:  # noqa: BLE001 - the driver's errors have no common class
        return (
            f"the CUDA driver does not start ({_one_line(error)}); with one that does, {_INSTALL}"
        )
    if not devices:
        return f"the CUDA driver finds no device; on a machine with an NVIDIA GPU, {_INSTALL}"
    try:
        nvvm.NVVM()
    except Exception as error:  # noqa: BLE001 - see above
        return f"NVVM, which compiles for the GPU, is missing ({_one_line(error)}); {_INSTALL}"
    return None


def unavailable_for_timing() -> str | None:
    """Return why a time measured here would say nothing of a GPU, or None."""
    if (reason := unavailable()) is not None:
        return reason
    if _simulated():
        return "Numba's CUDA simulator (NUMBA_ENABLE_CUDASIM) runs kernels as Python threads"
    return None


class DeviceArrays:
    """Arrays with ``__cuda_array_interface__``."""

    plain: type | None = None

    @staticmethod
    def adopt(name: str, value: Any) -> Any:
        """See `validation.Arrays`."""
        from xent_numba.kernels.cuda import arrays

        if not hasattr(value, "__cuda_array_interface__"):
            raise TypeError(
                f"{name} is a host {type(value).__name__}; accepted is a device array, as the "
                "first argument is one"
            )
        try:
            array = arrays.adopt(name, value)
        except NotImplementedError as error:
            raise TypeError(f"{name} is no array that Numba reads: {_one_line(error)}") from None
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
        from xent_numba.kernels.cuda import arrays

        with arrays.on_device(first.device):
            stream = arrays.join_streams([first])
            return arrays.empty(first.shape, first.dtype, stream)

    @classmethod
    def check_out(cls, name: str, out: Any, inputs: tuple[Any, ...]) -> Any:
        """See `validation.Arrays`."""
        from xent_numba.kernels.cuda import arrays

        if not hasattr(out, "__cuda_array_interface__"):
            raise TypeError(f"{name} is a {type(out).__name__}; accepted is a device array")
        if not arrays.is_aligned(out.__cuda_array_interface__):
            raise ValueError(
                f"{name} has elements that lie across their alignment; accepted is an address and "
                "strides that are multiples of the item size"
            )
        shadows = tuple(None if array is None else arrays.shadow(array) for array in inputs)
        HOST.check_out(name, arrays.shadow(out), shadows)
        return cls.adopt(name, out)

    @staticmethod
    def poison(out: Any) -> None:
        """See `validation.Arrays`."""
        from xent_numba.kernels.cuda import arrays, grid

        array = arrays.adopt("out", out)
        with arrays.on_device(array.device):
            launch = grid.Launch(arrays.join_streams([array]))
            grid.fill(array.column.array, array.dtype.type(np.nan), launch)


arrays = DeviceArrays()


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
    """Return a call that computes on copies of the inputs that are on the device already."""
    from numba import cuda

    columns = [cuda.to_device(np.ascontiguousarray(array)) for array in inputs]
    first, labels = columns if len(columns) == 2 else (columns[0], None)
    chosen = OPERATIONS[operation]
    call = Call(
        chosen,
        first,
        labels,
        reduction=cast(Reduction, reduction),
        out=cuda.device_array_like(first) if reduction == "none" else None,
        grad_out=cuda.device_array_like(first) if chosen.gradient else None,
    )

    def run() -> Any:
        result = compute(call)
        cuda.synchronize()
        return result

    return run


def clock() -> Callable[[], float]:
    """Return a clock that reads seconds from events on the GPU."""
    from xent_numba.kernels.cuda import device

    return device.Clock()


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
    """Launch on columns of device memory; host arrays are copied there and back."""
    from xent_numba.kernels.cuda import arrays

    operation, first, labels, weights, reduction, out, grad_out = call
    if reduction != "none":
        out = None
    if not first.size:
        return 0.0 if out is None else out
    given = {
        name: array
        for name, array in (
            (operation.first, first),
            ("labels", labels),
            ("sample_weight", weights),
            ("out", out),
            ("grad_out", grad_out),
        )
        if array is not None
    }
    if isinstance(first, ndarray):
        columns = {key: _to_device(key, array) for key, array in given.items()}
        result = _run(operation, given, columns, reduction, 0)
        for key in ("out", "grad_out"):
            if key in given:
                given[key][...] = columns[key].array.copy_to_host()
        return out if reduction == "none" else result
    adopted = {key: arrays.adopt(key, array) for key, array in given.items()}
    here = next(iter(adopted.values())).device
    for key, array in adopted.items():
        if array.device != here:
            raise ValueError(
                f"{key} is on device {array.device}; accepted is device {here}, where "
                f"{operation.first} is"
            )
    columns = {key: array.column for key, array in adopted.items()}
    with arrays.on_device(here):
        stream = arrays.join_streams(adopted.values())
        result = _run(operation, given, columns, reduction, stream)
    return out if reduction == "none" else result


def _run(
    operation: Operation,
    given: dict[str, Any],
    columns: dict[str, Any],
    reduction: str,
    stream: Any,
) -> Any:
    """Compute on columns of the current device; the sum or mean, where there is one."""
    from xent_numba.kernels.cpu import blocks, summation
    from xent_numba.kernels.cuda import grid

    name = operation.name
    launch = grid.Launch(stream)
    first = columns[operation.first]
    labels, weights = columns.get("labels"), columns.get("sample_weight")
    losses, gradients = (
        columns[key].array if key in columns else None for key in ("out", "grad_out")
    )
    size = first.array.size
    if labels is None:
        grid.launch_map(name, first, losses, launch)
        return None
    divisor = None
    if gradients is not None and reduction == "mean":
        divisor = float(size)
        if weights is not None:
            totals = grid.fold(grid.launch_pass("sample_weight", weights, launch=launch), launch)
            divisor = summation.rounded_sum(totals[grid.SUM], totals[grid.ERROR])
    partials = grid.launch_pass(name, first, labels, weights, losses, gradients, divisor, launch)
    totals = grid.fold(partials, launch)
    if totals[grid.BAD]:
        inputs = (given.get(key) for key in (operation.first, "labels", "sample_weight"))
        raise_bad_value(operation, *(_on_host(array, launch) for array in inputs))
    if reduction == "none":
        return None
    value, error, weight, weight_error = totals[: grid.BAD]
    if reduction == "sum":
        return summation.rounded_sum(value, error)
    if weights is None:
        weight, weight_error = float(size), 0.0
    elif not 0 < weight < np.inf:
        raise_bad_weight_sum(weight)
    return blocks.quotient_of_sums(value, error, weight, weight_error)


def _to_device(name: str, array: ndarray) -> Any:
    """Return a host array on the device; what is only written need not be copied there."""
    from xent_numba.kernels.cuda import access, arrays

    if name in ("out", "grad_out"):
        return access.Column(arrays.empty(array.shape, array.dtype, 0))
    return arrays.to_device(array)


def _on_host(array: Any, launch: Any) -> Any:
    """Return an argument as a NumPy array of the numbers it stands for; None for None."""
    from xent_numba.kernels.cuda import arrays, grid

    if array is None or isinstance(array, ndarray):
        return array
    column = arrays.adopt("argument", array).column
    return column.numbers(grid.to_host(column.array, launch))


def _simulated() -> bool:
    from numba.core import config

    return bool(config.ENABLE_CUDASIM)


def _versions() -> str:
    found = []
    for package in ("numba", "numba-cuda"):
        try:
            found.append(f"{package} {version(package)}")
        except PackageNotFoundError:
            found.append(f"no {package}")
    return " and ".join(found)


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())
