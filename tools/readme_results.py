"""Write the results that the README shows: ``python tools/readme_results.py``.

They are read from ``reports/compare``, which ``xent-numba compare --suite full`` made. A test holds
the README to what this writes.
"""

from __future__ import annotations

import sys
from pathlib import Path

from xent_numba.reporting import report, tables

ROOT = Path(__file__).parent.parent
BEGIN, END = "<!-- tools/readme_results.py writes from here -->", "<!-- to here -->"


def with_results(readme: str, sources: report.Sources) -> str:
    """Return the README with the results between its two marks."""
    before, _, rest = readme.partition(BEGIN)
    _, _, after = rest.partition(END)
    return f"{before}{BEGIN}\n\n{results(sources)}\n{END}{after}"


def results(sources: report.Sources) -> str:
    """The headline table, how to read it, and where it was measured."""
    run = sources.runs["operations"]
    samples = next(case.size for case, _ in run.cases() if case.dtype == "float32")
    text = (
        f"How many times as long each takes as `{run.control}`, with 95 % intervals: float32, "
        f"{samples:,} samples, losses summed, {run.settings['threads']} threads. *Same*: this run "
        "cannot tell them apart. WRONG: it disagreed with the oracle and gets no time."
    )
    parts = [report.headline_markdown(sources), text, tables.resolution_text(run)]
    return "\n\n".join([*parts, tables.origin(run), ""])


def main() -> None:
    """Rewrite the README."""
    readme = ROOT / "README.md"
    readme.write_text(with_results(readme.read_text(), report.Sources.read(ROOT / "reports")))
    print(f"wrote the results into {readme.name}")  # noqa: T201


if __name__ == "__main__":
    sys.exit(main())
