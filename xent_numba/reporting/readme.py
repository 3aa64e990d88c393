"""The parts of the README, and of other pages, that are measured, each between two marks."""

from __future__ import annotations

from xent_numba.errors import ResultFileError
from xent_numba.reporting import headline, study, tables
from xent_numba.reporting.sources import Sources
from xent_numba.results import table

BEGIN, END = "<!-- `xent-numba report --readme` writes {} -->", "<!-- to here -->"


def updated(text: str, sources: Sources) -> str:
    """Return a text with the results between its marks.

    Parameters
    ----------
    text : str
        Of the README, or of any file with its marks.
    sources : Sources
        Runs of the suite, with that of all operations.

    Raises
    ------
    ResultFileError
        If a mark or a run is missing.
    """
    if not sources.studies:
        raise ResultFileError("`xent-numba accuracy` was not measured")
    errors = "\n".join(study.summary(sources.studies[0], gradients=False))
    marked = [name for name in ("results", "accuracy") if BEGIN.format(name) in text]
    if not marked:
        raise ResultFileError(f"the page has no mark {BEGIN.format('results')!r}")
    for name in marked:
        before, begin, rest = text.partition(BEGIN.format(name))
        _, end, after = rest.partition(END)
        if not end:
            raise ResultFileError(f"the mark {begin!r} has no end: {END!r}")
        part = errors if name == "accuracy" else _results(sources)
        text = f"{before}{begin}\n\n{part}\n\n{end}{after}"
    return text


def _results(sources: Sources) -> str:
    """The headline table, how to read it, and where it was measured."""
    if "operations" not in sources.runs:
        raise ResultFileError("`xent-numba compare --suite operations` was not measured")
    run = sources.runs["operations"]
    samples = next(case.size for case, _ in run.content.cases() if case.dtype == "float32")
    text = (
        f"How many times as long each takes as `{run.content.control}`, with 95 % intervals: "
        f"float32, {samples:,} samples, losses summed, {run.content.settings['threads']} threads. "
        "*Same*: this run cannot tell them apart. WRONG: it disagreed with the oracle and gets no "
        "time."
    )
    parts = [headline.markdown(sources), text, tables.resolution_text(run.content)]
    return "\n\n".join([*parts, table.prose(tables.provenance(run))])
