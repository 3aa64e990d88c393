"""Write the accuracies that the README shows: ``python tools/readme_accuracy.py``.

They are read from ``reports/accuracy/accuracy.json``, which ``xent-numba accuracy`` made. A test
holds the README to what this writes.
"""

from __future__ import annotations

import sys
from pathlib import Path

from xent_numba.accuracy.study import STUDY, Study
from xent_numba.reporting.study import summary
from xent_numba.results import store

ROOT = Path(__file__).parent.parent
REPORT = ROOT / "reports" / "accuracy" / "accuracy.json"
BEGIN, END = "<!-- tools/readme_accuracy.py writes from here -->", "<!-- to here: accuracy -->"


def with_accuracy(readme: str, study: Study) -> str:
    """Return the README with the largest errors between its two marks."""
    before, _, rest = readme.partition(BEGIN)
    _, _, after = rest.partition(END)
    table = "\n".join(summary(study, gradients=False))
    return f"{before}{BEGIN}\n\n{table}\n\n{END}{after}"


def main() -> None:
    """Rewrite the README."""
    readme = ROOT / "README.md"
    study = store.read(REPORT, STUDY).content
    readme.write_text(with_accuracy(readme.read_text(), study))
    print(f"wrote {len(study.rows)} rows' accuracy into {readme.name}")  # noqa: T201


if __name__ == "__main__":
    sys.exit(main())
