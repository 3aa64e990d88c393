"""What a pass over device memory is: which samples a lane takes, what is read, and what is stored.

Nothing here needs Numba: where a kernel is on disk already, a call goes without the compiler.

An array is cut into tiles, and tiles in a row make a chunk. In a tile every one of the lanes has
the same number of samples, in groups of neighbours that the lanes take in turn, so that a warp
reads memory from end to end.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Literal

import numpy as np

SIMULATED = os.environ.get("NUMBA_ENABLE_CUDASIM", "0") not in ("", "0")
"""Whether kernels run in Numba's simulator, on host memory."""
VECTOR_BYTES = 16
"""What one instruction moves at most."""

ROWS = 5
"""Of the table of partial results, which has a column for each chunk; and of the totals."""
SUM, ERROR, WEIGHT_SUM, WEIGHT_ERROR, BAD = map(np.int64, range(ROWS))
"""Which row. To Numba each int is a type, for which functions would be compiled anew."""

Rule = Literal["sum", "mean", "weighted mean"]
RULES: tuple[Rule, ...] = ("sum", "mean", "weighted mean")
"""What becomes of the totals; a kernel is told the place in this list."""

HALVES = ("float16", "bfloat16")


def stored_dtype(number: str) -> np.dtype:
    """Dtype of the elements in which such numbers are stored; of halves, their bits."""
    return np.dtype(np.uint16 if number in HALVES else number)


def computed_dtype(number: str) -> np.dtype:
    """Dtype in which numbers are computed, and results stored; halves are widened to float32."""
    return np.dtype(np.float32 if number in HALVES else number)


@dataclass(frozen=True, slots=True)
class Layout:
    """How samples are dealt out to lanes. It decides the bits of a sum.

    Attributes
    ----------
    lanes : int
        In a chunk, a multiple of `grid.ADDERS`.
    lane_bytes : int
        Bytes of scores of a lane in a tile.
    group_bytes : int
        Bytes of neighbouring scores that a lane takes at once.
    most_chunks : int
        The more chunks, the more evenly they fill a GPU, and the longer it takes to add them up.
    """

    lanes: int = 256
    lane_bytes: int = 4 * VECTOR_BYTES
    group_bytes: int = VECTOR_BYTES
    most_chunks: int = 8192

    def width(self, itemsize: int) -> int:
        """Samples in a group."""
        return max(1, self.group_bytes // itemsize)

    @property
    def groups(self) -> int:
        """Groups of a lane in a tile."""
        return self.lane_bytes // self.group_bytes

    def tile(self, itemsize: int) -> int:
        """Samples in a tile."""
        return self.lanes * self.groups * self.width(itemsize)

    def cut(self, size: int, itemsize: int) -> tuple[int, int]:
        """Tiles in a chunk, and chunks, for an array of this size."""
        tiles = -(-size // self.tile(itemsize))
        in_chunk = -(-tiles // self.most_chunks)
        return in_chunk, -(-tiles // in_chunk)


LAYOUT = Layout()
COLUMNS = LAYOUT.most_chunks
"""Of the table of partial results: no layout has more chunks."""


@dataclass(frozen=True, slots=True)
class Pass:
    """One pass over the samples: what it reads, computes and stores. A kernel is compiled for each.

    Attributes
    ----------
    operation : str
        Name of the operation.
    inputs : tuple of str
        Names of the dtypes of the first argument, the labels and the weights; "" where there are
        none.
    losses, gradients : bool
        Whether they are stored; losses that are not are added up.
    divisor : {"", "size", "sum"}
        What gradients are divided by: nothing, the number of samples, or the sum of the weights.
    strided : int
        Dimensions of the arrays if one has strides; 0 if all are contiguous.
    vector : bool
        Whether groups of samples are moved by vector instructions.
    layout : Layout
        How samples are dealt out.
    """

    operation: str
    inputs: tuple[str, str, str]
    losses: bool = False
    gradients: bool = False
    divisor: str = ""
    strided: int = 0
    vector: bool = True
    layout: Layout = LAYOUT

    @property
    def result(self) -> str:
        """Name of the dtype that is computed in."""
        return str(computed_dtype(self.inputs[0]))

    @property
    def width(self) -> int:
        """Samples in a group."""
        return self.layout.width(stored_dtype(self.inputs[0]).itemsize)

    @property
    def hard(self) -> bool:
        """Whether labels are integers."""
        return "int" in self.inputs[1]

    @property
    def compensated(self) -> bool:
        """Whether what an addition within a lane rounds away is kept, as float64 losses need."""
        return self.inputs[0] == "float64"

    @property
    def weighted(self) -> bool:
        """Whether there are weights."""
        return bool(self.inputs[2])

    @property
    def most_registers(self) -> int | None:
        """How many registers ptxas may give a thread; None leaves it the choice.

        Left to itself it takes few, and loads a group when it has done with another. As many as
        four blocks of 256 threads can have let it load all groups first: there are fewer threads,
        and more bytes on their way. Gradients, float64 and labels as wide take as many anyway.
        """
        wide = any("64" in number for number in self.inputs)
        if wide or self.gradients or self.inputs[0] in HALVES:
            return None
        return 64

    @property
    def dtypes(self) -> tuple[str, str, str]:
        """Names of the dtypes of the three inputs, where what is missing is the first once more."""
        first, labels, weights = self.inputs
        return first, labels or first, weights or first


@dataclass(frozen=True, slots=True)
class Launch:
    """Where and how kernels run; no result depends on it.

    Attributes
    ----------
    stream : int
        Handle; 0 is the default stream.
    blocks, threads : int or None
        Of the grid and of a block, a multiple of 32; None leaves the choice to the size.
    """

    stream: int = 0
    blocks: int | None = None
    threads: int | None = None

    def over(self, chunks: int, work: int, lanes: int) -> tuple[int, int]:
        """Return blocks and threads, for so many chunks, of so many units of work."""
        threads = min(lanes, max(32, 1 << (work - 1).bit_length()))
        return self.blocks or chunks, self.threads or threads
