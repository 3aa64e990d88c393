"""Write the results that the README shows: ``python docs/readme_results.py``.

They are read from ``reports/compare/flights.json``, which ``xent-numba compare`` made. A test holds
the README to what this writes.
"""

from __future__ import annotations

import sys
from pathlib import Path

from xent_numba.measurement.comparison import Comparison, Row
from xent_numba.measurement.contestant import AGAIN, MEMORY_LIMIT
from xent_numba.reporting import tables

ROOT = Path(__file__).parent.parent
REPORT = ROOT / "reports" / "compare" / "flights.json"
BEGIN, END = "<!-- docs/readme_results.py writes from here -->", "<!-- to here -->"


def with_results(readme: str, comparison: Comparison) -> str:
    """Return the README with the results of a comparison between its two marks."""
    before, _, rest = readme.partition(BEGIN)
    _, _, after = rest.partition(END)
    return f"{before}{BEGIN}\n\n{results(comparison)}\n{END}{after}"


def results(comparison: Comparison) -> str:
    """One line for each implementation, two columns for each operation, all in float32."""
    columns = {case: rows for case, rows in comparison.cases() if case.dtype == "float32"}
    by_name: dict[str, list[Row]] = {}
    for rows in columns.values():
        for row in (row for row in rows if not row.implementation.endswith(AGAIN)):
            by_name.setdefault(row.implementation, []).append(row)
    titles = [title for case in columns for title in (f"`{case.operation}`, ns/element", "max ULP")]
    lines = [_line(["implementation", *titles]), _line(["---", *["---:"] * len(titles)])]
    for name in sorted(by_name, key=lambda name: _slowness(by_name[name])):
        cells = [cell for row in by_name[name] for cell in _cells(row)]
        lines.append(_line([f"*{name}*" if name == MEMORY_LIMIT else f"`{name}`", *cells]))
    case = next(iter(columns))
    text = (
        f"{case.size:,} flights, float32, losses summed, {comparison.settings['threads']} threads. "
        "Times are medians of rounds in which every implementation took a turn; the *memory limit* "
        "moves the same bytes without arithmetic. A row that disagrees with the oracle gets no "
        "time. *partly*: the sum is right, though some single losses are not."
    )
    return "\n".join([*lines, "", text, "", tables.origin(comparison), ""])


def _cells(row: Row) -> tuple[str, str]:
    status = row.preparation.status
    time = {"wrong": "WRONG"}.get(status, status)
    if row.ns_per_element is not None:
        time = f"{row.ns_per_element:.3g}" + (" *partly*" if status == "partly" else "")
    error = row.preparation.max_ulp
    return time, "" if error is None or row.implementation == MEMORY_LIMIT else f"{error:.2g}"


def _slowness(rows: list[Row]) -> float:
    """Place in the table: by the operation that takes longest, what has no time last."""
    return max(float("inf") if r.ns_per_element is None else r.ns_per_element for r in rows)


def _line(cells: list[str]) -> str:
    return f"| {' | '.join(cells)} |"


def main() -> None:
    """Rewrite the README."""
    readme = ROOT / "README.md"
    comparison = Comparison.from_json(REPORT.read_text())
    readme.write_text(with_results(readme.read_text(), comparison))
    print(f"wrote the results of {comparison.started} into {readme.name}")  # noqa: T201


if __name__ == "__main__":
    sys.exit(main())
