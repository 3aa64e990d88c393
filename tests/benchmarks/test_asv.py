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
MODULES = ("times", "qualities", "graphs", "vectormath")
TINY, PARALLEL = 100, 40_000


@pytest.fixture(scope="module")
def benchmarks():
    """The benchmark modules, without the folder for compiled code that they choose for asv."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(ROOT))
        patch.setenv("NUMBA_CACHE_DIR", os.environ.get("NUMBA_CACHE_DIR", ""))
        yield {name: importlib.import_module(f"benchmarks.{name}") for name in MODULES}


def classes(module):
    return [v for v in vars(module).values() if isinstance(v, type) and v.__name__[0] != "_"]


def parameter_sets(cls, size):
    """All parameter sets, at another size."""
    values = [
        (size,) if name == "size" else group
        for name, group in zip(cls.param_names, cls.params, strict=True)
    ]
    return list(itertools.product(*values))


def ready(cls, parameters, samples):
    """An instance after its setup, or None for n/a."""
    benchmark = cls()
    benchmark.samples = samples
    try:
        benchmark.setup(*parameters)
    except SkipNotImplemented:
        return None
    return benchmark


def method(benchmark):
    (name,) = [n for n in dir(benchmark) if n.startswith(("time_", "peakmem_", "track_"))]
    return getattr(benchmark, name)


@contextlib.contextmanager
def nothing_compiled():
    """Fail if Numba compiles a signature inside."""
    with event.install_recorder("numba:compile") as recorder:
        yield
    compiled = [str(one.data["dispatcher"]) for _, one in recorder.buffer]
    assert not compiled, f"compiled while sampling: {compiled}"


def test_every_operation_is_timed(benchmarks):
    from xent_numba.operations import OPERATIONS

    assert {cls.operation for cls in classes(benchmarks["times"])} == set(OPERATIONS)


@pytest.mark.parametrize("size", [TINY, PARALLEL])
def test_every_timed_parameter_set_runs_and_compiles_nothing(benchmarks, size):
    ran = set()
    for cls in classes(benchmarks["times"]):
        for parameters in parameter_sets(cls, size):
            if size == PARALLEL and "numba" not in parameters[0]:
                continue
            if benchmark := ready(cls, parameters, samples=2 * size):
                with nothing_compiled():
                    method(benchmark)(*parameters)
                # asv runs setup before each sample; none may undo what the first one did.
                benchmark.setup(*parameters)
                with nothing_compiled():
                    method(benchmark)(*parameters)
                ran.add(parameters[0])
    assert {"numba_parallel"} <= ran


def test_a_cold_signature_is_noticed():
    @njit
    def double(values):
        return values * 2

    double(np.ones(2))
    with nothing_compiled():
        double(np.ones(3))
    with pytest.raises(AssertionError, match="compiled while sampling"), nothing_compiled():
        double(np.ones(2, np.float32))


def test_a_setup_that_warms_nothing_is_noticed(benchmarks, monkeypatch):
    """What the test above would say if `prepare` left out its calls."""
    common = importlib.import_module("benchmarks.common")

    @njit
    def kernel(values):
        return values.sum()

    from xent_numba.measurement import binding

    monkeypatch.setattr(binding, "bind", lambda found, case, inputs: lambda: kernel(inputs[0]))
    common.prepare.cache_clear()
    cls = benchmarks["times"].Sigmoid
    parameters = ("numpy_stable", "float32", TINY, "flights")
    benchmark = ready(cls, parameters, samples=TINY)
    with nothing_compiled():
        method(benchmark)(*parameters)

    cold = njit(lambda values: values.sum())
    benchmark.call = lambda: cold(np.ones(3))
    with pytest.raises(AssertionError, match="compiled while sampling"), nothing_compiled():
        method(benchmark)(*parameters)
    common.prepare.cache_clear()


def test_a_declared_failure_is_not_applicable_and_any_other_fails(benchmarks, monkeypatch):
    from xent_numba.measurement import binding

    def fail():
        raise OverflowError("math range error")

    common = importlib.import_module("benchmarks.common")
    monkeypatch.setattr(binding, "bind", lambda *arguments: fail)
    with pytest.raises(SkipNotImplemented, match="raised OverflowError: math range error"):
        common.prepare("sigmoid", "naive", "float32", TINY, "gaussian")
    with pytest.raises(OverflowError):
        common.prepare("sigmoid", "numpy_stable", "float32", TINY, "gaussian")


def test_a_sample_is_as_many_elements_at_every_size(benchmarks):
    for size in (1_000, 1_000_000):
        calls = []
        benchmark = benchmarks["times"].Sigmoid()
        benchmark.call = lambda calls=calls: calls.append(1)
        benchmark.time_sigmoid("any", "float32", size, "flights")
        assert len(calls) * size == 1_000_000


@pytest.mark.parametrize("name", ["Memory", "Accuracy", "Allocations"])
def test_every_other_parameter_set_runs(benchmarks, name):
    cls = getattr(benchmarks["qualities"], name)
    for parameters in parameter_sets(cls, TINY):
        if benchmark := ready(cls, parameters, samples=TINY):
            value = method(benchmark)(*parameters)
            assert name == "Memory" or np.isnan(value) or value >= 0


def test_vectors_of_every_hot_loop(benchmarks):
    from xent_numba.codegen import assembly

    loops, dtypes = benchmarks["qualities"].Vectors.params
    assert loops == tuple(assembly.LOOPS)
    if not assembly.readable():
        pytest.skip("reads x86 code")
    for loop, dtype in itertools.product(loops, dtypes):
        benchmark = benchmarks["qualities"].Vectors()
        benchmark.setup(loop, dtype)
        assert 0 < benchmark.track_instructions(loop, dtype) < 20
        assert benchmark.track_lost_width(loop, dtype) == 0
        assert benchmark.track_libm(loop, dtype) == 0


def test_functions_of_libm_are_counted():
    from numba import types

    from xent_numba.codegen import assembly

    def loop(values, out):
        for i in range(values.size):
            out[i] = math.exp(values[i]) + math.log1p(values[i])

    array = types.Array(types.float32, 1, "C")
    assert assembly.read_libm(assembly.assembly(loop, (array, array))) == {"expf", "log1pf"}


def test_allocations_and_compilations_are_counted(benchmarks, monkeypatch):
    module = benchmarks["qualities"]
    benchmark = module.Allocations()
    parameters = ("sigmoid", "numpy_stable", "float64", 10_000, "gaussian")
    benchmark.setup(*parameters)
    counted = benchmark.track_allocated(*parameters)
    call = benchmark.call
    benchmark.call = lambda: (np.empty(2**20, np.uint8), call())
    assert benchmark.track_allocated(*parameters) == counted + 1024

    benchmark = module.Compilations()
    benchmark.setup("sigmoid", "numba_simple")
    # float64 without strides, with strides, and read-only; no other size compiles anew.
    compiled = benchmark.track_compilations("sigmoid", "numba_simple")
    assert compiled >= 3
    assert compiled % 3 == 0
    with pytest.raises(SkipNotImplemented):
        benchmark.setup("sigmoid", "numpy_stable")


def test_device_code_of_every_watched_pass(benchmarks, offline):
    cls = benchmarks["qualities"].DeviceCode
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


def test_device_code_is_not_applicable_without_the_wheels(benchmarks, monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(SkipNotImplemented, match="numba-cuda is not installed"):
        benchmarks["qualities"].DeviceCode().setup("gradients", "float32")


def test_a_gpu_is_timed_by_its_own_clock(benchmarks, monkeypatch):
    """asv reads the timer of the class; which clock that is, the implementation decides."""
    from asv_runner.benchmarks.time import TimeBenchmark

    from xent_numba import registry

    common = importlib.import_module("benchmarks.common")
    benchmark = benchmarks["times"].Sigmoid()
    sources = [benchmark.time_sigmoid, benchmark]
    assert TimeBenchmark("time_sigmoid", benchmark.time_sigmoid, sources).timer is common.timer
    monkeypatch.setattr(registry.get("numba_cuda").module, "clock", lambda: lambda: 42.0)
    common.timer.follow("numba_cuda")
    assert common.timer() == 42.0
    common.timer.follow("numpy_stable")
    assert common.timer() != 42.0


def test_graphs_of_dask_arrays_are_small_and_built_in_no_time(benchmarks):
    pytest.importorskip("dask")
    module = benchmarks["graphs"]
    for parameters in itertools.product(*module.Graph.params):
        if graph := ready(module.Graph, parameters, TINY):
            assert 1 <= graph.track_tasks(*parameters) < 2.5
            # The shortest of a few: 50 microseconds a chunk, of which this takes one to ten.
            timed = ready(module.GraphTime, parameters, TINY)
            taken = min(timeit.repeat(lambda t=timed, p=parameters: t.time_graph(*p), number=1))
            assert taken < 50e-6 * module.CHUNKS
    with pytest.raises(SkipNotImplemented, match="nothing to be reduced"):
        module.Graph().setup("sigmoid", "sum")


def test_first_calls_run(benchmarks, monkeypatch, capsys):
    """Every parameter set in this process, and one as asv has it, in its own."""
    module = benchmarks["qualities"]
    program = compile(module.FIRST_CALL, "first_call", "exec")
    for implementation, operation in (
        (parameters[1], parameters[0])
        for parameters in parameter_sets(module.Start, TINY)
        if ready(module.Start, parameters, TINY)
    ):
        monkeypatch.setattr(sys, "argv", ["first_call", implementation, operation])
        exec(program, {"__name__": "first_call"})
        assert float(capsys.readouterr().out) > 0
    assert module.Start().track_first_call("sigmoid", "numpy_stable") > 0


def test_importing_compiles_and_probes_nothing():
    code = (
        "import sys, benchmarks.times, benchmarks.qualities, benchmarks.graphs\n"
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
