"""How the pages of this folder become a site: ``sphinx-build -W docs docs/_build``."""

from __future__ import annotations

import os
import re
from importlib.metadata import metadata
from pathlib import Path
from typing import Any

_METADATA = metadata("xent-numba")
_ADDRESSES = dict(line.split(", ", 1) for line in _METADATA.get_all("Project-URL", ()))
_FORK = os.environ.get("GITHUB_REPOSITORY")
_REPOSITORY = f"https://github.com/{_FORK}" if _FORK else _ADDRESSES["Repository"]

project = "xent_numba"
author = "the xent_numba developers"
copyright = f"2026, {author}"  # noqa: A001 - the name that Sphinx reads
version = release = _METADATA["Version"]

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.mathjax", "numpydoc"]
exclude_patterns = ["_build"]
nitpicky = True
nitpick_ignore_regex = [("py:.*", r"(?!xent_numba).*")]  # types of NumPy and the standard library
suppress_warnings = ["myst.header"]  # a page may begin with another page's section

myst_enable_extensions = ["dollarmath"]
myst_fence_as_directive = ["math"]  # what GitHub renders
myst_heading_anchors = 3
numpydoc_show_class_members = False
numpydoc_class_members_toctree = False
autodoc_typehints = "none"  # the docstrings say more

html_theme = "furo"
html_title = "xent_numba"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_theme_options = {
    "source_repository": _REPOSITORY,
    "source_branch": "main",
    "source_directory": "docs/",
}

_PAGES = Path(__file__).parent


def _lead_out(_app: Any, name: str, source: list[str]) -> None:
    """Let links to files that are no pages lead into the repository, as they do there."""

    def absolute(found: re.Match[str]) -> str:
        text, target, anchor = found[1], (_PAGES / name).parent / found[2], found[3] or ""
        path = Path(os.path.normpath(target))
        if text.startswith("!") or path.is_relative_to(_PAGES):
            return found[0]
        where = path.relative_to(_PAGES.parent).as_posix()
        if path.suffix == ".html":  # GitHub shows its source; the site has the page
            return f"{text}]({_ADDRESSES['Documentation']}{where}{anchor})"
        kind = "tree" if path.is_dir() else "blob"
        return f"{text}]({_REPOSITORY}/{kind}/main/{where}{anchor})"

    source[0] = re.sub(r"(!?\[[^]]*)\]\((?!\w+:)([^)#\s]+)(#[^)\s]*)?\)", absolute, source[0])


def setup(app: Any) -> None:
    """Called by Sphinx."""
    app.connect("source-read", _lead_out)
