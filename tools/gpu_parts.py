"""The parts of the check on a GPU that measure: ``python -m tools.gpu_parts PART FILE``.

Each writes a JSON file of figures. What goes wrong in one figure is written in its place, and the
others are still found out.
"""

from __future__ import annotations

import faulthandler
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import xent_numba

Figures = dict[str, Any]


def attempt(found: Figures, name: str, measure: Callable[[], Any]) -> None:
    """Put a figure in its place, or why there is none."""
    try:
        found[name] = measure()
    except Exception as error:  # noqa: BLE001 - the others are still to be found out
        found[name] = f"{type(error).__name__}: {' '.join(str(error).split())[:600]}"
    sys.stdout.write(f"{name}: {found[name]}\n")
    sys.stdout.flush()


def microseconds(call: Callable[[], Any], synchronize: Callable[[], Any], rounds: int = 9) -> float:
    """Return the host's time of a call: the least of the medians of several rounds.

    After few calls the device is waited for, off the clock, so that its queue never fills.
    """
    for _ in range(20):
        call()
    synchronize()
    medians = []
    for _ in range(rounds):
        times = []
        for _ in range(50):
            start = time.perf_counter()
            call()
            times.append(time.perf_counter() - start)
        synchronize()
        medians.append(statistics.median(times))
    return 1e6 * min(medians)


_FIRST = """
import time, torch, xent_numba
scores = torch.randn(1024, device="cuda"); labels = torch.ones(1024, device="cuda")
torch.cuda.synchronize()
start = time.perf_counter()
xent_numba.{call}
torch.cuda.synchronize()
print(time.perf_counter() - start)
"""


def first_call(found: Figures) -> None:
    """Seconds of the first call of a process, with no kernel on disk and with all of them."""
    calls = {
        "cold": "logistic_loss(scores, labels)",
        "warm": "logistic_loss(scores, labels)",
        "sigmoid cold": "sigmoid(scores)",
        "sigmoid warm": "sigmoid(scores)",
    }
    with tempfile.TemporaryDirectory() as folder:
        environment = {**os.environ, "NUMBA_CACHE_DIR": folder}
        for name, call in calls.items():

            def seconds(code: str = _FIRST.format(call=call)) -> float:
                done = subprocess.run(
                    [sys.executable, "-c", code], env=environment, capture_output=True, text=True
                )
                if done.returncode:
                    raise RuntimeError(done.stderr[-500:])
                return float(done.stdout)

            attempt(found, name, seconds)


def host_cost(found: Figures) -> None:
    """Microseconds of the host for calls on 1024 samples, beside PyTorch's."""
    import torch
    import torch.nn.functional as functional

    wait = torch.cuda.synchronize
    scores = torch.randn(1024, device="cuda")
    out, number = torch.empty_like(scores), torch.empty((), device="cuda")
    labels, real = torch.ones(1024, dtype=torch.int8, device="cuda"), torch.ones_like(scores)
    losses = xent_numba.binary_cross_entropy_with_logits
    calls: dict[str, Callable[[], Any]] = {
        "torch.sigmoid": lambda: torch.sigmoid(scores, out=out),
        "sigmoid": lambda: xent_numba.sigmoid(scores, out=out),
        "sigmoid without out": lambda: xent_numba.sigmoid(scores),
        "loss": lambda: losses(scores, labels, out=number),
        "loss none": lambda: losses(scores, labels, reduction="none", out=out),
        "torch loss number": lambda: functional.binary_cross_entropy_with_logits(
            scores, real
        ).item(),
        "loss number": lambda: losses(scores, labels),
    }
    for name, call in calls.items():
        attempt(found, name, lambda call=call: microseconds(call, wait))
    for ratio, ours, theirs in (
        ("sigmoid ratio", "sigmoid", "torch.sigmoid"),
        ("loss ratio", "loss", "torch.sigmoid"),
        ("number ratio", "loss number", "torch loss number"),
    ):
        attempt(found, ratio, lambda a=ours, b=theirs: found[a] / found[b])


PARTS = {"first_call": first_call, "host_cost": host_cost}


def main(name: str, output: str) -> int:
    """Run one part, and write its figures."""
    faulthandler.enable()
    found: Figures = {}
    PARTS[name](found)
    Path(output).write_text(json.dumps(found, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
