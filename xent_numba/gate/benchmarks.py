"""What a worker of the gate obeys, in the environment of one side: its asv benchmarks, as asv does.

Started by its path, with the benchmark folder as argument; needs asv_runner 0.3 and nothing else,
neither this package, of which the environment may hold another revision.
"""

from __future__ import annotations

import contextlib
import functools
import gc
import importlib
import importlib.metadata
import importlib.util
import itertools
import math
import os
import pkgutil
import sys
import timeit
from typing import TYPE_CHECKING, Any

from asv_runner._aux import update_sys_path
from asv_runner.discovery import disc_benchmarks, get_benchmark_from_name

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

SAMPLE_SHARE = 0.1
"""Of asv's sample time, 10 ms: of many short samples more are undisturbed."""

KINDS = {
    **dict.fromkeys(("TimeBenchmark", "TimerawBenchmark"), "time"),
    **dict.fromkeys(("TrackBenchmark", "MemBenchmark"), "track"),
    "PeakMemBenchmark": "peak",
}
"""What is done with asv's kinds: calls are timed, values are taken as they are."""


class Commands:
    """The benchmarks of one process, one of them open."""

    def __init__(self, folder: str) -> None:
        self.folder = folder
        self.caches: dict[str, Any] = {}
        self.benchmark: Any = None
        self.call: Any = None
        self.is_set_up = False

    def discover(self) -> dict[str, Any]:
        """All benchmarks, one for each set of parameters; and why some modules have none."""
        update_sys_path(self.folder)
        root = self.folder.rstrip(os.sep).rpartition(os.sep)[2]
        unimportable = dict(_import(root))
        found = []
        # asv leaves out what cannot be imported, and says nothing.
        for benchmark in disc_benchmarks(self.folder, ignore_import_errors=True):
            kind = type(benchmark).__name__
            seconds = [benchmark.timeout, benchmark.setup_cache_timeout]
            for index, values in enumerate(itertools.product(*benchmark.params)):
                name = f"{benchmark.name}({', '.join(values)})" if values else benchmark.name
                found.append(
                    {
                        "name": name,
                        "place": f"{benchmark.name}-{index}" if values else benchmark.name,
                        "kind": KINDS.get(kind, ""),
                        "unit": str(benchmark.unit),
                        "better": getattr(benchmark.func, "better", ""),
                        "timeout": sum(float(one) for one in seconds if one),
                    }
                )
        names = {name[len(root) + 1 :]: error for name, error in unimportable.items()}
        return {"benchmarks": found, "unimportable": names}

    def packages(self) -> dict[str, str]:
        """Versions of all that is installed."""
        found = importlib.metadata.distributions()
        return {one.metadata["Name"]: one.version for one in found if one.metadata["Name"]}

    def loaded_from(self, folder: str) -> bool:
        """Whether a module was imported from a folder, the benchmarks themselves apart."""
        files = (getattr(module, "__file__", None) for module in _modules())
        here = os.path.realpath(self.folder) + os.sep
        paths = (os.path.realpath(file) for file in files if file)
        folder = os.path.realpath(folder) + os.sep
        return any(path.startswith(folder) and not path.startswith(here) for path in paths)

    def open(self, place: str) -> None:
        """Set up a benchmark."""
        self.benchmark = benchmark = get_benchmark_from_name(self.folder, place)
        key = benchmark.setup_cache_key
        if key is not None:
            if key not in self.caches:
                self.caches[key] = benchmark.do_setup_cache()
            benchmark.set_cache(self.caches[key])
        kind = KINDS[type(benchmark).__name__]
        function = benchmark.func if kind == "time" else benchmark.run
        self.call = functools.partial(function, *benchmark._build_params())
        self.is_set_up = not benchmark.do_setup()
        if not self.is_set_up:
            raise NotImplementedError("by its setup")

    def count(self, place: str) -> float | None:
        """The value of a benchmark that is not timed; None for what is not a number."""
        try:
            self.open(place)
            found = self.call()
        finally:
            self.close()
        # asv takes samples too, of which it keeps the median.
        several = found["samples"] if isinstance(found, dict) and "samples" in found else [found]
        values = {float(one) for one in several}
        if len(values) > 1:
            raise NotImplementedError(f"its samples differ, from {min(values)} to {max(values)}")
        value = values.pop() if values else math.nan
        return None if math.isnan(value) else value

    def sampler(self, place: str) -> tuple[Callable[[int], float], dict[str, Any]]:
        """Return what times the benchmark that is open."""
        benchmark = self.benchmark
        match type(benchmark).__name__:
            case "TrackBenchmark":
                return self._values, {"goal": 0.0, "number": 1}
            case "TimerawBenchmark":
                sample = benchmark._get_timer(*benchmark._build_params()).timeit
            case _:
                sample = self._sample
        goal = benchmark.sample_time * SAMPLE_SHARE
        return sample, {"goal": goal, "number": int(benchmark.number or 0)}

    def peak(self, place: str) -> float:
        """The most memory that this process has ever had, in bytes, after a benchmark."""
        if get_benchmark_from_name(self.folder, place).setup_cache_key is not None:
            raise NotImplementedError("the peak of its setup_cache would be measured with it")
        try:
            self.open(place)
            most = float(self.call())
            return _own_peak() or most
        finally:
            self.close()

    def profile(self, places: list[str]) -> dict[str, Any]:
        """Files that are loaded or opened when benchmarks run once, if nothing else ran before."""
        seen = _Seen()
        for place in places:
            try:
                self.open(place)
                self.call()
            except NotImplementedError:
                pass  # it does not apply, and that is all that it does
            finally:
                self.close()
            if type(get_benchmark_from_name(self.folder, place)).__name__ == "TimerawBenchmark":
                seen.started = "timeraw_"
        files = {os.path.realpath(getattr(x, "__file__", None) or "") for x in _modules()}
        return {"files": sorted(files | seen.opened), "started": seen.started}

    def close(self) -> None:
        """Tear the benchmark down."""
        if self.is_set_up:
            self.is_set_up = False
            self.benchmark.do_teardown()
        self.benchmark = self.call = None
        gc.collect()

    def _sample(self, number: int) -> float:
        call, timer = self.call, self.benchmark.timer
        if not self.benchmark._setups:
            return timeit.Timer(call, timer=timer).timeit(number)
        # As asv has it: where there is a setup, every call sees what it left.
        total = 0.0
        gc.disable()
        try:
            for _ in range(number):
                self._set_up_again()
                started = timer()
                call()
                total += timer() - started
        finally:
            gc.enable()
        return total

    def _values(self, number: int) -> float:
        """The sum of what calls return that measure by a clock of their own."""
        total = 0.0
        for _ in range(number):
            self._set_up_again()
            value = float(self.call())
            if not 0 < value < math.inf:
                raise ValueError(f"it returned {value!r}, which is no time and no rate")
            total += value
        return total

    def _set_up_again(self) -> None:
        self.benchmark.do_teardown()
        self.benchmark.do_setup()


