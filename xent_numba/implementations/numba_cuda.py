"""Numba CUDA: one pass on an NVIDIA GPU, within 2 ULP, the same bits for any launch.

The arithmetic is that of `numba_parallel`, compiled for the GPU (``kernels.cuda_samples``); the
kernels and the sums are in ``kernels.cuda_grid``. Host arrays are copied to the device and back.
Arrays with ``__cuda_array_interface__`` are used where they are, whatever their strides, and
per-sample results and gradients stay on the device; a sum or mean is returned as a host scalar,
for which, and for the value checks, the call waits.

In Numba's simulator (NUMBA_ENABLE_CUDASIM=1) everything runs on the CPU, to be tested; a time
measured there would say nothing, so `unavailable_for_timing` has a reason where `unavailable` has
none. Nothing of CUDA is imported before one of the two, or a computation, is asked for.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib.metadata import PackageNotFoundError, version
from types import SimpleNamespace
from typing import Any

import numpy as np
from numpy import ndarray

from xent_numba.operations import OPERATIONS
from xent_numba.registry import implements
from xent_numba.validation import HOST, raise_bad_value, raise_bad_weight_sum

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
        return f"the CUDA driver does not start ({_one_line(error)})"
    if not devices:
        return "the CUDA driver finds no device; this needs an NVIDIA GPU"
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

    @staticmethod
    def adopt(name: str, value: Any) -> Any:
        """See `validation.Arrays`."""
        from numba import cuda

        if not hasattr(value, "__cuda_array_interface__"):
            raise TypeError(
                f"{name} is a host {type(value).__name__}; accepted is a device array, as the "
                "first argument is one"
            )
        try:
            array = cuda.as_cuda_array(value)
        except (NotImplementedError, TypeError) as error:
            raise TypeError(f"{name} is no array that Numba reads: {_one_line(error)}") from None
        if any(step % array.dtype.itemsize for step in array.strides):
            raise ValueError(
                f"{name} has strides {array.strides}; accepted are multiples of the item size"
            )
        if name != "labels" and array.dtype not in (np.float32, np.float64):
            raise TypeError(
                f"{name} has dtype {array.dtype}; accepted on a device are float32 and float64"
            )
        return array

    @staticmethod
    def empty(shape: tuple[int, ...], dtype: np.dtype) -> Any:
        """See `validation.Arrays`."""
        from numba import cuda

        return cuda.device_array(shape, dtype)

    @classmethod
    def check_out(cls, name: str, out: Any, inputs: list[Any]) -> None:
        """See `validation.Arrays`."""
        if not hasattr(out, "__cuda_array_interface__"):
            raise TypeError(f"{name} is a {type(out).__name__}; accepted is a device array")
        shadows = [None if array is None else _shadow(array) for array in inputs]
        HOST.check_out(name, _shadow(out), shadows)

    @staticmethod
    def poison(out: Any) -> None:
        """See `validation.Arrays`."""
        from xent_numba.kernels import cuda_grid

        array = _on_device(out)
        cuda_grid.fill(array, array.dtype.type(np.nan))


arrays = DeviceArrays()


def bind(operation: str, inputs: tuple[ndarray, ...], reduction: str) -> Callable[[], Any]:
    """Return a call that computes on copies of the inputs that are on the device already."""
    from numba import cuda

    first, *labels = (cuda.to_device(np.ascontiguousarray(array)) for array in inputs)
    function = globals()[operation]
    outputs: dict[str, Any] = {"out": None}
    if reduction == "none":
        outputs["out"] = cuda.device_array_like(first)
    if OPERATIONS[operation].gradient:
        outputs["grad_out"] = cuda.device_array_like(first)
    options = {"sample_weight": None, "reduction": reduction} if labels else {}

    def compute() -> Any:
        result = function(first, *labels, **options, **outputs)
        cuda.synchronize()
        return result

    return compute


@implements("sigmoid", device="cuda", formulation="stable", max_ulp=_ULP)
def sigmoid(scores: Any, *, out: Any) -> Any:
    """1/(1 + e) or e/(1 + e) with e = exp(-|s|) to one and a half times the precision."""
    from xent_numba.kernels import cuda_grid, losses

    target = _target(out)
    cuda_grid.apply(losses.sigmoid, _on_device(scores), target)
    _bring_back(target, out)
    return out


@implements("binary_cross_entropy", device="cuda", formulation="stable", max_ulp=_ULP)
def binary_cross_entropy(
    probabilities: Any, labels: Any, *, sample_weight: Any, reduction: str, out: Any
) -> Any:
    """-log p or -log(1 - p), with 1 - p kept unrounded."""
    return _loss("binary_cross_entropy", probabilities, labels, sample_weight, reduction, out)


@implements("logistic_loss", device="cuda", formulation="stable", max_ulp=_ULP)
def logistic_loss(scores: Any, labels: Any, *, sample_weight: Any, reduction: str, out: Any) -> Any:
    """log(1 + e^-m), mirrored for negative margins."""
    return _loss("logistic_loss", scores, labels, sample_weight, reduction, out)


@implements("binary_cross_entropy_with_logits", device="cuda", formulation="stable", max_ulp=_ULP)
def binary_cross_entropy_with_logits(
    scores: Any, labels: Any, *, sample_weight: Any, reduction: str, out: Any
) -> Any:
    """The logistic loss of the margin (2y - 1)s; soft labels add their distance times it."""
    name = "binary_cross_entropy_with_logits"
    return _loss(name, scores, labels, sample_weight, reduction, out)


@implements(
    "logistic_loss_and_grad",
    device="cuda",
    formulation="stable",
    max_ulp=_ULP,
    max_ulp_gradient=_ULP,
)
def logistic_loss_and_grad(
    scores: Any, labels: Any, *, sample_weight: Any, reduction: str, out: Any, grad_out: Any
) -> Any:
    """Loss and -y g(-ys) from one exponential and one division."""
    name = "logistic_loss_and_grad"
    return _loss(name, scores, labels, sample_weight, reduction, out, grad_out)


@implements(
    "binary_cross_entropy_with_logits_and_grad",
    device="cuda",
    formulation="stable",
    max_ulp=_ULP,
    max_ulp_gradient=_ULP,
)
def binary_cross_entropy_with_logits_and_grad(
    scores: Any, labels: Any, *, sample_weight: Any, reduction: str, out: Any, grad_out: Any
) -> Any:
    """Loss and g(s) - y from one exponential and one division."""
    name = "binary_cross_entropy_with_logits_and_grad"
    return _loss(name, scores, labels, sample_weight, reduction, out, grad_out)


def _loss(
    name: str,
    first: Any,
    labels: Any,
    weights: Any,
    reduction: str,
    out: Any,
    grad_out: Any = None,
) -> Any:
    from xent_numba.kernels import blocks, cuda_grid, sums

    if not first.size:
        return 0.0 if out is None else out
    device_first, device_labels = _on_device(first), _on_device(labels)
    device_weights = None if weights is None else _on_device(weights)
    losses, gradients = _target(out), _target(grad_out)

    divisor = None
    if gradients is not None and reduction == "mean":
        divisor = float(first.size)
        if device_weights is not None:
            totals = cuda_grid.weigh(device_weights)
            divisor = sums.rounded_sum(*totals[cuda_grid.WEIGHT_SUM : cuda_grid.BAD])
    totals = cuda_grid.compute_losses(
        name, device_first, device_labels, device_weights, losses, gradients, divisor
    )
    if totals[cuda_grid.BAD]:
        raise_bad_value(OPERATIONS[name], *map(_on_host, (first, labels, weights)))
    _bring_back(losses, out)
    _bring_back(gradients, grad_out)
    if reduction == "none":
        return out
    value, error, weight, weight_error = totals[: cuda_grid.BAD]
    if reduction == "sum":
        return sums.rounded_sum(value, error)
    if weights is None:
        weight, weight_error = float(first.size), 0.0
    elif not 0 < weight < np.inf:
        raise_bad_weight_sum(weight)
    return blocks.quotient_of_sums(value, error, weight, weight_error)


def _on_host(array: Any) -> Any:
    """Return the array as a NumPy array; None for None."""
    from xent_numba.kernels import cuda_grid

    return array if array is None or isinstance(array, ndarray) else cuda_grid.to_host(array)


def _on_device(array: Any) -> Any:
    """Return the array as Numba's device array; a copy if it is on the host."""
    from numba import cuda

    if isinstance(array, ndarray):
        return cuda.to_device(np.ascontiguousarray(array).reshape(array.shape))
    return cuda.as_cuda_array(array) if hasattr(array, "__cuda_array_interface__") else array


def _target(out: Any) -> Any:
    """Return where on the device the result for `out` goes; None for None."""
    from numba import cuda

    if isinstance(out, ndarray):
        return cuda.device_array(out.shape, out.dtype)
    return None if out is None else _on_device(out)


def _bring_back(target: Any, out: Any) -> None:
    """Copy a result to the host array it is for; nothing to do on the device."""
    if isinstance(out, ndarray):
        out[...] = target.copy_to_host()


def _shadow(array: Any) -> ndarray:
    """Return a NumPy array with the address and strides of a device array, never to be read."""
    interface = {"version": 3, "stream": None, **array.__cuda_array_interface__}
    del interface["stream"]
    if 0 in interface["shape"]:
        return np.empty(interface["shape"], interface["typestr"])
    return np.asarray(SimpleNamespace(__array_interface__=interface))


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
