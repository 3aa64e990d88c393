"""The pages: examples run, mathematics renders on GitHub too, the house is drawn as it is."""

from __future__ import annotations

import doctest
import itertools
import operator
import re
import tomllib
from html import unescape
from pathlib import Path

import numpy as np
import pytest
import yaml

import xent_numba
from tools import plot_house

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
PAGES = {page.relative_to(DOCS).as_posix(): page.read_text() for page in DOCS.rglob("*.md")}
SWITCH = "prefer_full_vectors"  # for compiled code alone
EXAMPLES = {
    name: found
    for name, text in PAGES.items()
    if (found := re.findall(r"^```python\n(>>> .*?)^```", text, re.S | re.M))
}
FUNCTIONS = [
    *(name for name in xent_numba.__all__ if hasattr(xent_numba.api, name)),
    *(f"vectormath.{name}" for name in xent_numba.vectormath.__all__ if name != SWITCH),
]

written_for_numpy_2 = pytest.mark.skipif(
    np.lib.NumpyVersion(np.__version__) < "2.0.0", reason="NumPy 1 shows numbers otherwise"
)


def run(source, names, name):
    parsed = doctest.DocTestParser().get_doctest(source, names, name, None, 0)
    said = []
    doctest.DocTestRunner(optionflags=doctest.ELLIPSIS).run(parsed, out=said.append)
    assert parsed.examples, f"{name} has no example"
    assert not said, "".join(said)


COMMANDS = {
    *("approx", "begin", "cdot", "end", "frac", "ge", "in", "infty", "lVert", "lambda", "le"),
    *("left", "ln", "log", "mathbb", "mathcal", "mathrm", "max", "mid", "min", "partial", "pm"),
    *("prod", "qquad", "quad", "rVert", "right", "sum", "text", "tfrac", "to", "\\"),
}


@written_for_numpy_2
@pytest.mark.parametrize("name", sorted(EXAMPLES))
def test_examples_of_a_page_run(name):
    if name == "dask.md":
        pytest.importorskip("dask")
    run("\n".join(EXAMPLES[name]), {}, name)


def test_there_are_pages_with_examples():
    assert {"start.md", "dask.md"} <= set(EXAMPLES)


@written_for_numpy_2
@pytest.mark.parametrize("name", FUNCTIONS)
def test_examples_of_a_function_run(name):
    documentation = operator.attrgetter(name)(xent_numba).__doc__
    assert "Examples\n    --------\n" in documentation
    run(documentation, {}, name)


def displayed_formulas(page):
    return re.findall(r"^```math\n(.*?)^```", PAGES[page], re.S | re.M)


def inline_formulas(page):
    prose = re.sub(r"^```.*?^```|`[^`\n]*`", "", PAGES[page], flags=re.S | re.M)
    assert "$$" not in prose
    return re.findall(r"\$([^$]+)\$", prose)


@pytest.mark.parametrize("name", sorted(PAGES))
def test_mathematics_renders_on_github_too(name):
    """There Markdown takes the backslash from punctuation, except in a fence."""
    for formula in inline_formulas(name):
        assert not re.search(r"\\[^a-zA-Z]", formula), formula


@pytest.mark.parametrize("name", sorted(PAGES))
def test_mathematics_is_written_in_commands_that_exist(name):
    """Neither MathJax nor GitHub fails at another: a reader sees its name in red."""
    for formula in (*displayed_formulas(name), *inline_formulas(name)):
        assert {*re.findall(r"\\([a-zA-Z]+|.)", formula, re.S)} <= COMMANDS, formula


def test_on_the_derivation_e_is_eulers_number():
    """What the kernels call e has another name where e is a number: it is raised to a power."""
    page = "derivation.md"
    for formula in (*displayed_formulas(page), *inline_formulas(page)):
        symbols = re.sub(r"\\[a-z]+(\{(low|cases)\})?", " ", formula)
        assert symbols.strip() == "e" or not re.search(r"e(?!\^)", symbols), formula


def test_nothing_is_executable_but_the_configuration():
    assert [path.name for path in DOCS.rglob("*.py") if "_build" not in path.parts] == ["conf.py"]


def test_the_picture_of_the_house_is_the_contract():
    drawn = unescape(plot_house.PICTURE.read_text())
    for room in itertools.chain(*plot_house.storeys()):
        for text in (room, plot_house.purpose(room)):
            assert text in drawn, "run python tools/plot_house.py"


def test_every_page_is_in_the_contents():
    listed = set(re.findall(r"^[a-z_]+(?:/index)?$", PAGES["index.md"], re.M))
    pages = {name.removesuffix(".md") for name in PAGES if not name.startswith("adr/0")}
    assert pages - listed == {"index"}


def test_the_citation_is_that_of_the_package():
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert citation["version"] == xent_numba.__version__
    assert citation["repository-code"] == project["urls"]["Repository"]
    assert citation["license"] == project["license"]
    assert [author["name"] for author in citation["authors"]] == [
        author["name"] for author in project["authors"]
    ]
