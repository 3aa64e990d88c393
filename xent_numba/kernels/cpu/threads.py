"""When a kernel may run on all threads, and when one thread computes the same bits instead.

* Under the layer "workqueue" two threads that launch at once abort the process (numba#8563), and
  under "omp" each thread that launches gets threads of its own, which end with it: one launches at
  a time, few launch at all, and who finds no place computes on the thread it has.
* A child that was forked from a process with running threads has none of them, and under "omp" is
  killed when it launches: it computes on one thread.
* A process that may not start a thread is ended by the OpenMP library: first it is tried.
* A fork waits until no thread compiles, or the child would wait for that thread for ever.
* A chunk of a larger array is computed on the thread that has it: others have other chunks.
"""

from __future__ import annotations

import contextlib
import functools
import importlib
import os
import threading
import weakref
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import llvmlite.binding as llvm
import numba
from numba.core.compiler_lock import global_compiler_lock
from numba.np.ufunc import parallel as numba_threads

from xent_numba.kernels.cpu.teams import ALONE

PARALLEL_FROM = 16_384
"""Samples from which all threads are faster than one; tools/measure_crossover.py measures it."""

MAX_CALLERS = 4
"""Living threads that have threads of their own under "omp"."""

_FORKED_WITHOUT_EXEC = 0x40
"""PF_FORKNOEXEC among the flags of a process (Linux, include/linux/sched.h)."""

_LAYERS = {"tbb": ("tbb",), "omp": ("omp",), "safe": ("tbb",), "threadsafe": ("tbb", "omp")}
"""What Numba may load for a layer that is asked for by name, where that can fail."""
_ALWAYS_LOADED = ("default", "workqueue", "forksafe")


def _layer() -> str | None:
    """The threading layer that runs in this process, or ran where it was forked from."""
    try:
        return numba.threading_layer()
    except ValueError:
        return None


def _is_fork() -> bool:
    """Whether Linux says that this process was forked and runs what its parent ran; see proc(5)."""
    try:
        after_name = Path("/proc/self/stat").read_bytes().rpartition(b")")[2].split()
    except OSError:
        return False
    return bool(int(after_name[6]) & _FORKED_WITHOUT_EXEC)


def _can_start(count: int) -> bool:
    """Whether so many threads can be started, by starting them."""
    end = threading.Event()
    started = []
    try:
        for _ in range(count):
            started.append(threading.Thread(target=end.wait, daemon=True))
            started[-1].start()
    except (RuntimeError, MemoryError):
        started.pop()
        return False
    finally:
        end.set()
        for thread in started:
            thread.join()
    return True


class _Place:
    """Held by a thread that launches, for as long as it lives."""


class _Launcher:
    """Who launches in this process, and whether anyone may."""

    def __init__(self) -> None:
        self._own = threading.local()
        self._inherited = False
        self._begin()
        # What runs when this is first imported was started here, unless this is somebody's child.
        self._inherited = self._inherited and _is_fork()
        if hasattr(os, "register_at_fork"):
            os.register_at_fork(
                before=global_compiler_lock.acquire,
                after_in_parent=global_compiler_lock.release,
                after_in_child=self._begin_in_child,
            )

    def _begin(self) -> None:
        self._pid = os.getpid()
        self._inherited = _layer() is not None
        self._lock = threading.Lock()
        self._places: weakref.WeakSet[_Place] = weakref.WeakSet()

    def _begin_in_child(self) -> None:
        global_compiler_lock.release()
        self._begin()

    def launch(self, serial: Callable[..., Any], parallel: Callable[..., Any], *args: Any) -> Any:
        if self._pid != os.getpid():  # a fork that Python was not told of
            self._begin()
        # Not an attempt to acquire: an interrupt right after it would leave the lock locked.
        if self._inherited or self._lock.locked() or hasattr(self._own, "alone"):
            return serial(*args)
        with self._lock:
            if self._has_place():
                return parallel(*args)
        return serial(*args)

    @contextlib.contextmanager
    def alone(self) -> Iterator[None]:
        """Let the calling thread compute by itself; nothing is launched inside."""
        if hasattr(self._own, "alone"):
            yield
            return
        self._own.alone = True
        try:
            yield
        finally:
            del self._own.alone

    def _has_place(self) -> bool:
        """Whether this thread may launch; the layer is started by the first that asks."""
        if hasattr(self._own, "place"):
            return True
        layer = _layer()
        if layer in (None, "omp"):
            if len(self._places) >= MAX_CALLERS or not _can_start(numba.config.NUMBA_NUM_THREADS):
                return False
            numba.get_num_threads()
            layer = _layer()
        # Under "workqueue" this may be a thread of the layer's own, which may not launch.
        if layer == "workqueue" and isinstance(threading.current_thread(), threading._DummyThread):
            return False
        self._own.place = _Place()
        self._places.add(self._own.place)
        return True


_launcher = _Launcher()


def run(kernel: Callable[..., Any], size: int, *args: Any) -> Any:
    """Call a kernel, of which the last argument is a team that suits size and process."""
    if size < PARALLEL_FROM:
        return kernel(*args, ALONE)
    return _launcher.launch(lambda: kernel(*args, ALONE), lambda: kernel(*args, team()))


def team() -> tuple[int, int]:
    """Numba's threads: the address of what shares a loop among them, and how many may take part.

    They are started if they were not.
    """
    threads = numba.get_num_threads()
    return _address_of_sharing(), threads


@functools.cache
def _address_of_sharing() -> int:
    address: int = llvm.address_of_symbol("numba_parallel_for")
    return address


launch = _launcher.launch
alone = _launcher.alone


def unavailable() -> str | None:
    """Why Numba cannot compile for CPU threads here, or None; starts nothing."""
    if numba.config.DISABLE_JIT:
        return "Numba compiles nothing where NUMBA_DISABLE_JIT is set; unset it"
    asked = str(numba.config.THREADING_LAYER).lower()
    if _layer() is not None or asked in _ALWAYS_LOADED:
        return None
    missing = []
    for layer in _LAYERS.get(asked, ()):
        try:
            if layer == "tbb":
                numba_threads._check_tbb_version_compatible()
            importlib.import_module(f"numba.np.ufunc.{layer}pool")
        except ImportError as error:
            missing.append(f"{layer}: {error}")
        else:
            return None
    if not missing:
        accepted = ", ".join((*_ALWAYS_LOADED, *_LAYERS))
        return f"NUMBA_THREADING_LAYER is {asked!r}; accepted are {accepted}"
    return (
        f"no threading layer can be loaded where NUMBA_THREADING_LAYER is {asked!r} "
        f"({'; '.join(missing)}); install one, as by pip install tbb, or unset it"
    )
