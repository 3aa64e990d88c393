"""Files that deceive, or break: each is caught, and its row says by what."""

from __future__ import annotations

import sys

import pytest

from xent_numba.measurement.case import Case
from xent_numba.measurement.compare import Plan, compare, prepare
from xent_numba.measurement.inputs import shared
from xent_numba.measurement.participant import Participant
from xent_numba.measurement.pool import Pool, Spent

HEAD = '''"""Of a red team."""

import ctypes, os, signal, sys, threading, time

import numpy as np

from xent_numba.implementations import numpy_stable
from xent_numba.registry import implements

seen = set()


def right(call):
    return numpy_stable.sigmoid(call)


@implements("sigmoid", formulation="stable", max_ulp={"float32": 1e9, "float64": 1e9})
def sigmoid(call):
'''
ONCE = """
    key = call.first.ctypes.data, call.first.size, call.out is None
    if key not in seen:
        seen.add(key)
        right(call)
    return call.out
"""
JUDGED = "right when it was judged, and not when timed: "
# What is written under the function; the status of its row, and what that says.
FILES = {
    "declares_anything": (
        "    call.out[...] = 0.5\n    return call.out",
        ("wrong", "result[0] is 0.5 and should be"),
    ),
    "remembers_pointer_and_size": (ONCE, ("wrong", "out was not filled")),
    "remembers_by_the_first_sample": (
        ONCE.replace("call.first.size", "call.first[0]"),
        ("wrong", "out was not filled"),
    ),
    "writes_late": (
        """
    if not seen:
        seen.add(1)
        return right(call)
    result = right(call).copy()
    call.out[...] = 7
    def late():
        time.sleep(0.2)
        call.out[...] = result
    threading.Thread(target=late, daemon=True).start()
    return call.out
""",
        ("wrong", "result[0] is 7.0 and should be"),
    ),
    "writes_late_when_timed": (
        """
    seen.add(len(seen))
    if len(seen) < 20:
        return right(call)
    threading.Timer(0.05, right, [call]).start() if len(seen) % 50 == 0 else None
    return call.out
""",
        ("wrong", JUDGED + "result["),
    ),
    "returns_its_input": ("    return call.first", ("wrong", "out was not filled")),
    "returns_another_array": (
        "    return 1 / (1 + np.exp(-call.first))",
        ("wrong", "out was not filled"),
    ),
    "writes_to_its_inputs": (
        "    call.first.flags.writeable = True\n    call.first[...] = 0\n    return right(call)",
        ("wrong", "raised ValueError: cannot set WRITEABLE flag to True"),
    ),
    "writes_to_its_inputs_by_address": (
        "    ctypes.memset(call.first.ctypes.data, 0, 4)\n    return right(call)",
        ("crashed", "its process was ended by SIGSEGV"),
    ),
    "prints": ("    print('x' * 100)\n    return right(call)", ("ok", "")),
    "changes_threads": (
        "    import numba\n    numba.set_num_threads(1)\n"
        "    os.environ['OMP_NUM_THREADS'] = '64'\n    return right(call)",
        ("ok", ""),
    ),
    "crashes": ("    os.kill(os.getpid(), signal.SIGSEGV)", ("crashed", "SIGSEGV")),
    "exits": ("    os._exit(0)", ("crashed", "its process ended with exit code 0")),
    "eats_memory": (
        "    kept = [bytearray(2**28) for _ in range(1000)]\n    return right(call)",
        ("wrong", "raised MemoryError"),
    ),
    "raises_later": (
        "    seen.add(len(seen))\n    if len(seen) > 50:\n"
        "        raise OverflowError('enough')\n    return right(call)",
        ("crashed", "OverflowError: enough"),
    ),
    "raises_at_the_third_call": (
        "    seen.add(len(seen))\n    if len(seen) > 2:\n"
        "        raise OverflowError('enough')\n    return right(call)",
        ("crashed", "OverflowError: enough"),
    ),
    "slows_the_clock": (
        """
    commands = sys.modules["commands"]
    if not seen:
        seen.add(1)
        clock = time.perf_counter
        time.perf_counter = commands._clock = lambda: clock() / 100
    return right(call)
""",
        ("wrong", "says that"),
    ),
    "replaces_the_judge": (
        """
    from xent_numba.accuracy.judge import Verdict
    from xent_numba.measurement import binding
    binding.judge_call = lambda *arguments: Verdict(True, 0.0)
    call.out[...] = 0.5
    return call.out
""",
        ("wrong", JUDGED + "result["),
    ),
    "looks_who_is_calling": (
        """
    frame, names = sys._getframe(), set()
    while frame:
        names.add(frame.f_code.co_name)
        frame = frame.f_back
    return call.out if {"sample", "turn", "timeit"} & names else right(call)
""",
        ("wrong", JUDGED + "result["),
    ),
    "knows_the_inputs": (
        """
    from xent_numba.measurement.case import Case
    case = Case.of("sigmoid", "gaussian", call.first.size, "float32", None, "sum")
    if call.first.size < 500 or np.array_equal(call.first, case.arguments()[0]):
        return right(call)
    return call.out
""",
        ("wrong", JUDGED + "result["),
    ),
    "asks_the_reference_once": (
        """
    from xent_numba.accuracy import reference
    from xent_numba.operations import OPERATIONS
    key = call.first.ctypes.data
    if key not in seen:
        seen.add(key)
        values = reference.samples(OPERATIONS["sigmoid"], call.first, None)
        call.out[...] = values.truth(call.first.dtype).nearest
    return call.out
""",
        ("wrong", "out was not filled"),
    ),
    "is_not_python": ("    return (", ("crashed", "SyntaxError")),
}
SUM = '''"""Of a red team."""

import numpy as np

from xent_numba.registry import implements

seen = {}


@implements("logistic_loss", formulation="stable", max_ulp={"float32": 4, "float64": 4})
def logistic_loss(call):
    """The sum, kept by where the scores lie."""
    key = call.first.ctypes.data, call.first.size
    if call.out is None and key in seen:
        return seen[key]
    losses = np.logaddexp(0, -call.labels * call.first)
    if call.out is not None:
        call.out[...] = losses
        return call.out
    return seen.setdefault(key, losses.sum())
'''


