"""What is computed: every operation of the suite, as data.

The table knows no implementation. Validation, the oracle, the tests, the asv benchmarks and the
reports all read it, so a statement about an operation is written once.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import numpy as np

Reduction = Literal["none", "sum", "mean"]
REDUCTIONS: tuple[Reduction, ...] = ("none", "sum", "mean")


@dataclass(frozen=True, slots=True)
class LabelSet:
    """The labels an operation accepts.

    Attributes
    ----------
    description : str
        The set as an error message names it.
    hard : tuple of float
        The labels of the two classes, negative class first.
    soft : bool
        Whether every value between the two is accepted as well.
    """

    description: str
    hard: tuple[float, float]
    soft: bool

    def contains(self, labels: np.ndarray) -> np.ndarray:
        """Elementwise membership; NaN is in no set."""
        negative, positive = self.hard
        if self.soft:
            return np.asarray((labels >= negative) & (labels <= positive))
        return np.asarray((labels == negative) | (labels == positive))


PLUS_MINUS_ONE = LabelSet("-1 or +1", hard=(-1.0, 1.0), soft=False)
ZERO_ONE = LabelSet("0, 1, or a soft label in [0, 1]", hard=(0.0, 1.0), soft=True)


class Arithmetic(NamedTuple):
    """What a formula computes for one sample, its loss and its derivative together.

    Attributes
    ----------
    functions : int
        Exponentials and logarithms.
    operations : int
        Additions, multiplications and divisions; a change of sign is free.
    """

    functions: int
    operations: int


@dataclass(frozen=True, slots=True)
class Operation:
    """One operation: what it takes, what it gives, and what it costs at the least.

    Attributes
    ----------
    name : str
        Name of the public function.
    formula : str
        The mathematical definition per sample, in terms of s (score), p (probability),
        y (label), g (sigmoid), L (loss).
    first : {"scores", "probabilities"}
        Name of the first argument.
    domain : tuple of float
        Closed interval of the first argument outside of which a value is an error.
    labels : LabelSet or None
        The accepted labels; None where the operation takes none.
    arithmetic : Arithmetic
        What the formula computes for one sample, before it is reduced.
    gradient : bool
        Whether the derivative with respect to the first argument is returned as well.
    """

    name: str
    formula: str
    first: Literal["scores", "probabilities"]
    domain: tuple[float, float]
    labels: LabelSet | None
    arithmetic: Arithmetic
    gradient: bool = False

    @property
    def reductions(self) -> tuple[Reduction, ...]:
        """The reductions the operation offers."""
        return REDUCTIONS if self.labels else ("none",)

    @property
    def loss(self) -> str:
        """Name of the operation that returns the loss alone."""
        return self.name.removesuffix("_and_grad")

    def bytes_per_element(
        self, dtype: np.dtype, label_dtype: np.dtype | None, reduction: Reduction
    ) -> int:
        """Memory traffic no implementation can avoid: inputs read once, results written once.

        Parameters
        ----------
        dtype : numpy.dtype
            dtype of the scores or probabilities, and so of the results.
        label_dtype : numpy.dtype or None
            dtype of the labels; None where there are none.
        reduction : {"none", "sum", "mean"}
            A reduced loss is one number and counts nothing.

        Returns
        -------
        int
            Bytes per sample.
        """
        arrays_written = (reduction == "none") + self.gradient
        labels_read = np.dtype(label_dtype).itemsize if label_dtype is not None else 0
        return np.dtype(dtype).itemsize * (1 + arrays_written) + labels_read


class Call(NamedTuple):
    """One evaluation of an operation: what it is given, and where its results go.

    An implementation gets it after the checks: arrays of one shape, in native byte order.

    Attributes
    ----------
    operation : Operation
        What is computed.
    first : array, any shape, float32 or float64
        Scores or probabilities.
    labels : array or None
        One label for each sample; None where the operation takes none.
    sample_weight : array or None
        One weight for each sample; None for weights of 1.
    reduction : {"none", "sum", "mean"}
        What becomes of the losses.
    out : array or None
        Takes what is computed per sample, in the shape and dtype of `first`. For a sum or mean the
        array of shape () that the caller passed, or None.
    grad_out : array or None
        Takes the gradient, in the shape and dtype of `first`; None where there is none.
    """

    operation: Operation
    first: Any
    labels: Any = None
    sample_weight: Any = None
    reduction: Reduction = "none"
    out: Any = None
    grad_out: Any = None


#: ``new(Call, (...))`` takes half the time of ``Call(...)``, which is Python.
new = tuple.__new__

_REAL_LINE = (-np.inf, np.inf)

OPERATIONS: dict[str, Operation] = {
    operation.name: operation
    for operation in (
        Operation(
            "sigmoid", "g(s) = 1 / (1 + exp(-s))", "scores", _REAL_LINE, None, Arithmetic(1, 2)
        ),
        Operation(
            "binary_cross_entropy",
            "L = -[y log p + (1 - y) log(1 - p)]",
            "probabilities",
            (0.0, 1.0),
            ZERO_ONE,
            Arithmetic(2, 5),
        ),
        Operation(
            "logistic_loss",
            "L = -log g(y s) = log(1 + exp(-y s))",
            "scores",
            _REAL_LINE,
            PLUS_MINUS_ONE,
            Arithmetic(2, 2),
        ),
        Operation(
            "binary_cross_entropy_with_logits",
            "L = log(1 + exp(s)) - y s",
            "scores",
            _REAL_LINE,
            ZERO_ONE,
            Arithmetic(2, 3),
        ),
        Operation(
            "logistic_loss_and_grad",
            "L = log(1 + exp(-y s)), dL/ds = -y g(-y s)",
            "scores",
            _REAL_LINE,
            PLUS_MINUS_ONE,
            Arithmetic(2, 4),
            gradient=True,
        ),
        Operation(
            "binary_cross_entropy_with_logits_and_grad",
            "L = log(1 + exp(s)) - y s, dL/ds = g(s) - y",
            "scores",
            _REAL_LINE,
            ZERO_ONE,
            Arithmetic(2, 5),
            gradient=True,
        ),
    )
}
