"""The memory limit moves the bytes that an operation moves."""

from __future__ import annotations

import math

import numpy as np
import pytest

from xent_numba.measurement.case import Case


@pytest.mark.parametrize("reduction", ["none", "sum", "mean"])
@pytest.mark.parametrize("operation", ["sigmoid", "logistic_loss", "logistic_loss_and_grad"])
@pytest.mark.parametrize("label_dtype", ["int8", "float32"])
@pytest.mark.parametrize("workload", ["gaussian", "gaussian-weighted"])
def test_the_memory_limit_moves_what_the_operation_moves(
    operation, reduction, label_dtype, workload
):
    from xent_numba.kernels.cpu import memory_limit

    case = Case.of(operation, workload, 5000, "float32", label_dtype, reduction)
    inputs = case.arguments()
    gradient = case.table_entry.gradient
    call = memory_limit.bind(inputs, case.reduction == "none", gradient)
    total = call()
    *_, losses, gradients = call.args
    expected = math.prod(inputs[1:], start=inputs[0])
    if losses is not None:
        np.testing.assert_array_equal(losses, expected)
    else:
        assert total == pytest.approx(expected.sum(dtype=float), rel=1e-4, abs=1e-2)
    if gradients is not None:
        np.testing.assert_array_equal(gradients, expected)
    arrays = [a for a in (*inputs, losses, gradients) if a is not None]
    assert sum(a.nbytes for a in arrays) == case.bytes_moved
