"""Forked children compute, on the thread they have, and nobody waits for ever."""

from __future__ import annotations

import pytest
from layers import FORKS, LAYERS, USERS, run


@LAYERS
@FORKS
def test_forked_child(layer):
    output = run(
        """
        print(digest(), flush=True)
        child = os.fork()
        if child == 0:
            print(digest(), flush=True)
            os._exit(0)
        _, status = os.waitpid(child, 0)
        assert os.waitstatus_to_exitcode(status) == 0
        """,
        NUMBA_THREADING_LAYER=layer,
    )
    assert output.split() == [run("print(digest())", NUMBA_NUM_THREADS="1")] * 2


SIMPLE = """
def simple():
    s, y, _ = inputs(np.float64)
    return xn.logistic_loss(s, 2 * y - 1, implementation="numba_simple")
"""


@LAYERS
@FORKS
def test_numba_simple_in_threads_and_in_a_pool(layer):
    output = run(
        SIMPLE,
        """
        found = []
        def calls():
            for _ in range(20): found.append(simple())
        callers = [threading.Thread(target=calls) for _ in range(4)]
        for t in callers: t.start()
        for t in callers: t.join()
        context = multiprocessing.get_context("fork")
        with context.Pool(2) as pool:
            found += [pool.apply_async(simple) for _ in range(4)]
            found[-4:] = [f.get(60) for f in found[-4:]]
        print(len(found), len(set(found)))
        """,
        NUMBA_THREADING_LAYER=layer,
        NUMBA_NUM_THREADS="4",
    )
    assert output == "84 1"


@pytest.mark.slow
@LAYERS
@FORKS
@pytest.mark.parametrize("fork", ["os.fork", "ctypes.CDLL(None).fork"])
def test_child_of_a_process_whose_threads_somebody_else_started(layer, fork):
    """The child is the first to import the kernels; C forks without telling Python."""
    code = f"""
import ctypes
assert users(1000) == 499500
child = {fork}()
if child == 0:
    import xent_numba
    for implementation in ("auto", "numba_simple"):
        half = xent_numba.sigmoid(np.zeros(100_000), implementation=implementation)
        assert (half == 0.5).all()
    os._exit(0)
_, status = os.waitpid(child, 0)
print(os.waitstatus_to_exitcode(status))
"""
    assert run(code, before=USERS, NUMBA_THREADING_LAYER=layer) == "0"


@LAYERS
@FORKS
def test_fork_that_python_is_not_told_of(layer):
    output = run(
        """
        import ctypes
        ones = np.zeros(100_000)
        xn.sigmoid(ones)
        child = ctypes.CDLL(None).fork()
        if child == 0:
            xn.sigmoid(ones)
            os._exit(0)
        _, status = os.waitpid(child, 0)
        print(os.waitstatus_to_exitcode(status))
        """,
        NUMBA_THREADING_LAYER=layer,
    )
    assert output == "0"


@FORKS
def test_fork_while_another_thread_compiles():
    output = run(
        USERS,
        """
import time
from numba.core import event

xn.sigmoid(np.zeros(2_000))
compiling = threading.Event()
class Started(event.Listener):
    def on_start(self, event): compiling.set()
    def on_end(self, event): pass

event.register("numba:compile", Started())
compiler = threading.Thread(target=users, args=(10,))
compiler.start()
compiling.wait()
child = os.fork()
if child == 0:
    numba.njit(lambda x: x + 1)(1)
    assert (xn.sigmoid(np.zeros(100_000)) == 0.5).all()
    os._exit(0)
for _ in range(600):
    time.sleep(0.1)
    ended, status = os.waitpid(child, os.WNOHANG)
    if ended: break
else:
    os.kill(child, 9)
compiler.join()
print(os.waitstatus_to_exitcode(status) if ended else "stuck")
""",
    )
    assert output == "0"
