"""What a workload hands over."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import NamedTuple

from numpy import ndarray


class Draw(NamedTuple):
    """Samples before they are given a dtype.

    Attributes
    ----------
    scores : ndarray of float64, shape (n,)
        Pre-sigmoid scores.
    positive : ndarray of bool, shape (n,)
        Whether a sample is of the class 1.
    metadata : mapping of str to int
        What was counted while the workload was built.
    """

    scores: ndarray
    positive: ndarray
    metadata: Mapping[str, int] = MappingProxyType({})
