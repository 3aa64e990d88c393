"""The parts of the check on a GPU that measure: ``python -m tools.gpu_parts PART FILE``.

Each writes a JSON file of figures. What goes wrong in one figure is written in its place, and the
others are still found out.
"""

from __future__ import annotations

import ctypes
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

import numpy as np

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


def smoke(found: Figures) -> None:
    """Every kind of call once, on arrays of each library."""
    import torch

    host = np.random.default_rng(0).normal(0, 8, 10_007).astype(np.float32)
    labels = np.where(np.random.default_rng(1).random(host.size) < 0.5, -1, 1).astype(np.int8)
    right = xent_numba.logistic_loss(host, labels)
    scores, signs = torch.as_tensor(host).cuda(), torch.as_tensor(labels).cuda()

    def sigmoid() -> float:
        got = xent_numba.sigmoid(scores)
        return float(np.abs(got.cpu().numpy() - xent_numba.sigmoid(host)).max())

    def nan() -> str:
        values = torch.tensor([float("nan"), 0.0, 1.0], device="cuda")
        return str(xent_numba.sigmoid(values).tolist())

    def number() -> float:
        return float(abs(xent_numba.logistic_loss(scores, signs) / right - 1))

    def resident() -> float:
        out = torch.empty((), device="cuda")
        xent_numba.logistic_loss(scores, signs, out=out)
        return float(abs(out.item() / right - 1))

    def bad() -> str:
        wrong = signs.clone()
        wrong[77] = 3
        out = torch.empty((), device="cuda")
        xent_numba.logistic_loss(scores, wrong, out=out)
        try:
            xent_numba.logistic_loss(scores, wrong)
        except ValueError as error:
            return f"{out.item()}; {error}"
        return "not refused"

    def cupy() -> float:
        import cupy

        got = xent_numba.sigmoid(cupy.asarray(host))
        return float(np.abs(cupy.asnumpy(got) - xent_numba.sigmoid(host)).max())

    def numba() -> float:
        from numba import cuda

        got = xent_numba.sigmoid(cuda.to_device(host))
        return float(np.abs(got.copy_to_host() - xent_numba.sigmoid(host)).max())

    def copied() -> float:
        return float(
            abs(xent_numba.logistic_loss(host, labels, implementation="numba_cuda") / right - 1)
        )

    for measure in (sigmoid, nan, number, resident, bad, cupy, numba, copied):
        attempt(found, measure.__name__, measure)


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
    """Microseconds of the host for calls on 1024 samples, beside PyTorch's, and of their parts."""
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


def parts_of_a_call(found: Figures) -> None:
    """Microseconds of what a call is made of, and of other ways to launch."""
    import torch

    scores = torch.randn(1024, device="cuda")
    out, labels = torch.empty_like(scores), torch.ones(1024, dtype=torch.int8, device="cuda")
    for name, call in _parts(scores, out, labels).items():
        attempt(found, name, lambda call=call: microseconds(call, torch.cuda.synchronize))


def _parts(scores: Any, out: Any, labels: Any) -> dict[str, Callable[[], Any]]:
    import torch
    from cuda.bindings import driver as cu

    from xent_numba.kernels.cuda import arrays, compiler_cache, driver, launch, signature
    from xent_numba.kernels.cuda.passes import Pass

    first, target = arrays.adopt("scores", scores), arrays.adopt("out", out)
    where = launch.DEFAULT
    kernel = signature.of_pass(Pass("sigmoid", ("float32", "", ""), losses=True), maps=True)
    launcher = driver.launcher(kernel, 0)
    code = compiler_cache.cubin(kernel, driver.capability(0))
    _, library = cu.cuLibraryLoadData(code, None, None, 0, None, None, 0)
    _, handle = cu.cuLibraryGetKernel(library, b"kernel")
    function = cu.CUfunction(int(handle))
    by_ctypes = ctypes.CDLL("libcuda.so.1").cuLaunchKernel
    word, pointer = ctypes.c_uint, ctypes.c_void_p
    by_ctypes.argtypes = [pointer, *[word] * 7, pointer, pointer, pointer]
    values = (ctypes.c_int64 * 3)(1024, first.address, target.address)
    places = (pointer * 3)(*(ctypes.addressof(values) + 8 * k for k in range(3)))
    at = ctypes.addressof(places)
    kept = values, places

    def core() -> Callable[[], Any]:
        from cuda.core import Device, LaunchConfig, ObjectCode
        from cuda.core import launch as launch_of_core

        device = Device(0)
        device.set_current()
        stream, config = device.default_stream, LaunchConfig(grid=1, block=256)
        taken = ObjectCode.from_cubin(code).get_kernel("kernel")
        arguments = np.int64(1024), first.address, target.address
        return lambda: launch_of_core(stream, config, taken, *arguments)

    def by_core() -> Any:
        if not prepared:
            prepared.append(core())
        prepared[0]()

    prepared: list[Any] = []
    return {
        "launcher": lambda: launcher(1, 256, 0, 1024, first.address, target.address),
        "cuLaunchKernel by bindings": lambda kept=kept: cu.cuLaunchKernel(
            function, 1, 1, 1, 256, 1, 1, 0, 0, at, 0
        ),
        "cuLaunchKernel by ctypes": lambda: by_ctypes(
            int(handle), 1, 1, 1, 256, 1, 1, 0, 0, at, None
        ),
        "launch by cuda.core": by_core,
        "adopt": lambda: arrays.adopt("scores", scores),
        "launch_map": lambda: launch.launch_map("sigmoid", first, target, where),
        "enter": lambda: launch.machine.enter(0),
        "cuCtxGetDevice": cu.cuCtxGetDevice,
        "data_ptr": scores.data_ptr,
        "shape": lambda: tuple(scores.shape),
        "is_contiguous": scores.is_contiguous,
        "interface": lambda: scores.__cuda_array_interface__,
        "hasattr dask": lambda: hasattr(scores, "__dask_graph__"),
        "raw stream": lambda: torch._C._cuda_getCurrentRawStream(0),
        "current stream": lambda: torch.cuda.current_stream(0).cuda_stream,
    }


PARTS: dict[str, tuple[Callable[[Figures], None], ...]] = {
    "smoke": (smoke,),
    "first_call": (first_call,),
    "host_cost": (host_cost, parts_of_a_call),
}


def main(name: str, output: str) -> int:
    """Run one part, and write its figures after each step: a later one may end the process."""
    faulthandler.enable()
    found: Figures = {}
    for step in PARTS[name]:
        step(found)
        Path(output).write_text(json.dumps(found, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
