"""What a study writes, from data."""

from __future__ import annotations

import dataclasses
import itertools

import numpy as np

from xent_numba.accuracy.error_counts import ErrorCounts, Errors, Grade
from xent_numba.accuracy.plans import Seams, Strata
from xent_numba.accuracy.stability import where
from xent_numba.accuracy.study import STUDY, Accuracy, Study
from xent_numba.accuracy.summation import SUM_ERRORS, SumError, SumErrors
from xent_numba.accuracy.sweep import Quantity, Sweep, inspect, total
from xent_numba.reporting import stability, sums
from xent_numba.results import store
from xent_numba.results.machine import Machine
from xent_numba.results.provenance import Provenance

RUN = Provenance("xent-numba accuracy", "", None, False, Machine())
REAL = (-np.inf, np.inf)


def study(*quantities):
    """A quick study of real implementations."""
    rows = []
    for quantity in quantities:
        sweep = Sweep(quantity.implementation, quantity.dtype, (quantity.operation,))
        plans = Strata(sweep.first, quantity.dtype, 50_000), Seams(sweep.first, quantity.dtype, 2)
        counts = total(inspect(sweep, p, c)[quantity] for p in plans for c in range(p.chunks))
        rows.append(Accuracy.of(quantity, counts, "some", False))
    return Study(rows, runs=[RUN])


def intervals(quantity, *grades):
    (row,) = study(quantity).rows
    return where(row.bands, grades)


class TestStabilityMap:
    """It shows from data how the textbook breaks, and where."""

    def test_textbook_overflows(self):
        quantity = Quantity("numpy_textbook", "logistic_loss", "float32", 1.0)
        ((low, high),) = intervals(quantity, Grade.INFINITE)
        assert low < -3e38
        assert -92 <= high <= -80

    def test_textbook_loses_its_tail(self):
        quantity = Quantity("numpy_textbook", "logistic_loss", "float64", 1.0)
        ((low, high),) = intervals(quantity, Grade.LOST)
        assert 34 <= low <= 38
        assert 740 <= high <= 768

    def test_textbook_sigmoid_flushes(self):
        quantity = Quantity("numpy_textbook", "sigmoid", "float32")
        ((low, high),) = intervals(quantity, Grade.LOST)
        assert -104 <= low < high <= -84

    def test_log_of_zero_is_nan_times_zero(self):
        quantity = Quantity("numpy_textbook", "binary_cross_entropy", "float32", 1.0)
        assert intervals(quantity, Grade.NAN) == [(1.0, 1.0)]

    def test_ours_is_right_everywhere(self):
        quantity = Quantity("numba_parallel", "sigmoid", "float32")
        assert intervals(quantity, Grade.ONE) == [REAL]

    def test_bands_have_no_gaps(self):
        (row,) = study(Quantity("numpy_textbook", "logistic_loss", "float32", 1.0)).rows
        found = row.bands
        assert (found[0].low, found[-1].high) == REAL
        finite = found[1:-1]
        assert all(a.high == b.low for a, b in itertools.pairwise(finite))

    def test_a_single_wrong_sixteenth_is_drawn(self):
        """However narrow it is: a column of the picture is as bad as its worst."""
        grades = dict.fromkeys(range(17000, 17400), int(Grade.ONE))

        def picture():
            quantity = Quantity("planted", "sigmoid", "float32")
            row = Accuracy.of(quantity, ErrorCounts(grades=grades), "", False)
            return stability.draw(Study([row], runs=[RUN]), "float32", gradients=False)

        grades[17200] = int(Grade.NAN)
        assert picture().count("fill: #101010") == 2  # in the band, and in the legend
        grades[17200] = int(Grade.ONE)
        assert picture().count("fill: #101010") == 1

    def test_the_same_data_give_the_same_picture(self):
        found = study(Quantity("numpy_textbook", "binary_cross_entropy", "float32", 0.0))
        pictures = {stability.draw(found, "float32", gradients=False) for _ in range(2)}
        assert len(pictures) == 1
        assert "<dc:date>" not in pictures.pop()
        assert stability.draw(found, "float64", gradients=False) is None

    def test_table(self):
        page = stability.markdown(
            study(
                Quantity("numpy_textbook", "sigmoid", "float32"),
                Quantity("numba_parallel", "sigmoid", "float32"),
            )
        )
        assert "## sigmoid, float32" in page
        assert "| numba_parallel | everywhere | everywhere | everywhere | nowhere |" in page


def test_sums_are_drawn_and_tabulated():
    rows = [
        SumError("numpy_stable", dtype, reduction, size, size * 1e-10)
        for dtype in ("float32", "float64")
        for reduction in ("sum", "mean")
        for size in (1000, 10_000)
    ]
    found = SumErrors(rows, {"naive, float32": "it takes too long"}, [RUN])
    assert store.loads(store.dumps(SUM_ERRORS, RUN, found), SUM_ERRORS).content == found
    assert sums.draw(found) == sums.draw(found)
    page = sums.markdown(found)
    assert "| numpy_stable | 1e-07 | 1e-06 |" in page
    assert "- naive, float32: it takes too long." in page
    assert "1. numpy_stable: " in page


def test_sums_of_another_implementation_or_dtype_stay():
    def row(name, dtype, size, run=0):
        return SumError(name, dtype, "sum", size, 1e-9, run)

    runs = [dataclasses.replace(RUN, commit=str(number)) for number in range(2)]
    old = [row("naive", "float64", 1000), *(row("naive", "float32", n) for n in (1000, 10_000))]
    slow = {"naive, float32": "too slow", "jax_jit, float32": "its process died"}
    newer = SumErrors([row("naive", "float32", 1000)], {"jax_jit, float32": "too large"}, runs[1:])
    found = SumErrors(old, slow, runs[:1]).updated(newer)
    assert found.rows == [row("naive", "float64", 1000), row("naive", "float32", 1000, 1)]
    assert found.omitted == {"jax_jit, float32": "too large"}
    assert found.runs == runs
    assert found.updated(SumErrors([row("naive", "float64", 10)], {}, [RUN])).runs == [runs[1], RUN]


def test_a_study_is_read_back_and_updated():
    quantity = Quantity("numpy_stable", "sigmoid", "float32")
    counts = ErrorCounts(normal=Errors(5, 4, 1.5, "0x1p0"), grades={3: 1, -4: 6})
    old = Accuracy.of(quantity, counts, "some", False)
    new = Accuracy.of(quantity, ErrorCounts(normal=Errors(9, 9, 0.5, "0x1p1")), "all", True)
    other = Accuracy.of(Quantity("naive", "sigmoid", "float32"), counts, "some", False, 1)
    runs = [dataclasses.replace(RUN, commit=str(number)) for number in range(3)]
    known = Study([old, other], {"numpy_stable": "gone", "numba_cuda": "no device"}, runs[:2])
    together = known.updated(Study([new], runs=runs[2:]))
    assert [row.quantity for row in together.rows] == [other.quantity, quantity]
    assert together.rows[1] == dataclasses.replace(new, run=1)
    assert [together.runs[row.run] for row in together.rows] == runs[1:]
    assert together.unavailable == {"numba_cuda": "no device"}
    assert store.loads(store.dumps(STUDY, RUN, together), STUDY).content == together
