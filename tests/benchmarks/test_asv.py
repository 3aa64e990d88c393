"""The asv benchmarks: each parameter set runs, and nothing is compiled while asv samples."""

from __future__ import annotations

import contextlib
import importlib
import itertools
import math
import os
import subprocess
import sys
import timeit
from pathlib import Path

import numpy as np
import pytest
from asv_runner.benchmarks.mark import SkipNotImplemented
from numba import njit
from numba.core import event

ROOT = Path(__file__).parents[2]
MODULES = (
    "times",
    "qualities",
    "more.implementations",
    "more.code",
    "more.graphs",
    "more.labels",
    "more.vectormath",
)
TINY, PARALLEL = 100, 40_000


@pytest.fixture(scope="module")
def benchmarks():
    """The benchmark modules, without the folder for compiled code that they choose for asv."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(ROOT))
        patch.setenv("NUMBA_CACHE_DIR", os.environ.get("NUMBA_CACHE_DIR", ""))
        yield {name: importlib.import_module(f"benchmarks.{name}") for name in MODULES}


def timings(module):
    return [v for k, v in vars(module).items() if k.startswith("time_") and hasattr(v, "params")]


def parameter_sets(benchmark, size):
    """All parameter sets, at another size."""
    values = [
        (size,) if name == "size" else group
        for name, group in zip(benchmark.param_names, benchmark.params, strict=True)
    ]
    return list(itertools.product(*values))


def is_ready(benchmark, parameters):
    """Whether it applies, after its setup."""
    try:
        benchmark.setup(*parameters)
    except SkipNotImplemented:
        return False
    return True


def tracked(cls, parameters):
    """The value of a benchmark that is not timed; None where it does not apply."""
    (name,) = [n for n in dir(cls) if n.startswith("track_")]
    try:
        return getattr(cls(), name)(*parameters)
    except SkipNotImplemented:
        return None


@contextlib.contextmanager
def nothing_compiled():
    """Fail if Numba compiles a signature inside."""
    with event.install_recorder("numba:compile") as recorder:
        yield
    compiled = [str(one.data["dispatcher"]) for _, one in recorder.buffer]
    assert not compiled, f"compiled while sampling: {compiled}"


def test_every_operation_is_timed(benchmarks):
    from xent_numba.operations import OPERATIONS

    for name in ("times", "more.implementations"):
        names = {n for n in vars(benchmarks[name]) if n.startswith("time_")} - {"time_control"}
        assert names == {f"time_{operation}" for operation in OPERATIONS}


@pytest.mark.slow
@pytest.mark.parametrize("module", ["times", "more.implementations"])
@pytest.mark.parametrize("size", [TINY, PARALLEL])
def test_every_timed_parameter_set_runs_and_compiles_nothing(benchmarks, module, size):
    ran = set()
    for benchmark in timings(benchmarks[module]):
        for parameters in parameter_sets(benchmark, size):
            if size == PARALLEL and "numba" not in parameters[0]:
                continue
            if is_ready(benchmark, parameters):
                with nothing_compiled():
                    benchmark(*parameters)
                # asv runs setup before each sample; none may undo what the first one did.
                benchmark.setup(*parameters)
                with nothing_compiled():
                    benchmark(*parameters)
                ran.add(parameters[0])
    assert {"numba_parallel"} <= ran


@pytest.mark.slow
def test_soft_labels_and_weights_are_timed_and_compile_nothing(benchmarks):
    from xent_numba.operations import OPERATIONS

    module = benchmarks["more.labels"]
    takes = {name: operation.labels for name, operation in OPERATIONS.items()}
    soft = {name for name, labels in takes.items() if labels and labels.soft}
    assert {one.__name__ for one in timings(module)} == {f"time_{name}" for name in soft}
    for benchmark in timings(module):
        for parameters in parameter_sets(benchmark, TINY):
            benchmark.setup(*parameters)
            (_, labels), options = benchmark.call.args, benchmark.call.keywords
            assert ((labels > 0) & (labels < 1)).all() == ("soft" in parameters[0])
            assert (options["sample_weight"] is not None) == ("weighted" in parameters[0])
            with nothing_compiled():
                benchmark(*parameters)


def test_the_default_set_is_small_and_has_no_parameter_without_values(benchmarks):
    """24 times and a control, and half as many values of other kinds, each in a process."""
    count = sum(len(parameter_sets(one, TINY)) * 2 for one in timings(benchmarks["times"]))
    assert count == 24
    for name in ("Accuracy", "Allocations", "Start", "Vectors"):
        count += len(list(itertools.product(*getattr(benchmarks["qualities"], name).params)))
    assert count <= 60
    for one in timings(benchmarks["times"]):
        assert 0 < len(one.pretty_name) <= 25


def test_what_is_left_out_is_what_nobody_asked_for(benchmarks):
    left_out = importlib.import_module("benchmarks.more").left_out
    assert left_out(["python", "/bin/asv", "run"])
    assert left_out(["python", "-m", "asv", "run", "--quick", "HEAD^!"])
    assert not left_out(["python", "-m", "asv", "run", "--bench", "more"])
    assert not left_out(["/bin/asv", "run", "-b=more"])
    assert not left_out(["/bin/asv", "check"])
    assert not left_out(["/bin/xent-numba", "gate", "--exact", "main"])


def test_versions_that_do_not_run_are_not_filed():
    check = importlib.import_module("benchmarks").check_versions
    check(f"virtualenv-py3.11-asv_runner0.3.2-pip+mpmath-pip+numpy{np.__version__}")
    with pytest.raises(RuntimeError, match=r"has numpy .*; accepted is 1\.26\.4"):
        check("virtualenv-py3.11-pip+mpmath-pip+numba-pip+numpy1.26.4-pip+psutil")


def test_a_cold_signature_is_noticed():
    @njit
    def double(values):
        return values * 2

    double(np.ones(2))
    with nothing_compiled():
        double(np.ones(3))
    with pytest.raises(AssertionError, match="compiled while sampling"), nothing_compiled():
        double(np.ones(2, np.float32))


def test_a_declared_failure_is_not_applicable_and_any_other_fails(benchmarks, monkeypatch):
    from xent_numba.measurement import binding

    def fail():
        raise OverflowError("math range error")

    prepare = benchmarks["more.implementations"].prepare
    monkeypatch.setattr(binding, "bind", lambda *arguments: fail)
    new = TINY + 1  # what was bound before is kept
    with pytest.raises(SkipNotImplemented, match="raised OverflowError: math range error"):
        prepare("sigmoid", "naive", "float32", new)
    with pytest.raises(OverflowError):
        prepare("sigmoid", "numpy_stable", "float32", new)


@pytest.mark.parametrize(("size", "calls"), [(1_000, 100), (1_000_000, 1)])
def test_the_clock_shows_one_call(benchmarks, size, calls):
    """asv makes one call where there is a setup, and reads the clock of the benchmark."""
    common = importlib.import_module("benchmarks.common")
    made = []
    benchmark = common.timed("sigmoid", ("any",), lambda *parameters: lambda: made.append(1))
    benchmark.setup("any", "float32", size)
    benchmark("any", "float32", size)
    assert len(made) == calls
    seconds = iter((0.0, 7.0))
    common.timer.read = lambda: next(seconds)
    assert -common.timer() + common.timer() == pytest.approx(7.0 / calls)
    common.timer.read = timeit.default_timer


@pytest.mark.slow
@pytest.mark.parametrize("name", ["Accuracy", "Allocations"])
@pytest.mark.parametrize("module", ["qualities", "more.implementations"])
def test_every_other_parameter_set_runs(benchmarks, module, name):
    cls = getattr(benchmarks[module], name)
    if name == "Allocations":
        # A million Python floats a call, as published, take the naive rows minutes.
        cls = type(name, (cls,), {"size": TINY})
    values = [tracked(cls, parameters) for parameters in itertools.product(*cls.params)]
    assert any(value is not None and value >= 0 for value in values)
    if module == "qualities" and name == "Accuracy":
        assert all(0.3 < value < 1 for value in values)


def test_an_error_is_seen(benchmarks, monkeypatch):
    import xent_numba

    exact = xent_numba.sigmoid
    off = lambda scores, implementation: exact(scores) * np.float32(1 + 4e-7)  # noqa: E731
    monkeypatch.setattr(xent_numba, "sigmoid", off)
    assert benchmarks["qualities"].Accuracy().track_max_ulp("sigmoid", "any", "float32") > 3


def test_vectors_of_every_hot_loop(benchmarks):
    from xent_numba.codegen import assembly

    loops, dtypes = benchmarks["qualities"].Vectors.params
    assert loops == tuple(assembly.LOOPS)
    if not assembly.readable():
        pytest.skip("reads x86 code")
    most = 20 * 512 / assembly.machine_width()
    for loop, dtype in itertools.product(loops, dtypes):
        assert 0 < benchmarks["qualities"].Vectors().track_instructions(loop, dtype) < most
        more = benchmarks["more.code"].Vectors()
        assert more.track_lost_width(loop, dtype) == 0
        assert more.track_libm(loop, dtype) == 0


def test_functions_of_libm_are_counted():
    from numba import types

    from xent_numba.codegen import assembly

    def loop(values, out):
        for i in range(values.size):
            out[i] = math.exp(values[i]) + math.log1p(values[i])

    array = types.Array(types.float32, 1, "C")
    assert assembly.read_libm(assembly.assembly(loop, (array, array))) == {"expf", "log1pf"}


def test_allocations_and_compilations_are_counted(benchmarks):
    module = benchmarks["more.implementations"]
    parameters = ("sigmoid", "numpy_stable")
    counted = module.Allocations().track_allocated(*parameters)

    class More(module.Allocations):
        @staticmethod
        def prepare(*names):
            call = module.prepare(*names)
            return lambda: (np.empty(2**20, np.uint8), call())

    assert More().track_allocated(*parameters) == counted + 1024

    benchmark = module.Compilations()
    # float64 without strides, with strides, and read-only; no other size compiles anew.
    compiled = benchmark.track_compilations("sigmoid", "numba_simple")
    assert compiled >= 3
    assert compiled % 3 == 0
    with pytest.raises(SkipNotImplemented):
        benchmark.track_compilations("sigmoid", "numpy_stable")


@pytest.mark.slow
def test_device_code_of_every_watched_pass(benchmarks, offline):
    cls = benchmarks["more.code"].DeviceCode
    passes, _ = cls.params
    name, dtype = "gradients", "float32"
    benchmark = cls()
    benchmark.setup(name, dtype)
    assert passes == tuple(offline.PASSES)
    assert 32 < benchmark.track_registers(name, dtype) <= 84
    assert benchmark.track_local_memory(name, dtype) == 0
    assert 30 < benchmark.track_instructions(name, dtype) < 60
    assert benchmark.track_double_instructions(name, dtype) == 1
    assert benchmark.track_loads(name, dtype) == (4 + 4) / 16


@pytest.mark.usefixtures("without_packages")
def test_device_code_is_not_applicable_without_the_wheels(benchmarks):
    with pytest.raises(SkipNotImplemented, match="numba-cuda is not installed"):
        benchmarks["more.code"].DeviceCode().setup("gradients", "float32")


def test_a_gpu_is_timed_by_its_own_clock(benchmarks, monkeypatch):
    """asv reads the timer of the benchmark; which clock that is, the implementation decides."""
    from asv_runner.benchmarks.time import TimeBenchmark

    from xent_numba import registry

    common = importlib.import_module("benchmarks.common")
    module = benchmarks["more.implementations"]
    benchmark = module.time_sigmoid
    assert TimeBenchmark("time_sigmoid", benchmark, [benchmark]).timer is common.timer
    stable = registry.get("numpy_stable").module
    monkeypatch.setattr(stable, "clock", lambda: lambda: 42.0, raising=False)
    benchmark.setup("numpy_stable", "float32", 1_000_000)
    assert common.timer() == 42.0
    benchmark.setup("numpy_textbook", "float32", 1_000_000)
    assert common.timer() != 42.0


def test_graphs_of_dask_arrays_are_small_and_built_in_no_time(benchmarks):
    pytest.importorskip("dask")
    module = benchmarks["more.graphs"]
    for parameters in itertools.product(*module.Graph.params):
        graph, timed = module.Graph(), module.GraphTime()
        if is_ready(graph, parameters) and is_ready(timed, parameters):
            assert 1 <= graph.track_tasks(*parameters) < 2.5
            # The shortest of a few: 50 microseconds a chunk, of which this takes one to ten.
            taken = min(timeit.repeat(lambda t=timed, p=parameters: t.time_graph(*p), number=1))
            assert taken < 50e-6 * module.CHUNKS
    with pytest.raises(SkipNotImplemented, match="nothing to be reduced"):
        module.Graph().setup("sigmoid", "sum")


def test_first_calls_run(benchmarks):
    module = benchmarks["more.implementations"]
    assert module.Start().track_first_call("sigmoid", "numpy_stable") > 0
    assert module.Start().track_first_call("logistic_loss", "numpy_stable") > 0


def test_importing_compiles_and_probes_nothing():
    code = (
        "import sys, benchmarks.times, benchmarks.qualities, benchmarks.more.implementations\n"
        "import benchmarks.more.graphs\n"
        "print(sorted({'numba', 'torch', 'jax', 'dask', 'sklearn', 'numexpr'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.stdout.strip() == "[]", done.stderr


def test_compiled_code_is_kept_by_sources_and_environment(tmp_path):
    """The folder is absolute, the same again, and another one after an edit."""
    code = "import benchmarks, os; print(os.environ['NUMBA_CACHE_DIR'])"
    environment = {k: v for k, v in os.environ.items() if k != "NUMBA_CACHE_DIR"}
    package = tmp_path / "xent_numba"
    package.mkdir()
    (package / "__init__.py").write_text("")

    def folder():
        paths = os.pathsep.join([str(tmp_path), str(ROOT)])
        done = subprocess.run(
            [sys.executable, "-c", code],
            cwd=tmp_path,
            env={**environment, "PYTHONPATH": paths},
            capture_output=True,
            text=True,
            check=True,
        )
        return Path(done.stdout.strip())

    first = folder()
    assert first.is_absolute()
    assert first.is_relative_to(ROOT / ".asv")
    assert folder() == first
    (package / "kernel.py").write_text("# edited")
    assert folder() != first


def test_asv_check_finds_no_problem(tmp_path):
    done = subprocess.run(
        [sys.executable, "-m", "asv", "check", "--environment", f"existing:{sys.executable}"],
        cwd=ROOT,
        env={**os.environ, "HOME": str(tmp_path)},
        capture_output=True,
        text=True,
    )
    assert not done.returncode, done.stdout + done.stderr
    assert "No problems found" in done.stdout