class _Seen:
    """What this process opens from now on, and by what it starts others."""

    STARTS = ("subprocess.Popen", "_winapi.CreateProcess", "os.system", "os.startfile")
    STARTS_BEGIN = ("os.fork", "os.exec", "os.spawn", "os.posix_spawn")

    def __init__(self) -> None:
        self.opened: set[str] = set()
        self.started = ""
        sys.addaudithook(self._note)
        # multiprocessing and loky start by it what no event tells of.
        if importlib.util.find_spec("_posixsubprocess") is not None:
            module: Any = importlib.import_module("_posixsubprocess")
            fork = module.fork_exec

            def told(*arguments: Any) -> int:
                self.started = "fork_exec"
                return int(fork(*arguments))

            module.fork_exec = told

    def _note(self, event: str, arguments: tuple[Any, ...]) -> None:
        if event in ("open", "ctypes.dlopen") and isinstance(arguments[0], str | bytes):
            path = os.path.realpath(os.fsdecode(arguments[0]))
            with contextlib.suppress(ValueError):
                path = importlib.util.source_from_cache(path)
            self.opened.add(path)
        elif event in self.STARTS or event.startswith(self.STARTS_BEGIN):
            self.started = event


def _modules() -> list[Any]:
    return list(sys.modules.values())


def _own_peak() -> float:
    """Bytes of memory that this program had at most, where Linux tells; else 0.

    What getrusage says is at least what the process had that started this one.
    """
    try:
        with open("/proc/self/status", encoding="ascii", errors="replace") as file:  # noqa: PTH123
            lines = dict(line.split(":", 1) for line in file)
        return 1024.0 * int(lines["VmHWM"].split()[0])
    except (OSError, KeyError, ValueError):
        return 0.0


def _import(name: str) -> Iterator[tuple[str, str]]:
    """Import a module and all below it; names of those that cannot be, and why."""
    try:
        module = importlib.import_module(name)
    except BaseException as error:  # noqa: BLE001 - whatever it is, it is what the report says
        yield name, f"{type(error).__name__}: {error}"
        return
    for _, below, _ in pkgutil.iter_modules(getattr(module, "__path__", []), f"{name}."):
        yield from _import(below)
