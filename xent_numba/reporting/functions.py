"""How far the functions of `vectormath` are from the truth, as a table."""

from __future__ import annotations

from xent_numba.accuracy.functions import FunctionErrors, VectorMath
from xent_numba.reporting.origins import made_by
from xent_numba.results import table
from xent_numba.results.table import Code, Table

HEADERS = (
    "function",
    "dtype",
    "max ULP",
    "at",
    "subnormal",
    "rounded right",
    "wrong inf, NaN or sign",
    "registers",
)


def markdown(found: VectorMath) -> str:
    """Return the errors as a table, with what was searched."""
    searches = dict.fromkeys(f"{row.dtype}: {row.search}" for row in found.rows)
    return table.page(
        "Functions of vectormath",
        (
            "Largest error in ULP, in a loop that Numba compiles for a user; results that are "
            "normal numbers and results that are subnormal are listed apart. *Registers*: the "
            "widest that this loop computes in, in bits, read from its assembly."
        ),
        table.markdown(Table(HEADERS, [_cells(row) for row in found.rows])),
        "Searched:",
        [f"- {search}" for search in searches],
        "Made by",
        made_by(found.runs, [(f"{row.dtype} {row.name}", row.run) for row in found.rows]),
    )


def _cells(row: FunctionErrors) -> list[object]:
    bound = "≥ " * (not row.search.startswith("all 2^32"))
    (error, at), (small, small_at), (wrong, example) = row.normal, row.subnormal, row.wrong
    return [
        Code(row.name),
        row.dtype,
        f"{bound}{error:.4g}",
        f"{float.fromhex(at):.9g}" if at else "",
        f"{bound}{small:.4g}" if small_at else "",
        f"{row.correctly_rounded / max(row.inputs, 1):.2%}",
        f"{wrong:,} (first at {float.fromhex(example):.9g})" if wrong else "0",
        str(row.simd_bits or ""),
    ]
