"""Inputs and outputs that end where memory ends, or begin there: nothing beyond is touched.

The page before and the page after may not be read or written. A process that does is killed.
"""

import ctypes
import mmap
from itertools import product

import numpy as np
from trial import DTYPES, inputs, report, told

import xent_numba
from xent_numba.operations import OPERATIONS

PAGE = mmap.PAGESIZE
ROOM = 40 * PAGE
"""Bytes between the guards, enough for the largest array."""
EDGES = [edge + near for edge in (512, 1024, 2048, 16_384) for near in (-1, 0, 1)]
SIZES = [*range(71), *EDGES]
FILL = 0xA5
_libc = ctypes.CDLL(None, use_errno=True)


class Guarded:
    """Memory between two guards."""

    def __init__(self) -> None:
        self.memory = np.frombuffer(mmap.mmap(-1, ROOM + 2 * PAGE), np.uint8)
        start = self.memory.ctypes.data
        for guard in (start, start + PAGE + ROOM):
            if _libc.mprotect(ctypes.c_void_p(guard), PAGE, mmap.PROT_READ & 0):
                raise OSError(ctypes.get_errno(), "mprotect")
        self.room = self.memory[PAGE : PAGE + ROOM]
        self.room[:] = FILL

    def place(self, size: int, dtype: type, at_end: bool, offset: int) -> np.ndarray:
        """An array some bytes from one of the guards."""
        length = size * np.dtype(dtype).itemsize
        start = ROOM - length - offset if at_end else offset
        self.room[:] = FILL
        self.used = slice(start, start + length)
        return self.room[self.used].view(dtype)

    def copy(self, array: np.ndarray, at_end: bool, offset: int) -> np.ndarray:
        placed = self.place(array.size, array.dtype.type, at_end, offset)
        placed[:] = array
        return placed

    def untouched(self) -> bool:
        before, after = self.room[: self.used.start], self.room[self.used.stop :]
        return bool((before == FILL).all() and (after == FILL).all())


def main() -> None:
    offsets, dtypes = told()
    guarded = [Guarded() for _ in range(5)]
    rng = np.random.default_rng(0)
    trials = wrong = 0
    places = product(SIZES, DTYPES[:dtypes], OPERATIONS.values(), (False, True), range(offsets))
    for size, dtype, operation, at_end, offset in places:
        arrays = inputs(operation, size, dtype, rng)
        reduction = ("none", "sum")[offset % 2]
        options = [{}] if len(arrays) == 1 else [{"reduction": reduction}]
        if len(arrays) > 1 and offset % 3 == 0:
            options.append({"reduction": reduction, "sample_weight": arrays[2]})
        function = getattr(xent_numba, operation.name)
        for option in options:
            right = function(*arrays[:2], **option)
            # One item from the guard, two, ...; and between items, as an array may lie.
            step = offset * np.dtype(dtype).itemsize if offset % 4 != 3 else offset
            first, *rest = (
                memory.copy(array, at_end, step if array.itemsize > 1 else offset)
                for memory, array in zip(guarded, arrays, strict=False)
            )
            here = dict(option)
            if "sample_weight" in here:
                here["sample_weight"] = rest[1]
            used = list(guarded[: len(arrays)])
            if option.get("reduction", "none") == "none":
                here["out"] = guarded[3].place(size, dtype, at_end, step)
                used.append(guarded[3])
            if operation.gradient:
                here["grad_out"] = guarded[4].place(size, dtype, at_end, step)
                used.append(guarded[4])
            given = function(first, *rest[:1], **here)
            pair = (given, right) if operation.gradient else ((given,), (right,))
            same, there = ([np.asarray(a).tobytes() for a in results] for results in pair)
            wrong += not (same == there and all(memory.untouched() for memory in used))
            trials += 1
    report(trials=trials, wrong=wrong)


main()
