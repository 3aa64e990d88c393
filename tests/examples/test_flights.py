"""The real use: a logistic regression trained with the kernels is scikit-learn's."""

from __future__ import annotations

import runpy
from pathlib import Path

import numpy as np
import pytest

from xent_numba.workloads import flights

EXAMPLE = Path(__file__).parents[2] / "examples" / "flights_logistic_regression.py"


@pytest.mark.slow
def test_coefficients_are_those_of_sklearn():
    pytest.importorskip("sklearn")
    example = runpy.run_path(str(EXAMPLE))
    table = flights.read()
    columns = flights.design_matrix(table)
    ours = example["fit"](columns, table.late)
    theirs = example["fit_with_sklearn"](columns, table.late)
    assert ours.seconds > 0
    assert theirs.seconds > 0
    np.testing.assert_allclose(ours.coefficients, theirs.coefficients, rtol=1e-5, atol=0)
    assert np.all(theirs.coefficients != 0)


@pytest.mark.slow
@pytest.mark.parametrize("scheduler", ["synchronous", "threads"])
def test_a_fit_of_dask_arrays_has_the_same_bits(scheduler):
    """Chunks of any size, which are not those of the labels."""
    dask = pytest.importorskip("dask")
    da = pytest.importorskip("dask.array")
    example = runpy.run_path(str(EXAMPLE))
    table = flights.read()
    columns, late = flights.design_matrix(table)[:150_000], table.late[:150_000]
    expected = example["fit"](columns, late)
    with dask.config.set(scheduler=scheduler):
        found = example["fit"](
            da.from_array(columns, chunks=(70_001, 9)), da.from_array(late, chunks=40_000)
        )
    assert found.coefficients.tobytes() == expected.coefficients.tobytes()


@pytest.mark.slow
def test_it_prints_both_times(capsys, monkeypatch):
    table = flights.read()
    few = table._replace(
        numeric=table.numeric[:5000],
        categorical=table.categorical[:5000],
        late=table.late[:5000],
    )
    monkeypatch.setattr(flights, "read", lambda: few)
    runpy.run_path(str(EXAMPLE), run_name="__main__")
    printed = capsys.readouterr().out
    assert "5000 flights" in printed
    for line in ("xent_numba and SciPy: ", "scikit-learn: ", "difference of the coefficients: "):
        assert line in printed
