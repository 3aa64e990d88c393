"""What the CUDA kernels reach on the GPU at hand: ``python -m tools.cuda_tuning``.

First the targets, in the layout that is built in: each row on three clocks (CUDA events around the
kernels; the host's from launch to synchronisation; the same with transfers), beside a copy of
device memory, sums and losses of CuPy and PyTorch where they are installed, a kernel that does
nothing, and each kernel without its arithmetic, which no faster arithmetic could undercut. Then
the experiment: lanes, bytes a lane asks for, and bytes of a load, for the kernels that have a
target. The rows of a table take turns, and so do several copies of the inputs, which are Gaussian,
so that no cache helps. A row whose result is not that of `numba_parallel` has no time.

Writes ``tuning.json`` and ``tuning.md``, after each part, so that what was measured survives an
interruption. Refuses to run where there is no GPU, in the simulator above all.
"""

from __future__ import annotations

import argparse
import functools
import json
import math
import statistics
import sys
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

import xent_numba
from xent_numba import registry
from xent_numba.operations import OPERATIONS

Call = Callable[[], Any]
INDEPENDENT = 0.05
"""An independent tool may differ by so much."""
FAST = 1.05
"""A kernel of faster, less exact arithmetic deserves a row if it could be so many times as fast."""


@dataclass(frozen=True)
class Case:
    """A kernel that is timed.

    Attributes
    ----------
    operation, dtype : str
        What, in which precision.
    labels : str or None
        dtype of the labels, or None.
    """

    operation: str
    dtype: str
    labels: str | None = None

    @property
    def name(self) -> str:
        """Name of its row."""
        return " ".join(filter(None, (self.operation, self.dtype, self.labels)))

    @property
    def reduction(self) -> str:
        """The sum, where there is one."""
        return "sum" if self.labels else "none"

    def bytes(self, size: int) -> int:
        """Bytes that cannot but be moved."""
        labels = np.dtype(self.labels) if self.labels else None
        reduction: Any = self.reduction
        operation = OPERATIONS[self.operation]
        return size * operation.bytes_per_element(np.dtype(self.dtype), labels, reduction)

    def inputs(self, size: int) -> tuple[np.ndarray, ...]:
        """Gaussian scores, random labels; never zeros, on which a GPU may run faster."""
        rng = np.random.default_rng(0)
        scores = rng.standard_normal(size, np.dtype(self.dtype))
        labels = OPERATIONS[self.operation].labels
        if labels is None or self.labels is None:
            return (scores,)
        negative, positive = labels.hard
        return scores, np.where(rng.random(size, np.float32) < 0.5, negative, positive).astype(
            self.labels
        )


CASES = (
    Case("sigmoid", "float32"),
    Case("logistic_loss", "float32", "float32"),
    Case("logistic_loss", "float64", "float64"),
    Case("logistic_loss", "float32", "int8"),
    Case("logistic_loss_and_grad", "float32", "int8"),
    Case("binary_cross_entropy_with_logits", "float32", "float32"),
)
COPY, SUM, EAGER, COMPILED = "device copy", "cupy sum", "torch eager", "torch.compile"
EMPTY, SMALL = "empty kernel", "sigmoid float32, one sample"
GRAPH = f"{SMALL}, as a CUDA graph"
BARE = "{}, without arithmetic"


@dataclass(frozen=True)
class Target:
    """What a row has to reach, against another of the same run, on one clock.

    Attributes
    ----------
    row, against : str
        Names of rows.
    least : float
        Of the ratio of bytes a second, or of speed for rows of the same work.
    clock : str
        Which of the clocks.
    """

    row: str
    against: str
    least: float
    clock: str = "kernel"


LOGITS = CASES[5].name
TARGETS = (
    Target(CASES[0].name, COPY, 0.95),
    Target(CASES[1].name, SUM, 0.92),
    Target(CASES[2].name, SUM, 0.85),
    Target(CASES[3].name, SUM, 0.85),
    Target(CASES[4].name, COPY, 0.92),
    Target(LOGITS, COMPILED, 1.0),
    Target(LOGITS, EAGER, 4.0),
    Target(SMALL, EMPTY, 1 / 1.5, "launch to sync"),
)


@dataclass
class Row:
    """Times of one row, in milliseconds by clock.

    Attributes
    ----------
    name : str
        What was timed.
    bytes : int
        What it moves; 0 where that is no measure.
    times : dict
        All times, by clock.
    wrong : str or None
        Why there are none.
    """

    name: str
    bytes: int
    times: dict[str, list[float]] = field(default_factory=dict)
    wrong: str | None = None

    def median(self, clock: str = "kernel") -> float:
        """Median on a clock; NaN where there is none."""
        return statistics.median(self.times.get(clock) or [math.nan])

    def gigabytes(self) -> float:
        """Bytes that the kernel moves in a nanosecond."""
        return self.bytes / self.median() / 1e6


