"""Cases too large to draw: repeated, and judged by that."""

from __future__ import annotations

import numpy as np
import pytest

from xent_numba.measurement import binding
from xent_numba.measurement.case import Case


@pytest.fixture
def few_drawn(monkeypatch):
    monkeypatch.setattr("xent_numba.measurement.case.DRAWN", 1000)
    monkeypatch.setattr(binding, "DRAWN", 1000)


@pytest.mark.parametrize("size", [3000, 3500])
@pytest.mark.parametrize(
    ("operation", "reduction"),
    [
        ("sigmoid", "none"),
        ("logistic_loss", "sum"),
        ("logistic_loss", "mean"),
        ("logistic_loss", "none"),
        ("logistic_loss_and_grad", "mean"),
    ],
)
def test_a_case_too_large_to_draw_repeats_and_is_judged_by_that(
    few_drawn, operation, reduction, size
):
    from xent_numba import registry

    case = Case.of(operation, "gaussian", size, "float64", None, reduction)
    arguments = case.arguments()
    assert arguments[0].size == size
    np.testing.assert_array_equal(arguments[0][1000:2000], arguments[0][:1000])
    stable = registry.get("numpy_stable")
    call = binding.bind(stable, case, arguments)
    assert binding.judge_call(stable, case, arguments, call).ok

    def one_is_wrong():
        result = call()
        parts = list(result) if case.table_entry.gradient else [result]
        if case.reduction == "none" or case.table_entry.gradient:
            parts[-1] = np.array(parts[-1])
            parts[-1][2001] *= 1 + 1e-12
        else:
            parts[-1] *= 1 + 1e-11
        return tuple(parts) if case.table_entry.gradient else parts[0]

    verdict = binding.judge_call(stable, case, arguments, one_is_wrong)
    assert not verdict.ok
    assert verdict.reason
