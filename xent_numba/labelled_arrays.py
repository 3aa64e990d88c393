"""xarray.DataArray: computed on what is inside, given back with dimensions and coordinates."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from xent_numba.host_arrays import is_labelled
from xent_numba.operations import Call


def evaluate(compute: Callable[[Call], Any], call: Call) -> Any:
    """The operation on a DataArray.

    Parameters
    ----------
    compute : callable
        Evaluates a call on NumPy or dask arrays.
    call : Call
        `first` is a DataArray; labels and weights that are must have its dimensions in its order,
        and its coordinates.

    Returns
    -------
    xarray.DataArray, scalar, array or tuple
        A DataArray for what is computed per sample, unless an array to write to was passed.
    """
    import xarray

    first = call.first
    inside = {"first": first.data}
    for name in ("labels", "sample_weight"):
        value = inside[name] = getattr(call, name)
        if is_labelled(value):
            if value.dims != first.dims:
                raise ValueError(
                    f"{name} has dimensions {value.dims}; accepted are those of "
                    f"{call.operation.first}, {first.dims}"
                )
            try:
                xarray.align(first, value, join="exact", copy=False)
            except ValueError as error:
                raise ValueError(
                    f"{name} has other coordinates than {call.operation.first} "
                    f"({' '.join(str(error).split())}); accepted are the same"
                ) from None
            inside[name] = value.data

    def labelled(values: Any, out: Any) -> Any:
        if out is not None or values.shape != first.shape:
            return values
        return xarray.DataArray(values, first.coords, first.dims, first.name)

    result = compute(call._replace(**inside))
    if not call.operation.gradient:
        return labelled(result, call.out) if call.reduction == "none" else result
    loss, gradient = result
    loss = labelled(loss, call.out) if call.reduction == "none" else loss
    return loss, labelled(gradient, call.grad_out)
