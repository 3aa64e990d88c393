"""What the CUDA kernels reach on the GPU at hand: ``python -m tools.cuda_tuning``.

First the targets, in the layout that is built in: each row on two clocks (CUDA events around the
kernels; the host's from launch to synchronisation), beside a copy of device memory, a sum of CuPy's
where it is installed, a kernel that does nothing, and each kernel without its arithmetic, which no
faster arithmetic could undercut. Other libraries are rows of ``xent-numba compare``. Then the
experiment: lanes, bytes a lane asks for, and chunks, for the kernels that have a target. The rows
of a table take turns, and so do several copies of the inputs, which are Gaussian, so that no cache
helps. A row whose result is not that of `numba_parallel` has no time.

Everything is compiled ahead of the clock, by several processes.

Writes ``tuning.json`` and ``tuning.md``, after each part, so that what was measured survives an
interruption. Refuses to run where there is no GPU, in the simulator above all.
"""

from __future__ import annotations

import argparse
import functools
import json
import math
import sys
from collections.abc import Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict
from multiprocessing import get_context
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

import xent_numba
from tools.cuda_rows import (
    BARE,
    CASES,
    CHECKED,
    COPY,
    EMPTY,
    GRAPH,
    PERIOD,
    SMALL,
    SUM,
    Call,
    Case,
    Row,
    ceilings,
    judged,
    text,
)
from xent_numba import registry
from xent_numba.operations import OPERATIONS
from xent_numba.results import files, provenance


def rotated(case: Case, size: int, device: Any) -> list[tuple[Any, ...]]:
    """Return copies of the inputs on the device, each in another order, more than its cache."""
    copies = max(2, math.ceil(3 * device.l2_bytes() / case.bytes(size)))
    return [
        tuple(device.upload(array) for array in case.inputs(size, shift)) for shift in range(copies)
    ]


def in_turn(calls: Iterable[Call]) -> Call:
    """Return a call that makes the next of several each time."""
    ring = list(calls)
    state = {"next": 0}

    def call() -> Any:
        state["next"] = (state["next"] + 1) % len(ring)
        return ring[state["next"]]()

    return call


def kernel_calls(
    case: Case, sets: list[tuple[Any, ...]], layout: Any, device: Any, *, arithmetic: bool = True
) -> Iterator[Call]:
    """Yield calls that queue the kernels of a case, and wait for nothing."""
    from xent_numba.kernels.cuda import launch, samples

    name = case.operation if arithmetic else samples.NO_ARITHMETIC
    for first, *labels in sets:
        if not labels:
            yield functools.partial(_map, name, first, device.empty_like(first), layout)
            continue
        gradient = OPERATIONS[case.operation].gradient
        gradients = device.empty_like(first) if gradient else None
        yield functools.partial(
            _sum, launch.Task(name, first, *labels, gradients=gradients), device, layout
        )


def _map(operation: str, first: Any, out: Any, layout: Any) -> Any:
    from xent_numba.kernels.cuda import launch

    launch.launch_map(operation, first, out, layout=layout)
    return out


def _sum(task: Any, device: Any, layout: Any) -> Any:
    from xent_numba.kernels.cuda import launch

    scratch = launch.scratch_on(task.first.device, 0)
    launch.launch_sum(task, scratch, (scratch.totals, scratch.result), layout=layout)
    return device.totals_in(scratch)


def disagreement(case: Case, host: tuple[np.ndarray, ...], call: Call, device: Any) -> str | None:
    """Why a result is not that of `numba_parallel` to 3 ULP, or there is none; None if it is."""
    try:
        result = device.download(call())
    except Exception as error:  # noqa: BLE001 - such as registers for fewer threads than lanes
        return f"{type(error).__name__}: {' '.join(str(error).split())}"
    function = getattr(xent_numba, case.operation)
    if case.labels is None:
        right = function(host[0], implementation="numba_parallel")
        off = np.abs(result - right) / np.spacing(np.abs(right))
        return None if float(off.max()) <= 3 else f"{float(off.max()):.1f} ULP from numba_parallel"
    right = function(*host, reduction="sum", implementation="numba_parallel")
    total = right[0] if OPERATIONS[case.operation].gradient else right
    off = abs(float(result[0]) / float(total) - 1)
    allowed = 4 * float(np.finfo(case.dtype).eps)
    return None if off <= allowed else f"sum off by {off:.1e} from numba_parallel"


def measure(rows: dict[str, tuple[Row, dict[str, Call]]], rounds: int, device: Any) -> list[Row]:
    """Time all rows, in turns, on each of their clocks, after a warm-up."""
    timers = {"kernel": device.kernel_milliseconds}
    for _, clocks in rows.values():
        for call in clocks.values():
            call()
    for _ in range(rounds):
        for row, clocks in rows.values():
            for clock, call in clocks.items():
                timer = timers.get(clock, device.wall_milliseconds)
                row.times.setdefault(clock, []).append(timer(call))
    return [row for row, _ in rows.values()]


