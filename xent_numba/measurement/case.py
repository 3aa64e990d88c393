"""One thing that all implementations are timed on."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy import ndarray

from xent_numba import workloads
from xent_numba.operations import OPERATIONS, Operation, Reduction


@dataclass(frozen=True, slots=True)
class Case:
    """An operation on a workload of some size and dtype.

    Attributes
    ----------
    operation : str
        Name of the operation.
    workload : str
        Name of the workload, or of a variant with soft labels or weights.
    size : int
        Number of samples.
    dtype : {"float32", "float64"}
        dtype of the scores or probabilities.
    label_dtype : str or None
        dtype of the labels; None where the operation takes none.
    reduction : {"none", "sum", "mean"}
        What is returned of the losses.
    """

    operation: str
    workload: str
    size: int
    dtype: str
    label_dtype: str | None
    reduction: Reduction

    @classmethod
    def of(
        cls,
        operation: str,
        workload: str,
        size: int | None,
        dtype: str,
        label_dtype: str | None,
        reduction: Reduction,
    ) -> Case:
        """Fill in what is left open: the workload's own size, labels like the scores.

        An operation without labels has no losses to reduce.
        """
        if OPERATIONS[operation].labels is None:
            label_dtype, reduction = None, "none"
        else:
            label_dtype = label_dtype or dtype
        size = size or workloads.native_size(workload) or SYNTHETIC_SIZE
        return cls(operation, workload, size, dtype, label_dtype, reduction)

    @property
    def table_entry(self) -> Operation:
        """The operation itself."""
        return OPERATIONS[self.operation]

    @property
    def bytes_moved(self) -> int:
        """Bytes no implementation can avoid to move."""
        labels = None if self.label_dtype is None else np.dtype(self.label_dtype)
        dtype, operation = np.dtype(self.dtype), self.table_entry
        weights = dtype.itemsize if labels and "-weighted" in self.workload else 0
        return self.size * (weights + operation.bytes_per_element(dtype, labels, self.reduction))

    def arguments(self) -> tuple[ndarray, ...]:
        """Draw the inputs: always the same for the same case, and repeated beyond `DRAWN`."""
        drawn = min(self.size, DRAWN)
        sample = workloads.sample(self.workload, drawn, self.dtype, self.label_dtype)
        arguments = sample.arguments(self.table_entry)
        return tuple(np.resize(a, self.size) for a in arguments) if drawn < self.size else arguments


SYNTHETIC_SIZE = 1_000_000

DRAWN = 2**22
"""Samples that are drawn and judged one by one; a larger case holds the same ones repeatedly."""
