"""What the CUDA kernels reach on the GPU at hand: ``python -m xent_numba.measurement.cuda_tuning``.

Times every operation on device arrays by CUDA events, the host's part of the call included, as the
median of several rounds in which the operations take turns, next to a copy of device memory. The
inputs are Gaussian scores, larger than the last-level cache. Writes ``reports/gpu/tuning.json``;
refuses to run where there is no GPU, in the simulator above all.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from xent_numba import registry
from xent_numba.operations import OPERATIONS


def main() -> int:
    """Time, print a line each, write the file; 2 where it cannot run."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--log2-size", type=int, default=26, choices=range(10, 31))
    parser.add_argument("--rounds", type=int, default=21)
    parser.add_argument("--output", type=Path, default=Path("reports/gpu/tuning.json"))
    options = parser.parse_args()
    implementation = registry.get("numba_cuda")
    if reason := implementation.module.unavailable_for_timing():
        sys.stderr.write(f"numba_cuda cannot be timed here: {reason}\n")
        return 2
    from xent_numba.kernels import cuda_device

    cases = _cases(implementation.module.bind, 1 << options.log2_size)
    times: dict[str, list[float]] = {name: [] for name in cases}
    for call, _ in cases.values():
        call()  # compile and warm up
    for _ in range(options.rounds):
        for name, (call, _) in cases.items():
            times[name].append(cuda_device.milliseconds(call))
    rows = [
        {
            "case": name,
            "milliseconds": statistics.median(times[name]),
            "gigabytes_per_second": moved / statistics.median(times[name]) / 1e6,
            "all_milliseconds": times[name],
        }
        for name, (_, moved) in cases.items()
    ]
    for row in rows:
        sys.stdout.write(
            f"{row['case']:60} {row['milliseconds']:9.3f} ms "
            f"{row['gigabytes_per_second']:8.0f} GB/s\n"
        )
    report = {"machine": cuda_device.describe(), "size": 1 << options.log2_size, "rows": rows}
    options.output.parent.mkdir(parents=True, exist_ok=True)
    part = options.output.with_suffix(".part")
    part.write_text(json.dumps(report, indent=1) + "\n")
    part.replace(options.output)
    return 0


def _cases(bind: Callable[..., Any], size: int) -> dict[str, tuple[Callable[[], Any], int]]:
    """Calls to time, and the bytes that each cannot but move."""
    from xent_numba.kernels import cuda_device

    rng = np.random.default_rng(0)
    cases: dict[str, tuple[Callable[[], Any], int]] = {}
    scores = rng.standard_normal(size, np.float32)
    cases["copy float32"] = (cuda_device.copy_of(scores), 8 * size)
    for operation in OPERATIONS.values():
        for reduction in operation.reductions:
            first = 1 / (1 + np.exp(scores)) if operation.first == "probabilities" else scores
            inputs = [first]
            if operation.labels:
                inputs.append(rng.choice(np.array(operation.labels.hard, np.int8), size))
            labels = inputs[1].dtype if operation.labels else None
            moved = operation.bytes_per_element(first.dtype, labels, reduction) * size
            name = f"{operation.name} float32 {labels or ''} {reduction}"
            cases[name] = (bind(operation.name, tuple(inputs), reduction), moved)
    return cases


if __name__ == "__main__":
    sys.exit(main())
