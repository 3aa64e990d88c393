"""Write the accuracies that the README shows: ``python tools/readme_accuracy.py``.

They are read from ``reports/accuracy/accuracy.json``, which ``xent-numba accuracy`` made. A test
holds the README to what this writes.
"""

from __future__ import annotations

import sys
from pathlib import Path

from xent_numba.accuracy.study import Survey
from xent_numba.reporting.study import summary

ROOT = Path(__file__).parent.parent
REPORT = ROOT / "reports" / "accuracy" / "accuracy.json"
BEGIN, END = "<!-- tools/readme_accuracy.py writes from here -->", "<!-- to here: accuracy -->"


def with_accuracy(readme: str, survey: Survey) -> str:
    """Return the README with the largest errors between its two marks."""
    before, _, rest = readme.partition(BEGIN)
    _, _, after = rest.partition(END)
    table = "\n".join(summary(survey, gradients=False))
    return f"{before}{BEGIN}\n\n{table}\n\n{END}{after}"


def main() -> None:
    """Rewrite the README."""
    readme = ROOT / "README.md"
    survey = Survey.from_json(REPORT.read_text())
    readme.write_text(with_accuracy(readme.read_text(), survey))
    print(f"wrote {len(survey.rows)} rows' accuracy into {readme.name}")  # noqa: T201


if __name__ == "__main__":
    sys.exit(main())
