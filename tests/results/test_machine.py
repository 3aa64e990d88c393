"""What a time was measured on: what is known is said, and nothing is invented."""

from __future__ import annotations

import os

import pytest

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


@pytest.mark.parametrize(
    ("group", "files", "quota"),
    [
        ("0::/", {"cpu.max": "max 100000"}, None),
        ("0::/", {"cpu.max": "150000 100000"}, 1.5),
        ("0::/a/b", {"a/b/cpu.max": "max 100000", "a/cpu.max": "50000 100000"}, 0.5),
        ("0::/a", {"a/cpu.max": "400000 100000", "cpu.max": "200000 100000"}, 2.0),
        ("5:cpuset:/a\n4:cpu,cpuacct:/a", {"cpu,cpuacct/a/cpu.cfs_quota_us": "300000",
                                          "cpu,cpuacct/a/cpu.cfs_period_us": "100000"}, 3.0),
        ("4:cpu:/", {"cpu/cpu.cfs_quota_us": "-1", "cpu/cpu.cfs_period_us": "100000"}, None),
        ("", {}, None),
    ],
)  # fmt: skip
def test_the_quota_of_a_container_is_seen(tmp_path, monkeypatch, group, files, quota):
    (tmp_path / "groups").write_text(group)
    for name, text in files.items():
        (tmp_path / "mount" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "mount" / name).write_text(f"{text}\n")
    found = machine.cpu_quota(tmp_path / "groups", tmp_path / "mount")
    assert found == quota
    assert machine.cpu_quota(tmp_path / "nowhere") is None
    monkeypatch.setattr(machine, "cpu_quota", lambda: found)
    most = len(machine.affinity() or ()) or os.cpu_count()
    assert machine.usable_cpus() == (most if quota is None else max(1, min(most, int(quota))))