def trial(case: Case, layout: Any, device: Any, make: Any) -> str | None:
    """Why a kernel cannot be timed, or is wrong; None if it is right."""
    host = case.inputs(min(CHECKED, PERIOD))
    given = [tuple(device.upload(array) for array in host)]
    return disagreement(case, host, next(iter(make(case, given, layout, device))), device)


def experiment(size: int, rounds: int, device: Any, make: Any, layouts: list[Any]) -> list[Row]:
    """Every layout on every case; one case after the other, its layouts in turns."""
    done = []
    for case in CASES:
        sets = rotated(case, size, device)
        rows: dict[str, tuple[Row, dict[str, Call]]] = {}
        for layout in layouts:
            row = Row(f"{case.name} | {_described(layout)}", case.bytes(size))
            row.wrong = trial(case, layout, device, make)
            if row.wrong:
                done.append(row)
            else:
                rows[row.name] = row, {"kernel": in_turn(make(case, sets, layout, device))}
        done += measure(rows, rounds, device)
        _say(f"{case.name}: {len(layouts)} layouts")
    return done


def compared(
    size: int, rounds: int, device: Any, make: Any, peers: Any, tools: Any
) -> tuple[list[Row], dict[str, dict[str, float | str]]]:
    """The rows of the targets, on two clocks, and what independent tools say of the first."""
    from xent_numba.kernels.cuda.passes import LAYOUT

    rows: dict[str, tuple[Row, dict[str, Call]]] = {}
    wrong, sets = [], []
    for case in CASES:
        row = Row(case.name, case.bytes(size))
        row.wrong = trial(case, LAYOUT, device, make)
        if row.wrong:
            wrong.append(row)
            continue
        sets = rotated(case, size, device)
        queue = in_turn(make(case, sets, LAYOUT, device))
        rows[case.name] = row, {"kernel": queue, "launch to sync": queue}
        bare = in_turn(make(case, sets, LAYOUT, device, arithmetic=False))
        name = BARE.format(case.name)
        rows[name] = Row(name, case.bytes(size)), {"kernel": bare}
        _say(case.name)
    scores = [arguments[0] for arguments in sets]
    small = device.upload(np.ones(1, np.float32))
    queue = in_turn(make(CASES[0], [(small,)], LAYOUT, device))
    rows[SMALL] = Row(SMALL, 0), {"kernel": queue, "launch to sync": queue}
    nothing = {"kernel": device.launch_nothing, "launch to sync": device.launch_nothing}
    rows[EMPTY] = Row(EMPTY, 0), nothing
    copied = in_turn(
        functools.partial(device.copy_to, b, a)
        for a, b in zip(scores, scores[1:] + scores[:1], strict=True)
    )
    rows[COPY] = Row(COPY, 8 * size), {"kernel": copied, "launch to sync": copied}
    for name, moved, calls in peers(size):
        row, call = Row(name, moved * size), in_turn(calls)
        try:
            call()
        except Exception as error:  # noqa: BLE001 - a library's fault is its row's, not the run's
            row.wrong = f"{type(error).__name__}: {' '.join(str(error).split())[:200]}"
            wrong.append(row)
            continue
        rows[name] = row, {"kernel": call, "launch to sync": call}
        _say(name)
    done = measure(rows, rounds, device) + wrong
    name = next(iter(rows))
    return done, {name: tools(rows[name][1]["kernel"])}


def _say(done: str) -> None:
    sys.stderr.write(f"{done}\n")
    sys.stderr.flush()


def library_calls(size: int) -> Iterator[tuple[str, int, list[Call]]]:
    """Name, bytes of an element, and calls of what CuPy reads of memory, and of a graph."""
    try:
        import cupy
    except ImportError:
        return
    yield SUM, 4, [cupy.asarray(CASES[1].inputs(size, shift)[0]).sum for shift in range(2)]
    replayed = functools.cache(replayed_sigmoid)
    yield GRAPH, 0, [lambda: replayed(cupy)()]


def replayed_sigmoid(cupy: Any) -> Call:
    """Return a call that launches a captured sigmoid of one sample."""
    from xent_numba.implementations import numba_cuda

    scores = cupy.ones(1, cupy.float32)
    out = xent_numba.sigmoid(scores, out=cupy.empty_like(scores))  # compiled before the capture
    stream = cupy.cuda.Stream()  # for which events on the default stream wait
    with stream, numba_cuda.on_stream(stream.ptr):
        stream.begin_capture()
        xent_numba.sigmoid(scores, out=out)
        graph = stream.end_capture()
    return functools.partial(graph.launch, stream)


