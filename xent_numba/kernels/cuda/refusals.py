"""What is said where the CUDA driver, or a library on it, refuses a call."""

from __future__ import annotations

OUT_OF_MEMORY = 2
_CAPTURING = range(900, 908)
_DEAD = (214, 220, 700, 702, 709, 710, 714, 715, 716, 717, 718, 719)
"""Errors, such as an illegal address, with which a context answers every call from then on."""


def no_room(free: int, total: int) -> MemoryError:
    """Return the error for a device with so many bytes free, of so many."""
    return MemoryError(
        f"the device has {free:,} of its {total:,} bytes free, too few for the arrays of this "
        "call; accepted are smaller ones, or the samples in parts"
    )


def refusal(number: int, name: str) -> RuntimeError:
    """Return the error for another answer of the driver's than success, by its number and name."""
    if number in _DEAD:
        return RuntimeError(
            f"the GPU stopped at an error of this or an earlier call ({name}), after which nothing "
            "runs on it in this process; restart the process"
        )
    if number in _CAPTURING:
        return RuntimeError(
            f"the stream is being captured in a CUDA graph ({name}), and this call waits for it; "
            "accepted are calls with out= on the device, which do not"
        )
    return RuntimeError(f"the CUDA driver refuses this call ({name})")


def is_no_room(error: Exception) -> bool:
    """Whether a library's error says that memory has run out; those of all have no common class."""
    return "out of memory" in str(error).lower().replace("_", " ")
