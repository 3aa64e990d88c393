"""Why an environment cannot be made is said."""

from __future__ import annotations

import json

import pytest

from xent_numba import cli


def configure(tiny, **changed):
    path = tiny.folder / "asv.conf.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **changed}))
    tiny.commit()


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"environment_type": "existing"}, "environment_type is 'existing', which builds no"),
        ({"environment_type": None}, "there is no environment_type, which builds no revision"),
        ({"environment_type": "mamba"}, "Unknown environment type 'mamba'"),
        ({"environment_type": "uv"}, "uv command not found"),
        ({"environment_type": "rattler"}, "is not installed"),
        ({"pythons": ["3.2"]}, "No executable found for python 3.2"),
        ({"exclude": [{"environment_type": "virtualenv"}]}, "the matrix leaves none"),
    ],
)
def test_what_is_missing_is_named(tiny, capsys, monkeypatch, changed, said):
    monkeypatch.setenv("PATH", "/usr/bin:/bin")
    monkeypatch.delenv("CONDA_EXE", raising=False)
    configure(tiny, **changed)
    assert cli.main(["gate", "HEAD", "HEAD"]) == 2
    error = capsys.readouterr().err
    assert said in error
    assert "--python" in error
    assert error.count("\n") == 1


def test_another_environment_than_the_configured_one_can_be_chosen(tiny, capsys):
    configure(tiny, environment_type="existing")
    assert cli.main(["gate", "HEAD", "HEAD", "--environment", "virtualenv:3.2"]) == 2
    assert "No executable found for python 3.2" in capsys.readouterr().err
