"""What `measure_gate` plants in a commit: code that is added below a module of the kernels.

It uses the module's public names and puts others in their place before anything imports them, so
that a plant holds whatever the code above it looks like.
"""

from __future__ import annotations

import subprocess

from xent_numba.gate.revisions import Repository

_KERNELS = "xent_numba/kernels/cpu"
_COEFFICIENTS, _EXP = f"{_KERNELS}/coefficients.py", f"{_KERNELS}/exp.py"

_SLOWER = """
_once = sigmoids


@exact
def sigmoids(scores, out, work):
    _once(scores, out, work)
    again = scores.size * {percent} // 100
    _once(window(scores, 0, again), window(out, 0, again), work)
"""
_DOUBLE = """
from xent_numba.kernels.cpu.lanes import to_float32, to_float64

_exp_sum = exp_sum_by_table


@inlined
def exp_sum_by_table(x):
    high, low = _exp_sum(to_float64(x))
    if _constants(x).lowest == -746.0:
        return high, low
    return to_float32(high), to_float32(low)
"""
_WITHOUT_LOW = """
_exp_sum = exp_sum_by_table


@inlined
def exp_sum_by_table(x):
    high, _ = _exp_sum(x)
    return high, high - high
"""
_WITHOUT_CORRECTION = """
_one = by_precision(np.float32(1.0), 1.0)


@exact
def sigmoid_from_exp(mirrored, e, low):
    quotient = e / (_one(e) + e)
    return select(mirrored, _one(e) - quotient, quotient)
"""

SLOWDOWNS = {
    f"{percent} %": (f"{_KERNELS}/passes.py", _SLOWER.format(percent=percent))
    for percent in (3, 5, 10)
}
SLOWED = "3, 5 or 10 % of each block are gone over once more"
"""How, in words."""

LOSSES = {
    "one more polynomial term": (
        _COEFFICIENTS,
        "EXP_SIXTEENTH_FLOAT32 = (*EXP_SIXTEENTH_FLOAT32, 1 / 24)\n",
    ),
    # Not said at all, it would be taken over from the caller.
    "a lost error_model": (
        f"{_KERNELS}/bits.py",
        'EXACT = EXACT | {"error_model": "python"}\n',
    ),
    "a float64 literal": (_EXP, _DOUBLE),
    **{
        f"{name}, a term less": (_COEFFICIENTS, f"{constant} = {constant}[:-1]\n")
        for name, constant in (
            ("exp in float32", "EXP_SIXTEENTH_FLOAT32"),
            ("exp in float64", "EXP_SIXTEENTH_FLOAT64"),
            ("log1p in float32", "LOG1P_FLOAT32"),
            ("log1p in float64", "LOG1P_FLOAT64"),
        )
    },
    "exp without its low part": (_EXP, _WITHOUT_LOW),
    "a quotient without its correction": (f"{_KERNELS}/losses.py", _WITHOUT_CORRECTION),
}
"""What is lost, and how."""

PLANTS = SLOWDOWNS | LOSSES


def commit(repository: Repository, head: str, kind: str) -> str:
    """Commit a plant to no branch.

    Parameters
    ----------
    repository : Repository
        What it is planted in.
    head : str
        Hash of the commit that gets it.
    kind : str
        Name of the plant.

    Returns
    -------
    str
        Hash of the new commit.
    """
    path, addition = PLANTS[kind]
    done = subprocess.run(
        ["git", "show", f"{head}:{path}"],  # noqa: S607
        cwd=repository.top,
        capture_output=True,
        text=True,
        check=True,
    )
    return repository.planted(head, path, f"{done.stdout}\n{addition}")
