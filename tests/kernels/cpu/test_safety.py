"""The same bits on every path, and no crash, in a process of its own for each threading layer."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from pathlib import Path

import numba
import pytest

import xent_numba
from xent_numba.codegen import assembly

LOAD_TBB = (
    f"import sys; sys.path.insert(0, {str(Path(__file__).parents[2] / 'soak')!r})\nimport trial\n"
)
PRELUDE = """
import hashlib, multiprocessing, os, sys, threading
import numba, numpy as np
import xent_numba as xn

def inputs(dtype, n=100_003):
    rng = np.random.default_rng(7)
    scores = (rng.standard_normal(n) * 6).astype(dtype)
    labels = rng.integers(0, 2, n).astype(np.int8)
    return scores, labels, rng.random(n).astype(dtype)

def digest(arrange=lambda a: a):
    h = hashlib.sha256()
    for dtype in (np.float32, np.float64):
        s, y, w = map(arrange, inputs(dtype))
        h.update(xn.sigmoid(s).tobytes())
        for weight in (None, w):
            for reduction in ("none", "sum", "mean"):
                loss, gradient = xn.binary_cross_entropy_with_logits_and_grad(
                    s, y, sample_weight=weight, reduction=reduction)
                h.update(np.asarray(loss).tobytes() + gradient.tobytes())
    return h.hexdigest()
"""


LAYERS = pytest.mark.parametrize("layer", ["omp", "workqueue", "tbb"])
FORKS = pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
LINUX = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")


ROOT = str(Path(xent_numba.__file__).parents[1])


def run(*code, before=PRELUDE, **environment):
    load = LOAD_TBB if environment.get("NUMBA_THREADING_LAYER") == "tbb" else ""
    done = subprocess.run(
        [sys.executable, "-c", load + before + "".join(map(textwrap.dedent, code))],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    if "threading layer can be loaded" in done.stderr:
        pytest.skip("this threading layer is not installed")
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@pytest.fixture(scope="module")
def expected():
    return run("print(digest())", NUMBA_NUM_THREADS="1")


@LAYERS
def test_layers(layer, expected):
    assert run("print(digest())", NUMBA_THREADING_LAYER=layer) == expected


def test_arrangements(expected):
    output = run("""
        def strided(a):
            b = np.empty(2 * a.size, a.dtype); b[::2] = a; return b[::2]
        def reversed_(a):
            return a[::-1].copy()[::-1]
        def unaligned(a):
            b = np.empty(a.nbytes + 1, np.uint8)[1:].view(a.dtype); b[:] = a; return b
        def read_only(a):
            a.flags.writeable = False; return a
        for arrange in (strided, reversed_, unaligned, read_only):
            print(digest(arrange))
        for _ in range(20):
            assert digest() == digest()
        """)
    assert output.split() == [expected] * 4


@pytest.mark.skipif(not assembly.readable(), reason="x86 code")
def test_avx2_code_has_the_same_bits(expected):
    assert run("print(digest())", NUMBA_CPU_NAME="haswell", NUMBA_CPU_FEATURES=HASWELL) == expected


HASWELL = "+avx,+avx2,+bmi,+bmi2,+cx16,+f16c,+fma,+lzcnt,+mmx,+movbe,+popcnt,+sse4.2"


@LAYERS
def test_concurrent_callers(layer, expected):
    output = run(
        """
        found = []
        callers = [threading.Thread(target=lambda: found.append(digest())) for _ in range(4)]
        for t in callers: t.start()
        for t in callers: t.join()
        print(*found)
        """,
        NUMBA_THREADING_LAYER=layer,
    )
    assert output.split() == [expected] * 4


@LAYERS
@FORKS
def test_forked_child(layer, expected):
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
    assert output.split() == [expected] * 2


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


USERS = """
import numba, numpy as np, os, sys
@numba.njit(parallel=True)
def users(n):
    total = 0
    for i in numba.prange(n): total += i
    return total
"""


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


@LAYERS
@LINUX
def test_a_signal_handler_may_call_what_it_interrupts(layer, expected):
    output = run(
        """
        import signal
        x = np.zeros(2_000_000)
        xn.sigmoid(x); xn.sigmoid(x[:2_000])  # what is not compiled yet, a handler cannot have
        handled = 0
        def handler(number, frame):
            global handled
            handled += 1
            assert (xn.sigmoid(x[:100_000]) == 0.5).all()
        signal.signal(signal.SIGALRM, handler)
        signal.setitimer(signal.ITIMER_REAL, 0.01, 0.01)
        while handled < 20:
            xn.sigmoid(x)
            xn.sigmoid(x, implementation="numba_simple")
        signal.setitimer(signal.ITIMER_REAL, 0)
        print(digest())
        """,
        NUMBA_THREADING_LAYER=layer,
    )
    assert output == expected


CALLERS = """
def together(count, each=1):
    x = np.zeros(100_000)
    halves, failed = [], []
    start = threading.Barrier(count)
    def calls():
        start.wait()
        for _ in range(each):
            halves.append((xn.sigmoid(x) == 0.5).all())
    callers = [threading.Thread(target=calls) for _ in range(count)]
    for t in callers: t.start()
    for t in callers: t.join()
    assert len(halves) == count * each and all(halves)
