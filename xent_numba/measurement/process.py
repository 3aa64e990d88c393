"""What runs in the process of a worker: answers commands, calibrates, and takes turns.

Started by its path, with the path of a file and arguments for the `Commands` in it; needs the
standard library and nothing else, since an environment may hold another revision of this package,
or none. A command is a line of JSON, and so is its answer. Both have descriptors of their own:
what is timed may read its standard input, which is empty, and may print.

`Commands` have a method for each command, and `sampler(key)`. It returns what makes a number of
calls and returns their seconds, and the options of `calibrate`.
"""

from __future__ import annotations

import sys

if __name__ == "__main__":
    # The folder of this file is no place to import from: others there have names of the library's.
    sys.path.pop(0)

import importlib.util
import json
import os
import time
import traceback
from collections.abc import Callable
from typing import Any

LONG_CALL_SECONDS = 0.05
SAME_WITHIN = 0.05
OVERHEAD = 10
"""A batch lasts at most this many times as long as what is timed of it."""

Sample = Callable[[int], float]


def calibrate(
    sample: Sample, *, goal: float, tries: int = 1, settle: float = 0.0, number: int = 0
) -> dict[str, Any]:
    """Find out how many calls make a batch, and make calls until they take as long as before.

    Parameters
    ----------
    sample : callable
        Makes a number of calls and returns the seconds they took.
    goal : float
        Seconds that a batch should take.
    tries : int
        Batches of which the fastest counts: one that was disturbed would make the batch too small.
    settle : float
        Seconds of the clock after which batches need no longer agree; 0 if they never need to.
    number : int
        Calls in a batch, if that is given; else 0.

    Returns
    -------
    dict
        ``batch``, the number of calls; ``settled``, whether two batches agreed; and ``fresh``,
        whether a batch needs no calls before it that are not timed, since calls take long.
    """
    started = time.perf_counter()
    batch = number or 1
    seconds = sample(batch)
    fresh = seconds >= LONG_CALL_SECONDS * batch
    tries = 1 if fresh else tries
    while not number:
        before = time.perf_counter()
        seconds = min(sample(batch) for _ in range(tries))
        lasted = time.perf_counter() - before
        if seconds >= goal or lasted >= OVERHEAD * tries * goal:
            break
        wanted = 1.1 * batch * goal / max(seconds, 1e-9)
        batch = max(batch + 1, min(10 * batch, int(wanted)))
    settled = not settle
    while not settled:
        previous, seconds = seconds, sample(batch)
        settled = abs(seconds - previous) <= SAME_WITHIN * previous
        if time.perf_counter() - started > settle:
            break
    return {"batch": batch, "settled": settled, "fresh": fresh}


class Timing:
    """The commands that are the same whatever is timed."""

    def __init__(self, commands: Any) -> None:
        self._commands = commands

    def warm_up(self, key: Any) -> dict[str, Any]:
        """Calibrate what a key stands for."""
        sample, options = self._commands.sampler(key)
        return calibrate(sample, **options)

    def turn(self, key: Any, batch: int, samples: int, before: int) -> list[float]:
        """Seconds per call in each of `samples` batches, after `before` calls that do not count."""
        sample, _ = self._commands.sampler(key)
        if before:
            # Others have had the caches since the last turn, and threads and clocks were asleep.
            sample(before)
        return [sample(batch) / batch for _ in range(samples)]


def _load(path: str) -> Any:
    spec = importlib.util.spec_from_file_location("commands", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def main() -> None:
    """Answer commands until there are no more."""
    lines, answers = os.fdopen(os.dup(0)), os.fdopen(os.dup(1), "w")
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.dup2(2, 1)
    commands = _load(sys.argv[1]).Commands(*sys.argv[2:])
    timing = Timing(commands)
    for line in lines:
        command, arguments = json.loads(line)
        try:
            own = getattr(timing, command, None) or getattr(commands, command)
            answer = {"answer": own(*arguments)}
        except BaseException as error:  # noqa: BLE001 - whatever it is, it is what a report says
            traceback.print_exc()
            answer = {"error": f"{type(error).__name__}: {error}"}
            if isinstance(error, NotImplementedError):
                answer["skipped"] = True
        answers.write(json.dumps(answer) + "\n")
        answers.flush()


if __name__ == "__main__":
    main()