def independent(call: Call) -> dict[str, float | str]:
    """Milliseconds of a call by Triton's and by CuPy's own tool, or why there are none."""
    found: dict[str, float | str] = {}
    try:
        from triton.testing import do_bench  # type: ignore[import-not-found]

        found["triton do_bench"] = float(do_bench(call, return_mode="median"))
    except Exception as error:  # noqa: BLE001 - whatever stops another's tool is the reason
        found["triton do_bench"] = f"not measured: {type(error).__name__}: {error}"
    try:
        from cupyx.profiler import benchmark  # type: ignore[import-not-found]

        times = benchmark(call, n_repeat=50).gpu_times
        found["cupyx benchmark, with the launch"] = 1e3 * float(np.median(times))
    except Exception as error:  # noqa: BLE001 - see above
        found["cupyx benchmark, with the launch"] = f"not measured: {type(error).__name__}: {error}"
    return found


def layouts() -> list[Any]:
    """Lanes, bytes of a lane and chunks that the experiment tries."""
    from xent_numba.kernels.cuda.passes import LAYOUT, Layout

    return [
        LAYOUT,
        Layout(lanes=128),
        Layout(lanes=512),
        Layout(lane_bytes=32),
        Layout(lane_bytes=128),
        Layout(most_chunks=4096),
    ]


def compile_ahead(cases: Iterable[Case], layouts: list[Any]) -> None:
    """Put the kernels on disk, by several processes: compiling one takes seconds."""
    from xent_numba.kernels.cuda import driver, samples
    from xent_numba.kernels.cuda.passes import LAYOUT, Pass
    from xent_numba.kernels.cuda.signature import Kernel, of_pass

    kernels = [Kernel("fold", (dtype,)) for dtype in ("float32", "float64")]
    for case in cases:
        wanted = [(case.operation, layout) for layout in {LAYOUT, *layouts}]
        for operation, layout in [*wanted, (samples.NO_ARITHMETIC, LAYOUT)]:
            spec = Pass(
                operation,
                (case.dtype, case.labels or "", ""),
                losses=case.labels is None,
                gradients=OPERATIONS[case.operation].gradient,
                layout=layout,
            )
            kernels.append(of_pass(spec, maps=case.labels is None))
    capability = driver.capability(driver.current_device())
    with ProcessPoolExecutor(mp_context=get_context("spawn")) as pool:
        for k, _ in enumerate(pool.map(_compile, kernels, [capability] * len(kernels)), 1):
            _say(f"compiled {k} of {len(kernels)}")


def _compile(kernel: Any, capability: tuple[int, int]) -> None:
    from xent_numba.kernels.cuda import compiler_cache

    compiler_cache.cubin(kernel, capability)


def _described(layout: Any) -> str:
    return f"{layout.lanes} lanes, {layout.lane_bytes} bytes, {layout.most_chunks} chunks"


def run(
    options: argparse.Namespace,
    device: ModuleType | Any,
    make: Any,
    peers: Any,
    layouts: list[Any],
    tools: Any = independent,
) -> dict[str, Any]:
    """Measure everything, writing what there is after each part."""
    size = 1 << options.log2_size
    report: dict[str, Any] = {
        "command": " ".join(["python -m tools.cuda_tuning", *sys.argv[1:]]),
        "commit": options.commit or provenance.commit()[0],
        "size": size,
        "machine": device.describe(),
        "before": device.state(),
    }
    rows, report["independent"] = compared(size, options.rounds, device, make, peers, tools)
    report["rows"] = [asdict(row) for row in rows]
    report["targets"] = judged(rows)
    report["ceilings"] = ceilings(rows)
    report["after"] = device.state()
    _write(options.output, report)
    tried = experiment(size, options.rounds, device, make, layouts)
    report["experiment"] = [asdict(row) for row in tried]
    report["after"] = device.state()
    _write(options.output, report)
    return report


def _write(folder: Path, report: dict[str, Any]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    files.write(folder / "tuning.json", json.dumps(report, indent=1) + "\n")
    files.write(folder / "tuning.md", text(report))


def main() -> int:
    """Measure, print the tables, write the files; 2 where it cannot run."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--log2-size", type=int, default=28, choices=range(10, 31))
    parser.add_argument("--rounds", type=int, default=11)
    parser.add_argument("--output", type=Path, default=Path("reports/gpu"))
    parser.add_argument("--commit", help="what is measured, where the tree is a mere copy of it")
    options = parser.parse_args()
    implementation = registry.get("numba_cuda")
    if reason := implementation.module.unavailable_for_timing():
        sys.stderr.write(f"numba_cuda cannot be timed here: {reason}\n")
        return 2
    from xent_numba.kernels.cuda import device

    tried = layouts()
    compile_ahead(CASES, tried)
    report = run(options, device, kernel_calls, library_calls, tried)
    sys.stdout.write(text(report))
    return 0


if __name__ == "__main__":
    sys.exit(main())
