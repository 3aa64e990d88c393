"""What a study writes, from data; and that what judges is neither wrong nor partial."""

from __future__ import annotations

import ast
import itertools
from concurrent.futures import Executor, Future
from pathlib import Path

import numpy as np
import pytest

from xent_numba import accuracy
from xent_numba.accuracy import certify, double_double, reference
from xent_numba.accuracy.error_counts import Errors, Findings, Grade
from xent_numba.accuracy.search import Seams
from xent_numba.accuracy.stability import bands, where
from xent_numba.accuracy.study import Row, Survey
from xent_numba.accuracy.sums import Reduced, Sums
from xent_numba.accuracy.sweep import Strata, Subject, Target, inspect, total
from xent_numba.reporting import certificate, stability, sums

ORIGIN = {"command": "xent-numba accuracy", "commit": "0" * 40}
REAL = (-np.inf, np.inf)


class _Now(Executor):
    def submit(self, function, /, *args, **options):
        future = Future()
        future.set_result(function(*args, **options))
        return future


def survey(*targets):
    """A quick survey of real implementations."""
    rows = []
    for target in targets:
        subject = Subject(target.implementation, target.dtype, (target.operation,))
        plans = Strata(subject.first, target.dtype, 50_000), Seams(subject.first, target.dtype, 2)
        found = total(inspect(subject, p, c)[target] for p in plans for c in range(p.chunks))
        rows.append(Row(target, "some", False, found, ORIGIN))
    return Survey(rows)


def intervals(target, *grades):
    (row,) = survey(target).rows
    return where(bands(row.findings, target.table_entry.domain), grades)


@pytest.mark.parametrize(
    "module", sorted(Path(accuracy.__file__).parent.glob("*.py")), ids=lambda path: path.stem
)
def test_what_judges_imports_nothing_it_judges(module):
    names = [
        name
        for node in ast.walk(ast.parse(module.read_text(encoding="utf-8")))
        if isinstance(node, ast.Import | ast.ImportFrom)
        for name in (
            [f"{node.module}.{a.name}" for a in node.names]
            if isinstance(node, ast.ImportFrom)
            else [a.name for a in node.names]
        )
    ]
    assert not [n for n in names if n.startswith(("xent_numba.kernels", "xent_numba.implem"))]
    assert not [n for n in names if n in ("xent_numba.kernels", "xent_numba.implementations")]


class TestCertificates:
    """The reference keeps its bound, at random inputs and where its formulas meet."""

    def test_against_mpmath(self):
        found = certify.check(4000, pool=_Now(), origin=ORIGIN)
        assert [c.inputs for c in found.certificates] == [1000] * 2 + [400] * 4 + [200] * 2
        assert [c.values for c in found.certificates] == [4000] * 2 + [800] * 4 + [200] * 2
        assert all(c.holds and c.largest > 0 for c in found.certificates)
        assert certify.Check.from_json(found.to_json()) == found
        page = certificate.markdown(found)
        assert page.count("| yes |") == 8

    @pytest.mark.parametrize("dtype", ["float32", "float64"])
    @pytest.mark.parametrize("first", ["scores", "probabilities"])
    @pytest.mark.parametrize("soft", [False, True])
    def test_where_formulas_meet(self, first, dtype, soft, monkeypatch):
        """At 77 the pair goes over to e alone, at 1/2 the logarithm to log1p."""
        edges = {"scores": (76.9, 77.0, 2.0**-40, 1e-3), "probabilities": (0.5, 2.0**-110, 0.25)}
        near = np.array([np.nextafter(e, e * k) for e in edges[first] for k in (0.5, 1, 2)], dtype)
        monkeypatch.setattr(certify, "draw", lambda *arguments: near)
        error, _, _ = certify.largest_error(first, soft, dtype, near.size, 0)
        assert error <= reference.BOUND[dtype]

    @pytest.mark.parametrize(
        ("name", "wrong"),
        [
            ("of_scores", [False, True, True, True, True, True, True, True]),
            ("samples", [True, True, True, True, False, False, False, False]),
        ],
    )
    def test_a_wrong_reference_is_noticed(self, monkeypatch, name, wrong):
        right = getattr(reference, name)

        def off(*arguments):
            found = right(*arguments)
            if name == "samples":
                return found.times(1 + 2.0**-49)
            found.low.values[:] *= 1 + 2.0**-49
            return found

        monkeypatch.setattr(reference, name, off)
        found = certify.check(100, pool=_Now(), origin=ORIGIN)
        assert [c.holds for c in found.certificates] == wrong
        assert "| NO |" in certificate.markdown(found)

    def test_ln2_is_ln2(self):
        import mpmath

        with mpmath.workprec(400):
            parts = double_double._LN2_1, double_double._LN2_2, double_double._LN2_3
            assert abs(mpmath.fsum(parts) - mpmath.log(2)) < mpmath.mpf(2) ** -130


