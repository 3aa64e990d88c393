"""Write the edge cases and their correctly rounded results to files.

    python -m tools.freeze_edge_cases tests/data

One JSON file an operation, numbers as C hexadecimal floats: exact, and read by any language. The
tables hold the oracle still: a test finds a change of mpmath or of the oracle as a difference.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np

from xent_numba.accuracy import oracle
from xent_numba.accuracy.edge_cases import edge_cases
from xent_numba.accuracy.ulp import Truth
from xent_numba.operations import OPERATIONS, Operation

_DTYPES = (np.dtype(np.float32), np.dtype(np.float64))


def table(operation: Operation) -> dict[str, Any]:
    """Edge cases of an operation with their results, ready for JSON.

    Parameters
    ----------
    operation : Operation
        Its hard labels, and where it takes them its soft labels.

    Returns
    -------
    dict
        By dtype, rows of first argument, label (absent for the sigmoid), result, and gradient
        where there is one.
    """
    soft = operation.labels is not None and operation.labels.soft
    return {
        "operation": operation.name,
        "formula": operation.formula,
        "precision_bits": oracle.PRECISION,
        **{
            dtype.name: [row for s in range(1 + soft) for row in _rows(operation, dtype, bool(s))]
            for dtype in _DTYPES
        },
    }


def write(folder: Path) -> None:
    """Write one file an operation into `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    for operation in OPERATIONS.values():
        _path(folder, operation).write_text(_text(table(operation)), encoding="utf-8")


def differing(folder: Path) -> list[str]:
    """Names of the operations whose file is missing or not what `write` would write."""
    return [
        operation.name
        for operation in OPERATIONS.values()
        if not _path(folder, operation).is_file()
        or _path(folder, operation).read_text(encoding="utf-8") != _text(table(operation))
    ]


def read(folder: Path, operation: Operation) -> dict[str, Any]:
    """The file of an operation, its numbers as floats; see `table`."""
    content: dict[str, Any] = json.loads(_path(folder, operation).read_text(encoding="utf-8"))
    for dtype in _DTYPES:
        rows = content[dtype.name]
        content[dtype.name] = [[float.fromhex(number) for number in row] for row in rows]
    return content


def _path(folder: Path, operation: Operation) -> Path:
    return folder / f"edge_{operation.name}.json"


def _rows(operation: Operation, dtype: np.dtype, soft: bool) -> list[list[str]]:
    edge = edge_cases(operation, dtype, soft=soft)
    columns = [array.tolist() for array in edge.arguments]
    evaluations = [oracle.exact, *([oracle.exact_gradient] if operation.gradient else [])]
    for evaluate in evaluations:
        values = [evaluate(operation, *row) for row in edge.rows]
        columns.append(Truth.from_exact(values, dtype).nearest.tolist())
    return [[number.hex() for number in row] for row in zip(*columns, strict=True)]


def _text(content: dict[str, Any]) -> str:
    # One row a line: json's own indentation would spend a line on each number.
    rows = {name: content.pop(name) for name in [dtype.name for dtype in _DTYPES]}
    head = json.dumps(content, indent=1)[:-2]
    tables = (
        f' "{name}": [\n' + ",\n".join(f"  {json.dumps(row)}" for row in rows[name]) + "\n ]"
        for name in rows
    )
    return ",\n".join([head, *tables]) + "\n}\n"


def main() -> None:
    """Run the command."""
    parser = argparse.ArgumentParser(prog="python -m tools.freeze_edge_cases")
    parser.add_argument("folder", type=Path, help="where the tables are, such as tests/data")
    write(parser.parse_args().folder)


if __name__ == "__main__":
    main()