def rotated(arguments: tuple[np.ndarray, ...], copies: int, device: Any) -> list[tuple[Any, ...]]:
    """Return copies of the inputs on the device, each in another order."""
    return [
        tuple(device.upload(np.roll(array, shift)) for array in arguments)
        for shift in range(copies)
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


def experiment(size: int, rounds: int, device: Any, make: Any, layouts: list[Any]) -> list[Row]:
    """Every layout on every case; one case after the other, its layouts in turns."""
    done = []
    for case in CASES:
        host = case.inputs(size)
        copies = max(2, math.ceil(3 * device.l2_bytes() / case.bytes(size)))
        sets = rotated(host, copies, device)
        rows: dict[str, tuple[Row, dict[str, Call]]] = {}
        for layout in layouts:
            row = Row(f"{case.name} | {_described(layout)}", case.bytes(size))
            first, *_ = list(make(case, sets[:1], layout, device))
            queue = in_turn(make(case, sets, layout, device))
            row.wrong = disagreement(case, host, first, device)
            if row.wrong:
                done.append(row)
            else:
                rows[row.name] = row, {"kernel": queue}
        done += measure(rows, rounds, device)
        sys.stdout.write(f"{case.name}: {len(layouts)} layouts\n")
        sys.stdout.flush()
    return done


def compared(
    size: int, rounds: int, device: Any, make: Any, peers: Any
) -> tuple[list[Row], dict[str, dict[str, float | str]]]:
    """The rows of the targets, on three clocks, and what independent tools say of the first."""
    from xent_numba.kernels.cuda.passes import LAYOUT

    rows: dict[str, tuple[Row, dict[str, Call]]] = {}
    wrong, sets = [], []
    for case in CASES:
        host = case.inputs(size)
        sets = rotated(host, max(2, math.ceil(3 * device.l2_bytes() / case.bytes(size))), device)
        row = Row(case.name, case.bytes(size))
        row.wrong = disagreement(case, host, next(iter(make(case, sets, LAYOUT, device))), device)
        if row.wrong:
            wrong.append(row)
            continue
        queue = in_turn(make(case, sets, LAYOUT, device))
        rows[case.name] = (
            row,
            {
                "kernel": queue,
                "launch to sync": queue,
                "end to end": _end_to_end(case, host),
            },
        )
        bare = in_turn(make(case, sets, LAYOUT, device, arithmetic=False))
        name = BARE.format(case.name)
        rows[name] = Row(name, case.bytes(size)), {"kernel": bare}
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
    for name, moved, calls in peers(sets):
        row, call = Row(name, moved * size), in_turn(calls)
        try:
            call()
        except Exception as error:  # noqa: BLE001 - a library's fault is its row's, not the run's
            row.wrong = f"{type(error).__name__}: {' '.join(str(error).split())[:200]}"
            wrong.append(row)
            continue
        rows[name] = row, {"kernel": call, "launch to sync": call}
    done = measure(rows, rounds, device) + wrong
    name = next(iter(rows))
    return done, {name: independent(rows[name][1]["kernel"])}


def _end_to_end(case: Case, host: tuple[np.ndarray, ...]) -> Call:
    function = functools.partial(getattr(xent_numba, case.operation), implementation="numba_cuda")
    return functools.partial(function, *host, **({"reduction": "sum"} if case.labels else {}))


def library_calls(sets: list[tuple[Any, ...]]) -> Iterator[tuple[str, int, list[Call]]]:
    """Name, bytes of an element, and calls of what other libraries make of logits and labels."""
    try:
        import cupy  # type: ignore[import-not-found]
    except ImportError:
        pass
    else:
        yield SUM, 4, [cupy.asarray(scores).sum for scores, _ in sets]
        replayed = functools.cache(replayed_sigmoid)
        yield GRAPH, 0, [lambda: replayed(cupy)()]
    try:
        import torch
    except ImportError:
        return
    tensors = [tuple(torch.as_tensor(a.host, device="cuda") for a in pair) for pair in sets]
    eager = torch.nn.functional.binary_cross_entropy_with_logits
    for name, function in ((EAGER, eager), (COMPILED, torch.compile(eager))):
        yield name, 8, [functools.partial(function, *pair, reduction="sum") for pair in tensors]


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
        found["cupyx benchmark"] = 1e3 * float(np.median(times))
    except Exception as error:  # noqa: BLE001 - see above
        found["cupyx benchmark"] = f"not measured: {type(error).__name__}: {error}"
    return found


def judged(rows: list[Row]) -> list[dict[str, Any]]:
    """Each target with what was reached: PASS, MISS, or "not measured"."""
    named = {row.name: row for row in rows}
    verdicts = []
    for target in TARGETS:
        row, other = named.get(target.row), named.get(target.against)
        reached = math.nan
        if row and other:
            reached = other.median(target.clock) / row.median(target.clock)
            if target.against in (COPY, SUM):
                reached = row.gigabytes() / other.gigabytes()
        verdict = "not measured" if math.isnan(reached) else "PASS"
        if reached < target.least:
            verdict = "MISS"
        verdicts.append({**asdict(target), "reached": reached, "verdict": verdict})
    return verdicts


def ceilings(rows: list[Row]) -> list[dict[str, Any]]:
    """How many times as fast each kernel would be with no arithmetic at all."""
    named = {row.name: row for row in rows}
    pairs = ((case.name, BARE.format(case.name)) for case in CASES)
    return [
        {"row": name, "at most": most, "deserves": most >= FAST}
        for name, bare in pairs
        if bare in named and named[bare].times
        for most in [named[name].median() / named[bare].median()]
    ]


def text(report: dict[str, Any]) -> str:
    """Return the tables of a report in Markdown."""
    lines = ["# Measured on a GPU", "", "Raw times: `tuning.json`. Made by", ""]
    lines += [f"    {report['command']}", "", "| | |", "| --- | --- |"]
    for part in ("machine", "before", "after"):
        lines.append(f"| {part} | {json.dumps(report.get(part))} |")
    for key, title in (("targets", "Targets"), ("rows", "Rows"), ("experiment", "Layouts")):
        if key not in report:
            continue
        lines += ["", f"## {title}", ""]
        if key == "targets":
            lines += ["| row | against | least | reached | |", "| --- | --- | --: | --: | --- |"]
            lines += [
                f"| {t['row']} | {t['against']} | {t['least']:.2f} | {t['reached']:.3f} | "
                f"{t['verdict']} |"
                for t in report[key]
            ]
            continue
        lines += [
            "| | kernel ms | launch to sync ms | end to end ms | GB/s |",
            "| --- | --: | --: | --: | --: |",
        ]
        for found in report[key]:
            row = Row(**found)
            if row.wrong:
                lines.append(f"| {row.name} | WRONG: {row.wrong} | | | |")
                continue
            times = [row.median(clock) for clock in ("kernel", "launch to sync", "end to end")]
            lines.append(
                f"| {row.name} | {' | '.join(f'{t:.4f}' for t in times)} | {row.gigabytes():.0f} |"
            )
    if report.get("ceilings"):
        lines += ["", "## Would less exact arithmetic deserve a row?", ""]
        lines += ["| row | at most so many times as fast | |", "| --- | --: | --- |"]
        lines += [
            f"| {c['row']} | {c['at most']:.3f} | {'yes' if c['deserves'] else 'no'}, "
            f"{'at least' if c['deserves'] else 'less than'} {FAST:.2f} |"
            for c in report["ceilings"]
        ]
    for name, tools in report.get("independent", {}).items():
        lines += ["", f"## {name} by other tools", ""]
        ours = next(Row(**found).median() for found in report["rows"] if found["name"] == name)
        for tool, value in tools.items():
            said = value
            if not isinstance(value, str):
                apart = value / ours - 1
                agrees = "within" if abs(apart) <= INDEPENDENT else "NOT within"
                said = f"{value:.4f} ms, {apart:+.1%}, {agrees} {INDEPENDENT:.0%}"
            lines.append(f"- {tool}: {said}")
    return "\n".join(lines) + "\n"


def layouts() -> list[Any]:
    """Lanes, bytes of a lane and bytes of a load that the experiment tries."""
    from xent_numba.kernels.cuda.passes import Layout

    return [
        Layout(lanes, lane_bytes, group_bytes)
        for lanes in (128, 256, 512)
        for lane_bytes in (16, 32, 64, 128)
        for group_bytes in (8, 16)
    ]


def _described(layout: Any) -> str:
    return f"{layout.lanes} lanes, {layout.lane_bytes} bytes, loads of {layout.group_bytes}"


def run(
    options: argparse.Namespace, device: ModuleType | Any, make: Any, peers: Any
) -> dict[str, Any]:
    """Measure everything, writing what there is after each part."""
    size = 1 << options.log2_size
    report: dict[str, Any] = {
        "command": " ".join(["python -m tools.cuda_tuning", *sys.argv[1:]]),
        "size": size,
        "machine": device.describe(),
        "before": device.state(),
    }
    rows, report["independent"] = compared(size, options.rounds, device, make, peers)
    report["rows"] = [asdict(row) for row in rows]
    report["targets"] = judged(rows)
    report["ceilings"] = ceilings(rows)
    report["after"] = device.state()
    _write(options.output, report)
    tried = experiment(size, options.rounds, device, make, layouts())
    report["experiment"] = [asdict(row) for row in tried]
    report["after"] = device.state()
    _write(options.output, report)
    return report


def _write(folder: Path, report: dict[str, Any]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in (
        ("tuning.json", json.dumps(report, indent=1) + "\n"),
        ("tuning.md", text(report)),
    ):
        part = folder / f"{name}.part"
        part.write_text(content)
        part.replace(folder / name)


def main() -> int:
    """Measure, print the tables, write the files; 2 where it cannot run."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--log2-size", type=int, default=28, choices=range(10, 31))
    parser.add_argument("--rounds", type=int, default=21)
    parser.add_argument("--output", type=Path, default=Path("reports/gpu"))
    options = parser.parse_args()
    implementation = registry.get("numba_cuda")
    if reason := implementation.module.unavailable_for_timing():
        sys.stderr.write(f"numba_cuda cannot be timed here: {reason}\n")
        return 2
    from xent_numba.kernels.cuda import device

    report = run(options, device, kernel_calls, library_calls)
    sys.stdout.write(text(report))
    return 0


if __name__ == "__main__":
    sys.exit(main())
