"""An outcome for people: on the terminal, as Markdown, and as annotations of GitHub Actions."""

from __future__ import annotations

from collections.abc import Iterator

from rich.console import Console
from rich.markup import escape

from xent_numba.gate.decision import POWER, PROMISE, Verdict
from xent_numba.gate.exact import Value
from xent_numba.gate.outcome import Outcome, Timing
from xent_numba.measurement.idle import LOADED

_COLOURS: dict[str, str] = {
    Verdict.SLOWER: "bold red",
    Verdict.FASTER: "green",
    Verdict.SAME: "default",
    Verdict.INCONCLUSIVE: "yellow",
    Verdict.WORSE: "bold red",
    Verdict.BETTER: "green",
    Verdict.EQUAL: "default",
}
_UNITS = (("s", 1.0), ("ms", 1e-3), ("us", 1e-6), ("ns", 1e-9))


def show(outcome: Outcome, console: Console) -> None:
    """Print two lines for each benchmark, what is concluded and its name, and the notes."""
    for line in _head(outcome):
        console.print(escape(line), soft_wrap=True)
    console.print()
    columns, rows = _cells(outcome)
    widths = [max(map(len, column)) for column in zip(columns, *rows, strict=True)]
    for row in (columns, *rows):
        name, *figures, verdict = row
        cells = "  ".join(f"{c:>{w}}" for c, w in zip(figures, widths[1:-1], strict=True))
        colour = _COLOURS.get(verdict, "bold")
        console.print(f"[{colour}]{verdict:<{widths[-1]}}[/]  {escape(cells)}", soft_wrap=True)
        console.print(f"  {escape(name)}", soft_wrap=True)
    console.print()
    for line in _notes(outcome):
        console.print(escape(line), soft_wrap=True)


def markdown(outcome: Outcome) -> str:
    """Render the tables and the notes."""
    columns, rows = _cells(outcome)
    lines = [
        *_head(outcome),
        "",
        "| " + " | ".join(columns) + " |",
        "|" + "---|" + "---:|" * (len(columns) - 2) + "---|",
        *("| " + " | ".join([f"`{row[0]}`", *row[1:]]).strip() + " |" for row in rows),
        "",
        *(f"- {line}" for line in _notes(outcome)),
    ]
    return "\n".join(lines) + "\n"


def workflow_commands(outcome: Outcome) -> list[str]:
    """Workflow commands: an error for a regression, a warning for what could not be compared."""
    lines = []
    for timing in outcome.timings:
        text = f"{timing.benchmark}: {_change(timing)} {_interval(timing)}"
        if timing.finding.verdict is Verdict.SLOWER:
            lines.append(_annotation("error", "slower", text))
        elif timing.finding.verdict is Verdict.INCONCLUSIVE:
            lines.append(_annotation("warning", "inconclusive", text))
        elif timing.finding.verdict is Verdict.FASTER:
            lines.append(_annotation("notice", "faster", text))
    for value in outcome.values:
        text = f"{value.benchmark}: {_number(value.baseline)} -> {_number(value.candidate)}"
        if value.verdict is Verdict.WORSE:
            lines.append(_annotation("error", "worse", f"{text} {value.unit}"))
        elif value.verdict is Verdict.BETTER:
            lines.append(_annotation("notice", "better", f"{text} {value.unit}"))
    for name, reason in outcome.left_out.items():
        if "could not" in reason:
            lines.append(_annotation("warning", "not compared", f"{name}: {reason}"))
    return lines


def _head(outcome: Outcome) -> Iterator[str]:
    sides = outcome.sides
    named = [f"{sides[s]['revision']} ({sides[s]['commit'][:10]})" for s in sides]
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


def _cells(outcome: Outcome) -> tuple[list[str], list[list[str]]]:
    if outcome.exact:
        shown = [v for v in outcome.values if v.verdict is not Verdict.EQUAL]
        return (
            ["benchmark", "baseline", "candidate", "unit", "verdict"],
            [_value_cells(v) for v in shown],
        )
    return (
        ["benchmark", "baseline", "candidate", "change", "interval", "detectable", "verdict"],
        [_timing_cells(t) for t in outcome.timings],
    )


def _timing_cells(timing: Timing) -> list[str]:
    return [
        timing.benchmark,
        _time(timing.baseline),
        _time(timing.candidate),
        _change(timing),
        _interval(timing),
        f"{timing.finding.detectable:.1%}",
        timing.finding.verdict,
    ]


def _value_cells(value: Value) -> list[str]:
    cells = [_number(value.baseline), _number(value.candidate), value.unit, value.verdict]
    return [value.benchmark, *cells]


def _notes(outcome: Outcome) -> Iterator[str]:
    if outcome.exact:
        verdicts = [value.verdict for value in outcome.values]
        kinds = (Verdict.WORSE, Verdict.BETTER, Verdict.EQUAL)
        yield ", ".join(f"{verdicts.count(kind)} {kind}" for kind in kinds)
    else:
        verdicts = [timing.finding.verdict for timing in outcome.timings]
        yield ", ".join(f"{verdicts.count(v)} {v}" for v in Verdict if v in verdicts)
        yield (
            f"detectable: the slowdown that {POWER:.0%} of such runs would find; interval: at the "
            "level that is left after the correction for many benchmarks"
        )
    neither = 0
    for name, reason in outcome.left_out.items():
        if reason.count("does not apply") == 2:
            neither += 1
        else:
            yield f"not compared: {name}: {reason}"
    if neither:
        yield f"{neither} benchmarks apply to neither side"
    for package, versions in outcome.packages.items():
        yield (
            f"the sides differ in {package}: {versions['baseline']} against {versions['candidate']}"
        )
    if (busy := [share for share in outcome.others if share > LOADED]) and outcome.others:
        yield (
            f"other programs used up to {max(busy):.0%} of the CPUs, and more than {LOADED:.0%} "
            f"during {len(busy)} of {len(outcome.others)} pairs"
        )


def _annotation(kind: str, title: str, text: str) -> str:
    # https://github.com/actions/toolkit/blob/main/packages/core/src/command.ts
    for character, code in (("%", "%25"), ("\r", "%0D"), ("\n", "%0A")):
        text = text.replace(character, code)
    return f"::{kind} title={title}::{text}"


def _change(timing: Timing) -> str:
    return f"{timing.finding.ratio.value - 1:+.1%}"


def _interval(timing: Timing) -> str:
    return f"[{timing.finding.ratio.low - 1:+.1%}, {timing.finding.ratio.high - 1:+.1%}]"


def _time(seconds: float) -> str:
    name, unit = next((x for x in _UNITS if seconds >= x[1]), _UNITS[-1])
    return f"{seconds / unit:.3g} {name}"


def _number(value: float | None) -> str:
    return "none" if value is None else f"{value:.6g}"
