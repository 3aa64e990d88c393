"""What is computed of one chunk of a larger array, and how neighbours are put together.

These functions run on workers, and are sent there with what they were given: `Sums`, or the
public function. A chunk has a place in the whole, one slice an axis.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any, NamedTuple

import numpy as np
from numpy import ndarray

from xent_numba import registry
from xent_numba.host_arrays import HOST
from xent_numba.kernels.cpu import partials, pieces, weights
from xent_numba.operations import OPERATIONS, Operation
from xent_numba.validation import check_values, raise_bad_weight_sum

Place = tuple[slice, ...]
Scaling = tuple[float, float, float]
"""What weights are multiplied by, and gradients divided by, a value and an error."""


class Sums(NamedTuple):
    """A sum or mean that has the bits of the whole array's.

    Attributes
    ----------
    operation, implementation : str
        Their names.
    shape : tuple of int
        Of the whole array.
    dtype : str
        Of its first argument.
    mean, weighted : bool
        Whether the mean is asked for, and whether there are weights.
    """

    operation: str
    implementation: str
    shape: tuple[int, ...]
    dtype: str
    mean: bool
    weighted: bool

    @property
    def size(self) -> int:
        """Samples of the whole array."""
        return math.prod(self.shape)

    def start(self, place: Place) -> int:
        """Samples before a chunk, which is one piece of the array in C order."""
        after = (math.prod(self.shape[axis + 1 :]) for axis in range(len(self.shape)))
        return sum(part.start * size for part, size in zip(place, after, strict=True))

    def of_losses(self, scale: float) -> pieces.Whole:
        """What the pieces of the losses know of the whole."""
        # Losses of float32 cannot make a float64 overflow.
        again = self.weighted or (self.mean and np.dtype(self.dtype) == np.float64)
        both = self.mean and self.weighted
        columns = (partials.SUM, partials.WEIGHT_SUM) if both else (partials.SUM,)
        return pieces.Whole(self.size, columns, self.mean, scale, again)

    def of_weights(self) -> pieces.Whole:
        """What the pieces of the weights know of the whole."""
        return pieces.Whole(self.size, (partials.WEIGHT_SUM,), True, partials.UNSCALED, True)

    def loss_rows(self, scaling: Scaling, samples: pieces.Samples, scale: float) -> ndarray:
        """The rows of samples; see `pieces.Compute`."""
        rows = registry.get(self.implementation).loss_rows
        assert rows is not None
        return rows(OPERATIONS[self.operation], samples, (scale, *scaling[1:]))


class Losses(NamedTuple):
    """What a task knows of the losses: one piece of them, and how they are scaled."""

    piece: pieces.Piece
    scaling: Scaling


@contextlib.contextmanager
def naming(
    operation: Operation, place: Place, first: Any, labels: Any, sample_weight: Any
) -> Iterator[None]:
    """Make an error of one chunk name the value's place in the whole array, or the chunk's."""
    corner = tuple(part.start for part in place)
    try:
        yield
    except TypeError as error:
        raise TypeError(f"{error}, in the chunk that begins at {list(corner)}") from None
    except ValueError:
        first, labels, sample_weight = map(_on_host, (first, labels, sample_weight))
        check_values(operation, first, labels, sample_weight, corner)
        raise


def _on_host(block: Any) -> Any:
    """A chunk of NumPy's as it is, a copy of one of CuPy's."""
    return block.get() if hasattr(type(block), "get") else block


def _flat(name: str, block: Any) -> ndarray:
    """One chunk in C order, in a dtype that is computed with."""
    return np.require(HOST.adopt(name, block), None, ("C", "A")).reshape(-1)


def losses_of_chunk(sums: Sums, place: Place, first: Any, *rest: Any) -> tuple[Losses, Any]:
    """Losses of a chunk and, where the operation has one, its gradient.

    `rest` is labels, weights if there are, and the scaling if it had to be computed.
    """
    labels, *rest_ = rest
    sample_weight = rest_.pop(0) if sums.weighted else None
    operation = OPERATIONS[sums.operation]
    divisor = float(sums.size) if sums.mean else 1.0
    scaling: Scaling = rest_.pop(0) if rest_ else (partials.UNSCALED, divisor, 0.0)
    whole = sums.of_losses(scaling[0])
    with naming(operation, place, first, labels, sample_weight):
        values = _flat(operation.first, first)
        gradient = np.empty_like(values) if operation.gradient else None
        samples = (
            values,
            _flat("labels", labels),
            None if sample_weight is None else _flat("sample_weight", sample_weight),
            gradient,
        )
        piece = pieces.cut(whole, partial(sums.loss_rows, scaling), sums.start(place), samples)
    return Losses(piece, scaling), None if gradient is None else gradient.reshape(first.shape)


def join_losses(sums: Sums, parts: Sequence[Any]) -> tuple[Losses, None]:
    """Losses of neighbours as one piece."""
    scaling = parts[0][0].scaling
    whole = sums.of_losses(scaling[0])
    neighbours = [losses.piece for losses, _ in parts]
    piece = pieces.join(whole, partial(sums.loss_rows, scaling), neighbours)
    return Losses(piece, scaling), None


def finish_losses(sums: Sums, part: tuple[Losses, None]) -> Any:
    """The sum or mean of all losses, in the dtype of the scores."""
    losses, _ = part
    dtype = np.dtype(sums.dtype)

    def finished(table: ndarray, scale: float) -> tuple[float, bool | None]:
        found, value = partials.finish(
            table, sums.size, dtype == np.float32, sums.mean, sums.weighted, scale
        )
        if found == partials.BAD_WEIGHT_SUM:
            raise_bad_weight_sum(value)
        infinite = bool(value == np.inf)
        if found == partials.STRAINED:
            return value, infinite
        return value, True if infinite and sums.mean and scale != partials.UNSCALED else None

    value = pieces.finish(sums.of_losses(losses.scaling[0]), losses.piece, finished)
    with np.errstate(all="ignore"):
        return dtype.type(value)


def _weight_rows(samples: pieces.Samples, scale: float) -> ndarray:
    (values,) = samples
    rows = np.zeros((pieces.sections(values.size), partials.COLUMNS))
    weights.weigh(values, scale, rows)
    return rows


def weights_of_chunk(sums: Sums, place: Place, sample_weight: Any) -> pieces.Piece:
    """Weights of a chunk, for the gradient of a mean, which is divided by their sum."""
    samples = (_flat("sample_weight", sample_weight),)
    return pieces.cut(sums.of_weights(), _weight_rows, sums.start(place), samples)


def join_weights(sums: Sums, parts: Sequence[pieces.Piece]) -> pieces.Piece:
    """Weights of neighbours as one piece."""
    return pieces.join(sums.of_weights(), _weight_rows, parts)


def finish_weights(sums: Sums, piece: pieces.Piece) -> Scaling:
    """How the gradient of a mean is scaled."""

    def finished(table: ndarray, scale: float) -> tuple[Scaling, bool | None]:
        total, error = partials.finish_weights(table)
        ordinary = partials.TINY < total < partials.HUGE
        return (scale, total, error), None if ordinary else False

    scaling: Scaling = pieces.finish(sums.of_weights(), piece, finished)
    return scaling


def per_sample(
    compute: Callable[..., Any],
    operation: Operation,
    place: Place,
    first: Any,
    labels: Any = None,
    sample_weight: Any = None,
) -> Any:
    """One chunk of the reduction "none", or of an operation that has no labels."""
    with naming(operation, place, first, labels, sample_weight):
        return compute(first, labels, sample_weight=sample_weight, reduction="none")


def sum_of_chunk(
    compute: Callable[..., Any],
    operation: Operation,
    reduction: str,
    place: Place,
    first: Any,
    labels: Any,
    sample_weight: Any = None,
) -> tuple[list[tuple[float, int, float]], Any]:
    """The share of one chunk in a mean, and its sum or mean; and its gradient.

    The share is the sum of its weights as a number near its largest one's, and the power of two
    that was taken out: neither can overflow, nor is lost where all weights are tiny.
    """
    share, exponent = float(first.size), 0
    if reduction == "mean" and sample_weight is not None:
        with np.errstate(all="ignore"):
            values = sample_weight.astype(np.float64)  # stays where it is, as on a GPU
            exponent = math.frexp(float(values.max()))[1] if values.size else 0
            share = float(np.ldexp(values, -exponent).sum())
    if reduction == "mean" and not share > 0:
        reduction = "sum"  # which is 0, or names the weight that is not accepted
    with naming(operation, place, first, labels, sample_weight):
        result = compute(first, labels, sample_weight=sample_weight, reduction=reduction)
    loss, gradient = result if operation.gradient else (result, None)
    return [(share, exponent, float(loss))], gradient


def join_sums(parts: Sequence[Any]) -> tuple[list[Any], None]:
    """Those of all chunks, in order."""
    return [one for some, _ in parts for one in some], None


def finish_sums(
    reduction: str, dtype: np.dtype, part: tuple[list[Any], None]
) -> tuple[Any, float, int]:
    """The sum or mean of all chunks; the sum of their shares, and the power of two taken out."""
    shares, exponents, losses = zip(*part[0], strict=True)
    factors, total, largest = [1.0] * len(losses), 1.0, 0
    if reduction == "mean":
        held = [e for share, e in zip(shares, exponents, strict=True) if share > 0]
        largest = max(held, default=0)
        sizes = [_share(*one, largest) for one in zip(shares, exponents, strict=True)]
        total = math.fsum(sizes)
        if not total > 0:
            raise_bad_weight_sum(total)
        factors = [size / total for size in sizes]
    with np.errstate(all="ignore"):
        return dtype.type(np.dot(factors, np.array(losses, np.float64))), total, largest


def _share(share: float, exponent: int, largest: int) -> float:
    return math.ldexp(share, max(exponent - largest, -1100))


def gradient_of_chunk(_place: Place, chunk: Any, whole: tuple[Any, float, int]) -> Any:
    """The gradient of one chunk's mean as a part of the gradient of the mean of all."""
    ((share, exponent, _),), gradient = chunk
    _, total, largest = whole
    return (gradient * (_share(share, exponent, largest) / total)).astype(gradient.dtype)
