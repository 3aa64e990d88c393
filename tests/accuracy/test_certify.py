"""The reference keeps its bound; what judges imports nothing that it judges."""

from __future__ import annotations

import ast
from pathlib import Path

import numpy as np
import pytest
from in_process import Here

from xent_numba import accuracy
from xent_numba.accuracy import certify, double_double, reference
from xent_numba.reporting import certificate
from xent_numba.results import store
from xent_numba.results.machine import Machine
from xent_numba.results.provenance import Provenance

RUN = Provenance("xent-numba accuracy --study reference", "", None, False, Machine())


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
        found = certify.check(4000, Here())
        assert [c.inputs for c in found.certificates] == [1000] * 2 + [400] * 4 + [200] * 2
        assert [c.values for c in found.certificates] == [4000] * 2 + [800] * 4 + [200] * 2
        assert all(c.holds and c.largest > 0 for c in found.certificates)
        again = store.loads(store.dumps(certify.CERTIFICATES, RUN, found), certify.CERTIFICATES)
        assert again.content == found
        page = certificate.markdown(found, RUN)
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
        found = certify.check(100, Here())
        assert [c.holds for c in found.certificates] == wrong
        assert "| NO |" in certificate.markdown(found, RUN)

    def test_ln2_is_ln2(self):
        import mpmath

        with mpmath.workprec(400):
            parts = double_double.LN2_1, double_double.LN2_2, double_double.LN2_3
            assert abs(mpmath.fsum(parts) - mpmath.log(2)) < mpmath.mpf(2) ** -130
