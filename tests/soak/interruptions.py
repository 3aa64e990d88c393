"""Commands ended at many moments, they or a worker of theirs, or on a disk that is full.

No file is wrong, no process is left, and afterwards the same command does what it would have done.
"""

import contextlib
import functools
import os
import random
import resource
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

import numpy as np
import psutil
from trial import report, told

from xent_numba.accuracy.study import STUDY
from xent_numba.gate.outcome import OUTCOME
from xent_numba.measurement.comparison import COMPARISON
from xent_numba.results import store

PATIENCE = 60.0
WAYS = ("kill", "interrupt", "worker", "full disk")
CACHE = """
import sys, numpy as np
from pathlib import Path
from xent_numba.workloads.draw import Draw
from xent_numba.workloads import flights
def make():
    scores = np.arange(2_000_000, dtype=float)
    return Draw(scores, scores > 7, {"rows": 1, "dropped": 2})
flights.kept(Path(sys.argv[1]), make)
"""
BENCHMARKS = """
import time
def track_count():
    time.sleep(0.2)
    return 3
track_count.unit = "calls"
"""
CONFIGURATION = """{"version": 1, "project": "tiny", "repo": ".", "benchmark_dir": "benchmarks",
 "environment_type": "virtualenv", "env_dir": ".asv/env"}"""


class Accuracy:
    """A sweep, gone on with from its journal."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.file = folder, folder / "accuracy.json"
        self.command = [
            *("-m", "xent_numba", "accuracy", "--implementation", "numpy_stable", "--resume"),
            *("--operation", "sigmoid", "--dtype", "float32", "--samples", "200000"),
            *("--processes", "2", "--output", str(folder)),
        ]

    def read(self) -> object:
        return store.read(self.file, STUDY).content.rows[0].normal


class Compare:
    """A comparison of one implementation."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.file = folder, folder / "run.json"
        self.command = [
            *("-m", "xent_numba", "compare", "--quick", "--budget", "0.5", "--size", "1000"),
            *("--workload", "gaussian", "--operation", "sigmoid"),
            *("--implementation", "numpy_stable", "--json", str(self.file)),
        ]

    def read(self) -> object:
        rows = store.read(self.file, COMPARISON).content.rows
        return {row.implementation for row in rows}


class Gate:
    """A gate that counts."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.file = folder, folder / "found.json"
        (folder / "benchmarks").mkdir()
        (folder / "benchmarks" / "__init__.py").write_text("")
        (folder / "benchmarks" / "all.py").write_text("import tiny\n" + BENCHMARKS)
        (folder / "tiny.py").write_text("")
        (folder / "asv.conf.json").write_text(CONFIGURATION)
        (folder / ".gitignore").write_text(".asv\n__pycache__\nfound.json\n")
        someone = ("-c", "user.name=someone", "-c", "user.email=someone@localhost")
        for words in (("init", "--quiet"), ("add", "."), ("commit", "--quiet", "--message", "x")):
            subprocess.run(["git", *someone, *words], cwd=folder, check=True)
        self.command = [
            *("-m", "xent_numba", "gate", "HEAD", "HEAD", "--exact", "--python", sys.executable),
            *("--json", str(self.file)),
        ]

    def read(self) -> object:
        return [value.candidate for value in store.read(self.file, OUTCOME).content.values]


class Cache:
    """The workload that is kept."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.file = folder, folder / "kept.npz"
        self.command = ["-W", "error", "-c", CACHE, str(self.file)]

    def read(self) -> object:
        with np.load(self.file) as kept:
            return kept["scores"].sum(), int(kept["positive"].sum()), kept["counts"].tolist()


def start(subject, room: int | None = None) -> subprocess.Popen:
    """Start a command, which can write no file beyond `room` bytes."""
    limit = None
    if room is not None:
        # Python takes the error and not the signal, and says EFBIG where a full disk says ENOSPC.
        limit = functools.partial(resource.setrlimit, resource.RLIMIT_FSIZE, (room, room))
    # In a session of its own, so that Ctrl-C can be sent to all of it and to nobody else.
    return subprocess.Popen(
        [sys.executable, *subject.command],
        cwd=subject.folder,
        start_new_session=True,
        preexec_fn=limit,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )


def finish(subject) -> float:
    """Let a command do all of its work; the seconds that it took."""
    started = time.monotonic()
    running = start(subject)
    _, said = running.communicate(timeout=600)
    if running.returncode:
        raise RuntimeError(f"{type(subject).__name__} ended with {running.returncode}: {said}")
    return time.monotonic() - started


def descendants(process: psutil.Process) -> list[psutil.Process]:
    with contextlib.suppress(psutil.Error):
        return process.children(recursive=True)
    return []


def is_worker(process: psutil.Process) -> bool:
    with contextlib.suppress(psutil.Error):
        line = " ".join(process.cmdline())
        return "process.py" in line or "multiprocessing.spawn" in line
    return False


def end_at(subject, moment: float, kind: str, draw: random.Random) -> tuple[bool, int]:
    """End a command in some way at a moment; whether it was, and how many processes are left."""
    running = start(subject, draw.randrange(1, 4096) if kind == "full disk" else None)
    with contextlib.suppress(subprocess.TimeoutExpired):
        running.wait(moment)
    handle = psutil.Process() if running.poll() is not None else psutil.Process(running.pid)
    family = descendants(handle) if handle.pid == running.pid else []
    workers = [one for one in family if is_worker(one)]
    ended = running.poll() is None and (kind != "worker" or bool(workers))
    if ended:
        if kind == "kill":
            running.kill()
        elif kind == "interrupt":
            os.killpg(running.pid, signal.SIGINT)
        elif kind == "worker":
            with contextlib.suppress(psutil.Error):
                draw.choice(workers).kill()
    # Whoever reads what it says waits for all that may write there.
    running.communicate(timeout=600)
    if kind == "full disk":
        ended = running.returncode != 0
    return ended, len(psutil.wait_procs(family, timeout=PATIENCE)[1])


def main() -> None:
    moments, kinds = told()
    draw = random.Random(1)
    figures: Counter[str] = Counter()
    for kind in (Cache, Accuracy, Compare, Gate)[:kinds]:
        with tempfile.TemporaryDirectory() as once, tempfile.TemporaryDirectory() as often:
            whole, subject = kind(Path(once)), kind(Path(often))
            lasts = finish(whole)
            expected = whole.read()
            for number in range(moments):
                how = WAYS[number % len(WAYS)]
                ended, left = end_at(subject, lasts * (number + 0.5) / moments, how, draw)
                figures[f"{kind.__name__.lower()}: {how}"] += ended
                figures["processes left"] += left
                # A file is whole, or not there; and then the next run may find its journal.
                if subject.file.exists():
                    figures["files"] += 1
                    subject.read()
                    if number % 2 == 0:
                        subject.file.unlink()
            finish(subject)
            figures["wrong"] += subject.read() != expected
    report(**{"processes left": 0, "wrong": 0, **figures})


main()
