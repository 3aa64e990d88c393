"""A machine that others use is waited for, and what they use is known."""

from __future__ import annotations

import psutil
import pytest

from xent_numba.measurement import idle


def test_a_machine_under_load_is_waited_for_and_then_refused():
    loads = iter([90.0, 90.0, 5.0])
    said = []
    idle.wait_for_rest(60.0, lambda what, done: said.append(what), lambda seconds: next(loads))
    assert said == ["waiting, other programs use 90% of the CPUs"] * 2
    with pytest.raises(idle.BusyError, match="use 90% of the CPUs, after 0 s of waiting"):
        idle.wait_for_rest(0.0, lambda what, done: None, lambda seconds: 90.0)


def test_what_others_use_is_what_neither_we_nor_the_workers_do():
    used = {"wall": 0.0, "all": 10.0, "worker": 3.0, "own": 1.0}
    times = psutil.cpu_times()
    zero = dict.fromkeys(times._fields, 0.0)
    others = idle.Others(
        [lambda: used["worker"]],
        cpu_times=lambda: times._replace(**{**zero, "user": used["all"]}),
        wall=lambda: used["wall"],
    )
    used.update({"wall": 10.0, "all": 14.0, "worker": 4.0})
    assert others.share() == pytest.approx(3.0 / 10 / psutil.cpu_count(), rel=0.05)