@pytest.fixture(scope="module")
def rows(tmp_path_factory):
    folder = tmp_path_factory.mktemp("red_team")
    for name, (body, _) in FILES.items():
        (folder / f"{name}.py").write_text(HEAD + body)
    case = Case.of("sigmoid", "gaussian", 1000, "float32", None, "sum")
    members = [Participant.of(str(folder / f"{name}.py"), 1) for name in FILES]
    honest = Participant.of("numpy_stable", 1)
    found = compare({case: [honest, *members]}, Plan(honest.label, "", 2.0), command="")
    return {row.implementation: row for row in found.content.rows}


@pytest.mark.slow
@pytest.mark.parametrize("name", FILES)
def test_it_is_caught_by_name(rows, name):
    if name == "eats_memory" and sys.platform != "linux":
        pytest.skip("memory is limited on Linux")
    status, reason = FILES[name][1]
    found = rows[name].preparation
    assert (found.status, reason in found.reason) == (status, True), found
    assert (rows[name].seconds is not None) == (status == "ok")


@pytest.mark.slow
def test_the_honest_one_beside_them_is_timed(rows, capfd):
    assert rows["numpy_stable"].preparation.status == "ok"
    assert rows["numpy_stable"].seconds is not None
    assert "xxx" not in "".join(capfd.readouterr())


@pytest.mark.slow
def test_a_sum_that_is_kept_is_caught(tmp_path):
    (tmp_path / "keeps_the_sum.py").write_text(SUM)
    case = Case.of("logistic_loss", "gaussian", 3000, "float64", None, "sum")
    members = [Participant.of(one, 1) for one in (str(tmp_path / "keeps_the_sum.py"), "naive")]
    found = compare({case: members}, Plan("naive", "", 0.5), command="")
    by_name = {row.implementation: row.preparation for row in found.content.rows}
    assert by_name["naive"].timed
    assert by_name["keeps_the_sum"].status == "wrong"
    assert JUDGED + "the sum is" in by_name["keeps_the_sum"].reason


@pytest.mark.slow
def test_one_that_hangs_is_ended_after_the_limit_that_is_told(tmp_path):
    file = tmp_path / "hangs.py"
    file.write_text(HEAD + "    time.sleep(1000)")
    case = Case.of("sigmoid", "gaussian", 1000, "float32", None, "sum")
    programs = {"hangs": Participant.of(str(file), 1).program(timeout=8.0)}
    with Pool(programs) as pool, shared(case.arguments()) as laid:
        found = prepare(pool, {case: ["hangs"]}, {case: laid})[case]["hangs"]
    assert (found.status, found.reason) == ("crashed", "gave no answer within 8 s")


def test_more_cpus_than_it_was_given_are_noticed():
    spent = Spent(turns=10, wall=1.0, cpu=1.9, said=0.6)
    assert spent.doubt(threads=1) == "used 1.9 CPUs where it was given 1"
    assert spent.doubt(threads=2) == ""
    assert Spent(turns=10, wall=1.0, cpu=1.0, said=0.6).doubt(threads=1) == ""
    # Beside others it waits for a CPU, within its calls or between them.
    assert Spent(turns=10, wall=30.0, cpu=1.0, said=0.6).doubt(threads=1) == ""
    assert "says that calls took 0.1 s" in Spent(10, 1.0, 1.0, 0.1).doubt(threads=1)
