"""An outcome for people: on the terminal, as Markdown, and as annotations of GitHub Actions."""

from __future__ import annotations

from collections.abc import Iterator

from rich.console import Console
from rich.markup import escape

from xent_numba.gate import units
from xent_numba.gate.decision import POWER, PROMISE, Verdict
from xent_numba.gate.exact import Value
from xent_numba.gate.outcome import Outcome, Timing
from xent_numba.measurement.idle import LOADED
from xent_numba.results import table
from xent_numba.results.table import Code, Table

#: The colour of a verdict on the terminal, and the kind of its annotation.
_LOOKS: dict[str, tuple[str, str]] = {
    Verdict.SLOWER: ("bold red", "error"),
    Verdict.FASTER: ("green", "notice"),
    Verdict.INCONCLUSIVE: ("yellow", "warning"),
    Verdict.WORSE: ("bold red", "error"),
    Verdict.BETTER: ("green", "notice"),
}
_PLAIN = "default", ""
_UNITS = {
    "s": (("s", 1.0), ("ms", 1e-3), ("us", 1e-6), ("ns", 1e-9)),
    "bytes": (("GB", 1e9), ("MB", 1e6), ("kB", 1e3), ("bytes", 1.0)),
}


def show(outcome: Outcome, console: Console) -> None:
    """Print two lines for each benchmark, what is concluded and its name, and the notes."""
    for line in _head(outcome):
        console.print(escape(table.printable(line)), soft_wrap=True)
    console.print()
    found = _table(outcome)
    texts = [[table.printable(cell) for cell in row] for row in (found.columns, *found.rows)]
    widths = [max(map(len, column)) for column in zip(*texts, strict=True)]
    for name, *figures, verdict in texts:
        cells = "  ".join(f"{c:>{w}}" for c, w in zip(figures, widths[1:-1], strict=True))
        colour, _ = _LOOKS.get(verdict, _PLAIN)
        console.print(f"[{colour}]{verdict:<{widths[-1]}}[/]  {escape(cells)}", soft_wrap=True)
        console.print(f"  {escape(name)}", soft_wrap=True)
    console.print()
    for line in _notes(outcome):
        console.print(escape(table.printable(line)), soft_wrap=True)


def markdown(outcome: Outcome) -> str:
    """Render the tables and the notes."""
    notes = (f"- {table.escape(line)}" for line in _notes(outcome))
    head = map(table.escape, _head(outcome))
    return "\n".join([*head, "", table.markdown(_table(outcome)), "", *notes]) + "\n"


def workflow_commands(outcome: Outcome) -> list[str]:
    """Workflow commands: an error for a regression, a warning for what could not be compared."""
    found = [(t.benchmark, t.finding.verdict, _change(t), _interval(t)) for t in outcome.timings]
    for value in outcome.values:
        figures = f"{_number(value.baseline)} -> {_number(value.candidate)}", value.unit
        found.append((value.benchmark, value.verdict, *figures))
    lines = []
    for name, verdict, *said in found:
        _, kind = _LOOKS.get(verdict, _PLAIN)
        title = verdict.lower()
        if name in outcome.accepted:
            kind, title = "notice", "accepted"
        if kind:
            lines.append(_annotation(kind, title, f"{name}: {' '.join(said)}"))
    return lines + [
        _annotation("warning", "not compared", f"{name}: {reason}")
        for name, reason in outcome.left_out.items()
        if "could not" in reason
    ]


def _head(outcome: Outcome) -> Iterator[str]:
    named = [f"{side.name} ({side.commit[:10]})" for side in outcome.sides.values()]
    yield f"{named[1]} against {named[0]}"
    if outcome.exact:
        yield "counted, not timed: any worsening is a regression"
    elif outcome.timings:
        pairs = max(t.finding.pairs for t in outcome.timings)
        yield (
            f"{pairs} pairs of processes, {outcome.seconds['measuring']:.0f} s; threshold "
            f"{outcome.threshold:.1%}; at most {PROMISE:.0%} of runs without a difference say "
            "FASTER or SLOWER of anything"
        )


