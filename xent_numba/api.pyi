"""What the public functions return, by the kind of their arguments and the reduction.

NumPy arrays and numbers give NumPy's. Of arrays on a device, dask arrays and other containers the
types say nothing.
"""

from collections.abc import Sequence
from typing import Any, Literal, Protocol, TypeAlias, TypeVar, overload

import numpy as np
from numpy.typing import NDArray

_Host: TypeAlias = NDArray[Any] | np.generic | float | Sequence[Any]
_Number: TypeAlias = np.floating[Any]
_Array: TypeAlias = NDArray[np.floating[Any]]
_Total: TypeAlias = Literal["mean", "sum"]
_Reduction: TypeAlias = Literal["mean", "sum", "none"]
_Out = TypeVar("_Out", bound=NDArray[Any])

class _Device(Protocol):
    @property
    def __cuda_array_interface__(self) -> Any: ...

class _Dask(Protocol):
    def __dask_graph__(self) -> Any: ...

class _Container(Protocol):
    def to_numpy(self) -> Any: ...

# Not Any, which takes NumPy's arrays too and would leave mypy without an answer for them.
_Other: TypeAlias = _Device | _Dask | _Container

@overload
def sigmoid(
    scores: NDArray[Any] | Sequence[Any], *, out: None = None, implementation: str = "auto"
) -> _Array: ...
@overload
def sigmoid(
    scores: float | np.generic, *, out: None = None, implementation: str = "auto"
) -> _Number: ...
@overload
def sigmoid(scores: _Host, *, out: _Out, implementation: str = "auto") -> _Out: ...
@overload
def sigmoid(scores: _Other, *, out: Any = None, implementation: str = "auto") -> Any: ...
@overload
def binary_cross_entropy(
    probabilities: _Host,
    labels: Any,
    *,
    sample_weight: Any = None,
    reduction: _Total = "mean",
    out: None = None,
    implementation: str = "auto",
) -> _Number: ...
@overload
def binary_cross_entropy(
    probabilities: _Host,
    labels: Any,
    *,
    sample_weight: Any = None,
    reduction: Literal["none"],
    out: None = None,
    implementation: str = "auto",
) -> _Array: ...
@overload
def binary_cross_entropy(
    probabilities: _Host,
    labels: Any,
    *,
    sample_weight: Any = None,
    reduction: _Reduction = "mean",
    out: _Out,
    implementation: str = "auto",
) -> _Out: ...
@overload
def binary_cross_entropy(
    probabilities: _Other,
    labels: Any,
    *,
    sample_weight: Any = None,
    reduction: _Reduction = "mean",
    out: Any = None,
    implementation: str = "auto",
) -> Any: ...
@overload
def logistic_loss(
    scores: _Host,
    labels: Any,
    *,
    sample_weight: Any = None,
    reduction: _Total = "mean",
    out: None = None,
    implementation: str = "auto",
) -> _Number: ...
@overload
def logistic_loss(
    scores: _Host,
    labels: Any,
    *,
    sample_weight: Any = None,
    reduction: Literal["none"],
    out: None = None,
    implementation: str = "auto",
) -> _Array: ...
@overload
def logistic_loss(
    scores: _Host,
    labels: Any,
    *,
    sample_weight: Any = None,
    reduction: _Reduction = "mean",
    out: _Out,
    implementation: str = "auto",
) -> _Out: ...
@overload
def logistic_loss(
    scores: _Other,
    labels: Any,
    *,
    sample_weight: Any = None,
    reduction: _Reduction = "mean",
    out: Any = None,
    implementation: str = "auto",
) -> Any: ...
@overload
def binary_cross_entropy_with_logits(
    scores: _Host,
    labels: Any,
    *,
    sample_weight: Any = None,
    reduction: _Total = "mean",
    out: None = None,
    implementation: str = "auto",
) -> _Number: ...
@overload
def binary_cross_entropy_with_logits(
    scores: _Host,
    labels: Any,
    *,
    sample_weight: Any = None,
    reduction: Literal["none"],
    out: None = None,
    implementation: str = "auto",
) -> _Array: ...
@overload
def binary_cross_entropy_with_logits(
    scores: _Host,
    labels: Any,
    *,
    sample_weight: Any = None,
    reduction: _Reduction = "mean",
    out: _Out,
    implementation: str = "auto",
) -> _Out: ...
@overload
def binary_cross_entropy_with_logits(
    scores: _Other,
    labels: Any,
    *,
    sample_weight: Any = None,
    reduction: _Reduction = "mean",
    out: Any = None,
    implementation: str = "auto",
) -> Any: ...
@overload
def logistic_loss_and_grad(
    scores: _Host,
    labels: Any,
    *,
    sample_weight: Any = None,
    reduction: _Total = "mean",
    out: None = None,
    grad_out: NDArray[Any] | None = None,
    implementation: str = "auto",
) -> tuple[_Number, _Array]: ...
@overload
def logistic_loss_and_grad(
    scores: _Host,
    labels: Any,
    *,
    sample_weight: Any = None,
    reduction: Literal["none"],
    out: None = None,
    grad_out: NDArray[Any] | None = None,
    implementation: str = "auto",
) -> tuple[_Array, _Array]: ...
@overload
def logistic_loss_and_grad(
    scores: _Host,
    labels: Any,
    *,
    sample_weight: Any = None,
    reduction: _Reduction = "mean",
    out: _Out,
    grad_out: NDArray[Any] | None = None,
    implementation: str = "auto",
) -> tuple[_Out, _Array]: ...
@overload
def logistic_loss_and_grad(
    scores: _Other,
    labels: Any,
    *,
    sample_weight: Any = None,
    reduction: _Reduction = "mean",
    out: Any = None,
    grad_out: Any = None,
    implementation: str = "auto",
) -> tuple[Any, Any]: ...
@overload
def binary_cross_entropy_with_logits_and_grad(
    scores: _Host,
    labels: Any,
    *,
    sample_weight: Any = None,
    reduction: _Total = "mean",
    out: None = None,
    grad_out: NDArray[Any] | None = None,
    implementation: str = "auto",
) -> tuple[_Number, _Array]: ...
@overload
def binary_cross_entropy_with_logits_and_grad(
    scores: _Host,
    labels: Any,
    *,
    sample_weight: Any = None,
    reduction: Literal["none"],
    out: None = None,
    grad_out: NDArray[Any] | None = None,
    implementation: str = "auto",
) -> tuple[_Array, _Array]: ...
@overload
def binary_cross_entropy_with_logits_and_grad(
    scores: _Host,
    labels: Any,
    *,
    sample_weight: Any = None,
    reduction: _Reduction = "mean",
    out: _Out,
    grad_out: NDArray[Any] | None = None,
    implementation: str = "auto",
) -> tuple[_Out, _Array]: ...
@overload
def binary_cross_entropy_with_logits_and_grad(
    scores: _Other,
    labels: Any,
    *,
    sample_weight: Any = None,
    reduction: _Reduction = "mean",
    out: Any = None,
    grad_out: Any = None,
    implementation: str = "auto",
) -> tuple[Any, Any]: ...
