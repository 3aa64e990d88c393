"""The history of commits: which are measured, and that what is published can be changed so."""

from __future__ import annotations

from pathlib import Path

import asv
import pytest

from tools import history


@pytest.mark.parametrize(("number", "taken"), [(2, [0, 9]), (4, [0, 3, 6, 9]), (99, [*range(10)])])
def test_commits_are_spread_from_the_first_to_the_last(number, taken):
    assert history.spread(list(range(10)), number) == taken


def test_the_scripts_of_this_asv_can_be_changed():
    for name, (before, after) in history.LOGARITHMIC.items():
        script = (Path(asv.__file__).parent / "www" / name).read_text("utf-8")
        assert script.count(before) == 1
        assert "log" in after
