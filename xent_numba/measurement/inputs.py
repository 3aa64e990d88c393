"""The inputs of a case, drawn once and laid where every worker reads the same bytes."""

from __future__ import annotations

import mmap
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from multiprocessing import resource_tracker
from multiprocessing.shared_memory import SharedMemory
from typing import Any, NamedTuple

import numpy as np
from numpy import ndarray


class Place(NamedTuple):
    """Where an array lies.

    Attributes
    ----------
    name : str
        Name of the shared memory.
    dtype : str
        Of its elements.
    size : int
        Number of its elements.
    """

    name: str
    dtype: str
    size: int


class Laid(NamedTuple):
    """Arrays in shared memory, as who laid them there sees them.

    Attributes
    ----------
    places : tuple of Place
        Where they lie.
    arrays : tuple of ndarray
        The arrays, which can be written to.
    """

    places: tuple[Place, ...]
    arrays: tuple[ndarray, ...]


@contextmanager
def shared(arrays: Sequence[ndarray]) -> Iterator[Laid]:
    """Lay arrays into shared memory; it is gone when the context is left.

    A worker that still reads them may go on: the system frees the memory after the last.
    """
    blocks: list[SharedMemory] = []
    laid: list[ndarray] = []
    places = []
    try:
        for array in arrays:
            block = SharedMemory(create=True, size=max(1, array.nbytes))
            blocks.append(block)
            _prefer_huge_pages(block)
            laid.append(np.ndarray(array.size, array.dtype, block.buf))
            laid[-1][:] = array
            places.append(Place(block.name, str(array.dtype), array.size))
        yield Laid(tuple(places), tuple(laid))
    finally:
        laid.clear()
        for block in blocks:
            block.close()
            block.unlink()


class Attached:
    """The arrays of a case as a worker sees them, read-only.

    Parameters
    ----------
    places : sequence of Place
        Where they lie.
    """

    def __init__(self, places: Sequence[Place]) -> None:
        self._blocks = [_attach(place) for place in places]
        arrays = []
        for block, place in zip(self._blocks, places, strict=True):
            # Unlike an ndarray on the buffer, this keeps it from being unmapped beneath it.
            buffer = block if isinstance(block, mmap.mmap) else block.buf
            assert buffer is not None  # until it is closed
            array: ndarray = np.frombuffer(buffer, place.dtype, place.size)
            array.flags.writeable = False
            arrays.append(array)
        self.arrays = tuple(arrays)

    def close(self) -> None:
        """Let go of the memory; whoever still holds an array keeps it alive."""
        self.arrays = ()
        for block in self._blocks:
            with suppress(BufferError):
                block.close()


def _attach(place: Place) -> SharedMemory | mmap.mmap:
    """Attach without being tracked: the worker's tracker would remove what is not the worker's.

    Where the memory has a file, its pages cannot be written to, by whatever means.
    """
    name = place.name
    with suppress(OSError), open(f"/dev/shm/{name}", "rb") as file:  # noqa: PTH123, S108
        return mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    if sys.version_info >= (3, 13):
        return SharedMemory(name, track=False)
    register = resource_tracker.register
    resource_tracker.register = lambda name, rtype: None
    try:
        return SharedMemory(name)
    finally:
        resource_tracker.register = register


def _prefer_huge_pages(block: SharedMemory) -> None:
    """Ask for what NumPy asks for its own large arrays, where the system can give it."""
    memory: Any = getattr(block, "_mmap", None)
    advice = getattr(mmap, "MADV_HUGEPAGE", None)
    if memory is not None and advice is not None:
        with suppress(OSError):
            memory.madvise(advice)
