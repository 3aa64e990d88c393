"""Cases too large to draw: repeated, and judged by that."""

from __future__ import annotations

import numpy as np
import pytest

from xent_numba import registry
from xent_numba.measurement import binding, inputs, recheck
from xent_numba.measurement import case as drawing
from xent_numba.measurement.case import Case
from xent_numba.operations import OPERATIONS


@pytest.fixture
def few_drawn(monkeypatch):
    for module in (drawing, binding, recheck):
        monkeypatch.setattr(module, "DRAWN", 1000)


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
@pytest.mark.parametrize("workload", ["gaussian", "gaussian-weighted"])
def test_a_case_too_large_to_draw_repeats_and_is_judged_by_that(
    few_drawn, operation, reduction, size, workload
):
    case = Case.of(operation, workload, size, "float64", None, reduction)
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


@pytest.mark.parametrize("size", [1000, 3500])
@pytest.mark.parametrize("reduction", ["none", "sum", "mean"])
@pytest.mark.parametrize(
    "workload", ["gaussian-weighted", "gaussian-soft", "gaussian-soft-weighted"]
)
@pytest.mark.parametrize("operation", OPERATIONS)
def test_who_takes_soft_labels_for_hard_or_leaves_out_weights_is_wrong(
    few_drawn, operation, workload, reduction, size
):
    """Both in the first look and after the clock."""
    labels = OPERATIONS[operation].labels
    if not labels or ("-soft" in workload and not labels.soft):
        pytest.skip(f"{operation} takes no such labels")
    case = Case.of(operation, workload, size, "float64", None, reduction)
    stable = registry.get("numpy_stable")
    first, given, *weights = case.arguments()
    right = binding.bind(stable, case, (first, given, *weights))
    assert binding.judge_call(stable, case, (first, given, *weights), right).ok
    without = (np.round(given), *weights) if "-soft" in workload else (given,)
    wrong = binding.bind(stable, case, (first, *without))
    verdict = binding.judge_call(stable, case, (first, given, *weights), wrong)
    assert not verdict.ok


@pytest.mark.parametrize("size", [999, 3500])
@pytest.mark.parametrize("reduction", ["none", "sum", "mean"])
def test_weights_count_after_the_clock_too(few_drawn, reduction, size):
    case = Case.of(
        "binary_cross_entropy_with_logits_and_grad", "gaussian-soft-weighted", size, "float64",
        None, reduction,
    )  # fmt: skip
    stable = registry.get("numpy_stable")
    with inputs.shared(case.arguments()) as laid:
        check = recheck.Recheck(case, laid)
        for given, said in ((laid.arrays, False), (laid.arrays[:2], True)):
            found = recheck.parts(case, binding.bind(stable, case, given)())
            kept = {
                kind: None
                if array is None
                else np.asarray(array).ravel()[check.indices if np.ndim(array) else [0]].tolist()
                for kind, array in found.items()
            }
            if kept["reduced"]:
                kept["reduced"] = kept["reduced"][0]
            assert bool(check.reason(kept, True)) == said