def _table(outcome: Outcome) -> Table:
    if outcome.exact:
        columns = ["benchmark", "baseline", "candidate", "unit", "verdict"]
        rows = [_value_cells(v) for v in outcome.values if v.verdict is not Verdict.EQUAL]
    else:
        figures = ["baseline", "candidate", "change", "interval", "detectable"]
        columns = ["benchmark", *figures, "verdict"]
        rows = [_timing_cells(t) for t in outcome.timings]
    return Table(columns, rows, right=range(1, len(columns) - 1))


def _timing_cells(timing: Timing) -> list[str]:
    return [
        Code(timing.benchmark),
        _amount(timing.baseline, timing.unit),
        _amount(timing.candidate, timing.unit),
        _change(timing),
        _interval(timing),
        f"{timing.finding.detectable:.1%}",
        timing.finding.verdict,
    ]


def _value_cells(value: Value) -> list[str]:
    figures = (_number(value.baseline), _number(value.candidate), value.unit)
    return [Code(value.benchmark), *figures, value.verdict]


def _notes(outcome: Outcome) -> Iterator[str]:
    verdicts = [t.finding.verdict for t in outcome.timings] + [v.verdict for v in outcome.values]
    yield ", ".join(f"{verdicts.count(v)} {v}" for v in Verdict if v in verdicts)
    if not outcome.exact:
        yield (
            f"detectable: the slowdown that {POWER:.0%} of such runs would find; interval: at the "
            "level that is left after the correction for many benchmarks"
        )
    for name, reason in outcome.accepted.items():
        yield f"accepted: {name}: {reason}"
    for name, threshold in outcome.thresholds.items():
        yield f"threshold of {name}: {threshold:.1%}"
    yield from _selection(outcome)
    yield from _left_out(outcome)
    for package, versions in outcome.packages.items():
        yield f"the sides differ in {package}: {' against '.join(versions.values())}"
    if busy := [share for share in outcome.others if share > LOADED]:
        yield (
            f"other programs used up to {max(busy):.0%} of the CPUs, and more than {LOADED:.0%} "
            f"during {len(busy)} of {len(outcome.others)} pairs"
        )


def _selection(outcome: Outcome) -> Iterator[str]:
    if outcome.untouched:
        yield f"{len(outcome.untouched)} benchmarks load and open no file that differs: left out"
    for name, reason in outcome.doubts.items():
        yield f"compared in doubt because of {name}: {reason}"


def _left_out(outcome: Outcome) -> Iterator[str]:
    neither = [name for name, why in outcome.left_out.items() if why.count("does not apply") == 2]
    for name, reason in outcome.left_out.items():
        if name not in neither:
            yield f"not compared: {name}: {reason}"
    if neither:
        yield f"{len(neither)} benchmarks apply to neither side"


def _annotation(kind: str, title: str, text: str) -> str:
    # https://github.com/actions/toolkit/blob/main/packages/core/src/command.ts
    for character, code in (("%", "%25"), ("\r", "%0D"), ("\n", "%0A")):
        text = text.replace(character, code)
    return f"::{kind} title={title}::{text}"


def _change(timing: Timing) -> str:
    return f"{timing.finding.ratio.value - 1:+.1%}"


def _interval(timing: Timing) -> str:
    return f"[{timing.finding.ratio.low - 1:+.1%}, {timing.finding.ratio.high - 1:+.1%}]"


def _amount(value: float, unit: str) -> str:
    scale = _UNITS.get(unit)
    if scale is None:
        return f"{value:.4g} {units.plain(unit)}"
    name, unit_size = next((x for x in scale if value >= x[1]), scale[-1])
    return f"{value / unit_size:.3g} {name}"


def _number(value: float | None) -> str:
    return "none" if value is None else f"{value:.6g}"
