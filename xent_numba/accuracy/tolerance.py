"""How far a result may be from the truth: what is declared, and what the judge allows anyone."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal, Self

import numpy as np
from numpy import ndarray

from xent_numba.registry import Declaration

Kind = Literal["loss", "gradient"]

#: Largest relative error of a sum or mean.
REDUCED_RTOL = MappingProxyType({"float32": 1e-6, "float64": 1e-12})
#: What multiplying by a weight, and dividing by n or by the sum of the weights, may add, in ULP.
WEIGHT_ULP, DIVISOR_ULP = 1.0, 2.0
#: Errors in ULP by which a result is shown.
GRADES = (1, 4, 100)

#: The most that anyone is allowed, in ULP, by formulation and what is computed. A stable sigmoid
#: makes one exponential and two roundings, a loss a logarithm and two roundings more; the
#: exponentials and logarithms of vector libraries err by up to 4 ULP. The float64 gradient of a
#: library may be a difference that cancels some bits. What a textbook formula loses depends on the
#: input, up to where no digit but the first is sure to be right.
_STABLE = {"sigmoid": 10.0, "loss": 20.0, "gradient": 40.0}
ALLOWED = float(GRADES[-1])
"""The most that any formulation is allowed, in ULP."""
_TEXTBOOK = dict.fromkeys(_STABLE, ALLOWED)
_BY_FORMULATION: Mapping[str, Mapping[str, float]] = MappingProxyType(
    {"stable": _STABLE, "textbook": _TEXTBOOK}
)


@dataclass(frozen=True, slots=True)
class Tolerance:
    """How far the results for single samples may be from the truth.

    Attributes
    ----------
    loss : float
        Largest error of a loss or sigmoid, in ULP.
    gradient : float or None
        The same for a gradient, at a soft label in ULP of the sum of the two terms that it is the
        difference of; None where it is that of the loss.
    soft : float or None
        The same for a loss with a soft label; None where it is that of a hard one.
    declaration : Declaration or None
        Excuses single samples for which it declares a known failure, if it is a reduced loss that
        is wanted, and only from being compared one by one: the reduced loss must be right.
    """

    loss: float
    gradient: float | None = None
    soft: float | None = None
    declaration: Declaration | None = None

    @classmethod
    def of(cls, declaration: Declaration, dtype: str) -> Self:
        """What an implementation declares for a dtype, where that is stricter than the judge.

        What is declared is a promise of the declaring, and no evidence: beyond `allowed` it counts
        for nothing.
        """
        what = declaration.operation, declaration.formulation
        loss = declaration.max_ulp[dtype]
        gradient = declaration.max_ulp_gradient.get(dtype, loss)
        soft = declaration.max_ulp_soft.get(dtype, loss)
        most = allowed(*what, "loss")
        return cls(
            min(loss, most),
            min(gradient, allowed(*what, "gradient")),
            min(soft, most),
            declaration,
        )

    def limits(self, kind: Kind, soft: ndarray) -> ndarray:
        """Largest error of each sample in ULP, `soft` being whether its label is."""
        if kind == "gradient":
            return np.full(soft.shape, self.loss if self.gradient is None else self.gradient)
        return np.where(soft, self.loss if self.soft is None else self.soft, self.loss)


def allowed(operation: str, formulation: str, kind: Kind) -> float:
    """Largest error in ULP, of either dtype, that is accepted of anyone."""
    what = "sigmoid" if operation == "sigmoid" else kind
    return _BY_FORMULATION[formulation][what]
