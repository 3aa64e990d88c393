"""The same bits on every path, and no crash, in a process of its own for each threading layer."""

from __future__ import annotations

import pytest
from layers import AVX2, LAYERS, LINUX, USERS, run

from xent_numba.codegen import assembly


@pytest.fixture(scope="module")
def expected():
    return run("print(digest())", NUMBA_NUM_THREADS="1")


@pytest.mark.slow
@LAYERS
def test_layers(layer, expected):
    assert run("print(digest())", NUMBA_THREADING_LAYER=layer) == expected


@pytest.mark.slow
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


BITS = "28e08615a0586a21871cc284ea48ac76f0bb5852ace761f8bdc75cc72e5076b1"
"""First found on a Zen 3: what an older machine cannot run is held to what it found itself."""


def test_every_machine_has_the_same_bits(expected):
    assert expected == BITS


@pytest.mark.slow
@pytest.mark.skipif(not assembly.readable(), reason="x86 code")
@pytest.mark.parametrize(("name", "features"), [("haswell", AVX2), ("generic", "")])
def test_code_for_older_machines_has_the_same_bits(name, features, expected):
    found = run("print(digest())", NUMBA_CPU_NAME=name, NUMBA_CPU_FEATURES=features)
    assert found == expected


@pytest.mark.slow
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
watcher = threading.Thread(target=watch, daemon=True)
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