"""


@LAYERS
@LINUX
def test_callers_share_threads(layer):
    """Of 16 each, 32 callers would have 512."""
    output = run(
        CALLERS,
        """
stop, most = threading.Event(), 0
def watch():
    global most
    while not stop.wait(0.01):
        most = max(most, len(os.listdir("/proc/self/task")))
watcher = threading.Thread(target=watch)
watcher.start()
together(32)
stop.set(); watcher.join()
print(most)
""",
        NUMBA_THREADING_LAYER=layer,
        NUMBA_NUM_THREADS="16",
    )
    # The callers, the watcher, the main thread; 15 more for each of those that may have some.
    assert int(output) <= 32 + 2 + 4 * 16


LIMITS = {
    "memory": """
import resource
used = 1024 * int(next(l for l in open("/proc/self/status") if l.startswith("VmSize")).split()[1])
resource.setrlimit(resource.RLIMIT_AS, (used + 16 * 2**20,) * 2)
""",
    "processes": """
import resource
if os.getuid() == 0:  # whom no such limit binds
    os.setuid(61_234)
resource.setrlimit(resource.RLIMIT_NPROC, (len(os.listdir("/proc/self/task")) + 2,) * 2)
try:
    threads = [threading.Thread(target=threading.Event().wait, daemon=True) for _ in range(9)]
    for t in threads: t.start()
    print("no limit"); os._exit(0)
except RuntimeError:
    pass
""",
}


@LAYERS
@LINUX
@pytest.mark.parametrize("limit", LIMITS)
def test_where_no_thread_can_be_started(layer, limit):
    """Each would be ended by the OpenMP library: Thread creation failed."""
    output = run(
        "x = np.zeros(100_000); xn.sigmoid(x[:2_000])",
        LIMITS[limit],
        "print((xn.sigmoid(x) == 0.5).all())",
        NUMBA_THREADING_LAYER=layer,
        NUMBA_NUM_THREADS="16",
    )
    assert output == "True"


@LAYERS
def test_inside_a_parallel_loop_of_the_users(layer):
    output = run(
        USERS,
        """
def half():
    return (xn.sigmoid(np.zeros(50_000)) == 0.5).all()

half()

@numba.njit(parallel=True)
def outer(n):
    good = 0
    for i in numba.prange(n):
        with numba.objmode(h="boolean"):
            h = half()
        good += h
    return good

print(outer(8))
""",
        NUMBA_THREADING_LAYER=layer,
        NUMBA_NUM_THREADS="4",
    )
    assert output == "8"


UNAVAILABLE = {
    "nothing is compiled": {"NUMBA_DISABLE_JIT": "1"},
    "an unknown layer": {"NUMBA_THREADING_LAYER": "none"},
    "a layer that is not installed": {"NUMBA_THREADING_LAYER": "safe"},
}


@pytest.mark.parametrize("reason", UNAVAILABLE)
def test_what_cannot_compute_says_so_at_any_size(reason):
    output = run(
        """
        for size in (0, 1, 2000, 100_000):
            scores, labels = np.zeros(size), np.ones(size, np.int8)
            for name in ("auto", "numba_parallel", "numba_simple"):
                for call in (
                    lambda: xn.sigmoid(scores, implementation=name),
                    lambda: xn.logistic_loss(scores, labels, reduction="sum", implementation=name),
                ):
                    try: call()
                    except xn.ImplementationUnavailableError as error: print("NUMBA_" in str(error))
        """,
        before="import sys; sys.modules['numba.np.ufunc.tbbpool'] = None" + PRELUDE,
        **UNAVAILABLE[reason],
    )
    assert output.split() == ["True"] * 24


def test_a_call_while_the_first_is_importing_is_refused_and_not_remembered():
    output = run(
        """
        import pathlib, tempfile
        from xent_numba import registry
        folder = tempfile.mkdtemp()
        pathlib.Path(folder, "half.py").write_text(
            "from xent_numba import registry\\n"
            "try: registry.get('half')\\n"
            "except Exception as error: print(type(error).__name__)\\n"
            "from xent_numba.implementations.naive import sigmoid\\n"
        )
        registry.search_path().append(folder)
        print(len(registry.get("half").operations))
        """
    )
    assert output.split() == ["ImplementationUnavailableError", "1"]


def test_simulator_of_numba_without_numba_cuda_says_so():
    """Without site, numba-cuda does not take the place of numba.cuda."""
    packages = str(Path(numba.__file__).parents[1])
    code = f"""
import sys
sys.path.append({packages!r})
import numpy as np
import xent_numba
for size in (1, 3000):
    try:
        xent_numba.logistic_loss(np.zeros(size), np.ones(size), implementation="numba_cuda")
    except xent_numba.ImplementationUnavailableError as error:
        print("xent-numba[cuda]" in str(error))
"""
    done = subprocess.run(
        [sys.executable, "-S", "-c", code],
        env={**os.environ, "NUMBA_ENABLE_CUDASIM": "1", "PYTHONPATH": ROOT},
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    assert done.stdout.split() == ["True", "True"]
