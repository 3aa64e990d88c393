"""What a time was measured on: what is known is said, and nothing is invented."""

from __future__ import annotations

from xent_numba.results import machine


def test_the_description_says_what_it_knows_and_invents_nothing():
    found = machine.describe()
    assert found.usable_cpus >= 1
    assert found.memory_bytes > 2**20
    assert found.versions["numpy"]
    assert found.governor is None or isinstance(found.governor, str)


def test_a_program_that_is_missing_or_fails_says_nothing():
    assert machine.output_of("no such program") is None
    assert machine.output_of("git", "no-such-command") is None
    assert machine.output_of("git", "--version").startswith("git version")
