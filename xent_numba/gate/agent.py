"""What runs in the environment of one revision: sets up its benchmarks, and takes turns.

Started by its path, with the benchmark folder as argument; needs asv_runner 0.3 and nothing else,
neither this package, of which the environment may hold another revision. Reads and writes a line
of JSON for each command.
"""

# The folder of this file is no place to import from: others there have names of the library's.
import sys

sys.path.pop(0)

import functools
import gc
import importlib.metadata
import itertools
import json
import math
import os
import timeit
import traceback
from typing import Any

from asv_runner._aux import update_sys_path
from asv_runner.discovery import disc_benchmarks, get_benchmark_from_name

SAMPLE_SHARE = 0.1
"""Of asv's sample time, 10 ms: of many short samples more are undisturbed."""

SETUP_SHARE = 10
"""A sample lasts at most so many times as long as what is timed of it."""


class Agent:
    """The benchmarks of one process, one of them open."""

    def __init__(self, folder: str) -> None:
        self.folder = folder
        self.caches: dict[str, Any] = {}
        self.benchmark: Any = None
        self.call: Any = None
        self.is_set_up = False

    def discover(self) -> Any:
        """All benchmarks, one for each set of parameters."""
        update_sys_path(self.folder)
        found = []
        for benchmark in disc_benchmarks(self.folder, ignore_import_errors=True):
            kind = type(benchmark).__name__
            for index, values in enumerate(itertools.product(*benchmark.params)):
                name = f"{benchmark.name}({', '.join(values)})" if values else benchmark.name
                found.append(
                    {
                        "name": name,
                        "place": f"{benchmark.name}-{index}" if values else benchmark.name,
                        "kind": {"TimeBenchmark": "time", "TrackBenchmark": "track"}.get(kind, ""),
                        "unit": str(benchmark.unit),
                        "better": getattr(benchmark.func, "better", "lower"),
                    }
                )
        return found

    def packages(self) -> dict[str, str]:
        """Versions of all that is installed."""
        found = importlib.metadata.distributions()
        return {one.metadata["Name"]: one.version for one in found if one.metadata["Name"]}

    def loaded_from(self, folder: str) -> bool:
        """Whether a module was imported from a folder, the benchmarks themselves apart."""
        files = (getattr(module, "__file__", None) for module in list(sys.modules.values()))
        here = os.path.realpath(self.folder) + os.sep
        paths = (os.path.realpath(file) for file in files if file)
        folder = os.path.realpath(folder) + os.sep
        return any(path.startswith(folder) and not path.startswith(here) for path in paths)

    def open(self, place: str) -> bool:
        """Set up a benchmark; whether it applies here."""
        self.benchmark = benchmark = get_benchmark_from_name(self.folder, place)
        key = benchmark.setup_cache_key
        if key is not None:
            if key not in self.caches:
                self.caches[key] = benchmark.do_setup_cache()
            benchmark.set_cache(self.caches[key])
        self.call = functools.partial(benchmark.func, *benchmark._build_params())
        self.is_set_up = not benchmark.do_setup()
        return self.is_set_up

    def count(self, place: str) -> float | None:
        """The value of a benchmark that is not timed; None for what is not a number."""
        try:
            if not self.open(place):
                raise NotImplementedError("by its setup")
            value = float(self.call())
        finally:
            self.close()
        return None if math.isnan(value) else value

    def warm_up(self) -> int:
        """Calls until a sample is as long as it should be; how many that is."""
        benchmark = self.benchmark
        goal = benchmark.sample_time * SAMPLE_SHARE
        number = 1
        while True:
            started = timeit.default_timer()
            seconds = self._sample(number) * number
            lasted = timeit.default_timer() - started
            if benchmark.number or seconds >= goal or lasted >= SETUP_SHARE * goal:
                return int(benchmark.number or number)
            number = max(number + 1, min(10 * number, int(1.1 * number * goal / (seconds or 1e-9))))

    def turn(self, number: int, samples: int) -> list[float]:
        """Seconds per call in so many samples, after one that does not count."""
        # Others have had the caches since the last turn, and threads and clocks were asleep.
        self._sample(number)
        return [self._sample(number) for _ in range(samples)]

    def close(self) -> None:
        """Tear the benchmark down."""
        if self.is_set_up:
            self.is_set_up = False
            self.benchmark.do_teardown()
        self.benchmark = self.call = None
        gc.collect()

    def _sample(self, number: int) -> float:
        benchmark, call, timer = self.benchmark, self.call, self.benchmark.timer
        if not benchmark._setups:
            return timeit.Timer(call, timer=timer).timeit(number) / number
        # As asv has it: where there is a setup, every call sees what it left.
        total = 0.0
        gc.disable()
        try:
            for _ in range(number):
                benchmark.do_teardown()
                benchmark.do_setup()
                started = timer()
                call()
                total += timer() - started
        finally:
            gc.enable()
        return total / number


def main() -> None:
    """Answer commands until there are no more."""
    answers = os.fdopen(os.dup(1), "w")
    # What benchmarks print must not be taken for an answer.
    os.dup2(2, 1)
    agent = Agent(sys.argv[1])
    for line in sys.stdin:
        command, arguments = json.loads(line)
        try:
            answer = {"answer": getattr(agent, command)(*arguments)}
        except BaseException as error:  # noqa: BLE001 - whatever it is, it is what the report says
            traceback.print_exc()
            answer = {"error": f"{type(error).__name__}: {error}"}
            if isinstance(error, NotImplementedError):
                answer["skipped"] = True
        answers.write(json.dumps(answer) + "\n")
        answers.flush()


if __name__ == "__main__":
    main()