class TestStabilityMap:
    """It shows from data how the textbook breaks, and where."""

    def test_textbook_overflows(self):
        target = Target("numpy_textbook", "logistic_loss", "float32", 1.0)
        ((low, high),) = intervals(target, Grade.INFINITE)
        assert low < -3e38
        assert -92 <= high <= -80

    def test_textbook_loses_its_tail(self):
        target = Target("numpy_textbook", "logistic_loss", "float64", 1.0)
        ((low, high),) = intervals(target, Grade.LOST)
        assert 34 <= low <= 38
        assert 740 <= high <= 768

    def test_textbook_sigmoid_flushes(self):
        target = Target("numpy_textbook", "sigmoid", "float32")
        ((low, high),) = intervals(target, Grade.LOST)
        assert -104 <= low < high <= -84

    def test_log_of_zero_is_nan_times_zero(self):
        target = Target("numpy_textbook", "binary_cross_entropy", "float32", 1.0)
        assert intervals(target, Grade.NAN) == [(1.0, 1.0)]

    def test_ours_is_right_everywhere(self):
        target = Target("numba_parallel", "sigmoid", "float32")
        assert intervals(target, Grade.ONE) == [REAL]

    def test_bands_have_no_gaps(self):
        (row,) = survey(Target("numpy_textbook", "logistic_loss", "float32", 1.0)).rows
        found = bands(row.findings, REAL)
        assert (found[0].low, found[-1].high) == REAL
        finite = found[1:-1]
        assert all(a.high == b.low for a, b in itertools.pairwise(finite))

    def test_a_single_wrong_sixteenth_is_drawn(self):
        """However narrow it is: a column of the picture is as bad as its worst."""
        good = Findings(grades=dict.fromkeys(range(17000, 17400), int(Grade.ONE)))
        good.grades[17200] = int(Grade.NAN)
        row = Row(Target("planted", "sigmoid", "float32"), "", False, good, ORIGIN)
        picture = stability.draw(Survey([row]), "float32", gradients=False)
        assert picture.count("fill: #101010") == 2  # in the band, and in the legend
        good.grades[17200] = int(Grade.ONE)
        picture = stability.draw(Survey([row]), "float32", gradients=False)
        assert picture.count("fill: #101010") == 1

    def test_the_same_data_give_the_same_picture(self):
        found = survey(Target("numpy_textbook", "binary_cross_entropy", "float32", 0.0))
        pictures = {stability.draw(found, "float32", gradients=False) for _ in range(2)}
        assert len(pictures) == 1
        assert "<dc:date>" not in pictures.pop()
        assert stability.draw(found, "float64", gradients=False) is None

    def test_table(self):
        page = stability.markdown(
            survey(
                Target("numpy_textbook", "sigmoid", "float32"),
                Target("numba_parallel", "sigmoid", "float32"),
            )
        )
        assert "## sigmoid, float32" in page
        assert "| numba_parallel | everywhere | everywhere | everywhere | nowhere |" in page


def test_sums_are_drawn_and_tabulated():
    rows = [
        Reduced("numpy_stable", dtype, reduction, size, size * 1e-10)
        for dtype in ("float32", "float64")
        for reduction in ("sum", "mean")
        for size in (1000, 10_000)
    ]
    found = Sums(rows, {"naive, float32": "it takes too long"}, ORIGIN)
    assert Sums.from_json(found.to_json()) == found
    assert sums.draw(found) == sums.draw(found)
    page = sums.markdown(found)
    assert "| numpy_stable | 1e-07 | 1e-06 |" in page
    assert "- naive, float32: it takes too long." in page


def test_a_survey_is_read_back_and_updated():
    target = Target("numpy_stable", "sigmoid", "float32")
    old = Row(target, "some", False, Findings(normal=Errors(5, 4, 1.5, "0x1p0")), ORIGIN)
    new = Row(target, "all", True, Findings(normal=Errors(9, 9, 0.5, "0x1p1")), {"commit": "1"})
    other = Row(
        Target("naive", "sigmoid", "float32"), "some", False, Findings(grades={3: 1}), ORIGIN
    )
    known = Survey([old, other], {"numpy_stable": "gone", "numba_cuda": "no device"})
    together = known.updated(Survey([new]))
    assert together.rows == [other, new]
    assert together.unavailable == {"numba_cuda": "no device"}
    assert Survey.from_json(together.to_json()) == together
