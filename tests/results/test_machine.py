"""What a time was measured on: what is known is said, and nothing is invented."""

from __future__ import annotations

from xent_numba.results import machine


def test_the_fingerprint_says_what_it_knows_and_invents_nothing():
    found = machine.fingerprint()
    assert found["usable_cpus"] >= 1
    assert found["memory_bytes"] > 2**20
    assert found["versions"]["numpy"]
    assert found["governor"] is None or isinstance(found["governor"], str)


def test_the_commit_is_that_of_the_checkout_the_package_is_in(monkeypatch, tmp_path):
    inside = tmp_path / "venv" / "xent_numba" / "results"
    inside.mkdir(parents=True)
    assert machine._run("git", "init", "-q", str(tmp_path)) == ""
    monkeypatch.setattr(machine, "__file__", str(inside / "machine.py"))
    assert machine.commit() == {}
