"""A comparison as tables: for the terminal, in Markdown, and as CSV."""

from __future__ import annotations

import dataclasses
import statistics
from collections.abc import Iterator, Mapping, Sequence
from html import escape
from typing import Any

from rich.console import Console

from xent_numba.measurement.case import Case
from xent_numba.measurement.comparison import Comparison, Row
from xent_numba.measurement.participant import AGAIN, LIMITS
from xent_numba.measurement.statistics import CONFIDENCE, Interval
from xent_numba.results import table
from xent_numba.results.store import Stored
from xent_numba.results.table import Table

#: An interval that holds 1 and is wider than this says nothing.
INCONCLUSIVE_WIDTH = 0.1

#: A resolution beyond which nothing is compared.
UNRESOLVED = 0.2

#: What other processes may use of the CPUs without a warning.
BUSY_PERCENT = 10.0

_STYLE = {"wrong": "bold red", "crashed": "bold red", "unavailable": "dim", "n/a": "dim"}
_UNITS = (("s", 1.0), ("ms", 1e-3), ("µs", 1e-6), ("ns", 1e-9))


HEADERS = ("implementation", "status", "ULP", "time", "ns/elem", "GB/s", "limit", "speed-up")


def ranked(rows: Sequence[Row]) -> list[Row]:
    """Return the rows, the fastest first and what was not measured last."""
    return sorted(rows, key=lambda row: row.seconds.value if row.seconds else float("inf"))


def status(row: Row) -> str:
    """Word for what became of a row; what is wrong is said aloud."""
    said = row.preparation.status
    return "WRONG" if said == "wrong" else said


def cells(row: Row, baseline: str, resolution: Interval | None) -> tuple[str, ...]:
    """Text of the columns; what was not measured is empty.

    Parameters
    ----------
    row : Row
        What was measured.
    baseline : str
        Label of the row that others are compared with.
    resolution : Interval or None
        The A/A ratio of the case.
    """
    share = row.limit_share
    return (
        row.implementation,
        "" if row.implementation in LIMITS else status(row),
        _short(_max_ulp(row)),
        "" if row.seconds is None else f"{_time(row.seconds.value)} {_spread(row.seconds)}",
        _short(row.ns_per_element),
        _short(row.gigabytes_per_second),
        "" if share is None else f"{share.value:.0%}",
        "baseline"
        if row.implementation == baseline and row.seconds
        else ratio(row.speedup, resolution),
    )


def title(case: Case) -> str:
    """One line that says what was measured."""
    parts = [_reduced(case), f"{case.workload}, {case.size:,} {case.dtype}"]
    if case.label_dtype is not None:
        parts.append(f"labels {case.label_dtype}")
    return ", ".join(parts)


def _reduced(case: Case) -> str:
    if case.label_dtype is None:
        return case.operation
    return f"{case.operation} ({'per sample' if case.reduction == 'none' else case.reduction})"


def overview(comparison: Comparison) -> Table | None:
    """Return the time of the A/A control, and how many times it others take; None for one case."""
    found: dict[str, dict[str, str]] = {}
    for case, rows in comparison.cases():
        kind = f"{_reduced(case)}, {case.workload}"
        if case.label_dtype not in (None, case.dtype):
            kind += f", labels {case.label_dtype}"
        found.setdefault(kind, {})[f"{case.dtype}, {case.size:,}"] = _at_a_glance(
            comparison, case, {row.implementation: row for row in ranked(rows) if row.seconds}
        )
    columns = dict.fromkeys(column for cells in found.values() for column in cells)
    if len(found) * len(columns) == 1 or not comparison.control:
        return None
    return Table(
        ["", *columns],
        [[kind, *(cells.get(column) for column in columns)] for kind, cells in found.items()],
        title=f"{comparison.control}: its time; as how many times it {comparison.baseline} takes, "
        "and the fastest of the others",
    )


def _at_a_glance(comparison: Comparison, case: Case, timed: Mapping[str, Row]) -> str:
    """Say it of a case, whose rows with a time are given, the fastest first."""
    own, baseline = comparison.control, comparison.baseline
    if own not in timed:
        return ""
    seconds = timed[own].seconds
    parts = [_time(seconds.value)] if seconds else []
    nobody = {own, own + AGAIN, baseline, *LIMITS}
    for name in [baseline, *(name for name in timed if name not in nobody)][:2]:
        if name in timed and name != own:
            said = ratio(comparison.ratio(case, name, own), comparison.resolution(case))
            parts.append(said if name == baseline else f"{name} {said}")
    return "; ".join(parts)


def notes(comparison: Comparison) -> list[str]:
    """Sentences that a reader of the tables needs: what is wrong, missing, or to be known."""
    found = []
    for case, rows in comparison.cases():
        for row in rows:
            preparation = row.preparation
            if preparation.status in ("partly", "wrong", "crashed"):
                found.append(
                    f"{row.implementation}, {case.operation} {case.dtype} on {case.workload}: "
                    f"{status(row)}: {preparation.reason}.{_called(comparison, row)}"
                )
            for other, turns in row.disturbed_by.items():
                found.append(
                    f"{row.implementation}, {case.operation} {case.dtype}: {other} had not come to "
                    f"rest before {turns} of its {len(row.rounds)} turns."
                )
    for name, reason in dict.fromkeys(
        (row.implementation, row.preparation.reason)
        for row in comparison.rows
        if row.preparation.status == "unavailable"
    ):
        found.append(f"{name}: unavailable: {reason}.")
    if left := comparison.unreached:
        named = (f"{x.operation} {x.dtype}, {x.size:,} samples of {x.workload}" for x in left)
        needed = comparison.settings.get("seconds_for_all", 0)
        found.append(
            f"{len(left)} cases were not reached, or not in all processes, within the budget of "
            f"{comparison.settings['budget']:g} s: {'; '.join(named)}. All take about "
            f"{needed:.0f} s."
        )
    if several := no_comparison(comparison):
        found.append(
            f"{len(several)} of the tables are NO COMPARISON: {comparison.control}, entered twice, "
            f"differed from itself by more than {UNRESOLVED:.0%}. Their times are those of a busy "
            "machine."
        )
    others = comparison.activity["others_percent"]
    if others > BUSY_PERCENT:
        found.append(f"The machine was busy: other processes used {others:.0f}% of its CPUs.")
    return found


def _called(comparison: Comparison, row: Row) -> str:
    """Say which function of which version that was, and where its fault is known."""
    called = comparison.calls.get(row.implementation.partition("@")[0], {})
    said = called.get(row.case.operation)
    return f" It calls {said.removesuffix('.')}." if said else ""


def legend(run: Stored[Comparison]) -> list[str]:
    """Say how to read the tables, and where and how they were made."""
    return [
        f"Times are medians with {CONFIDENCE:.0%} bootstrap intervals. speed-up: the time of "
        f"{run.content.baseline} divided by the row's, round by round; same: the interval holds 1, "
        "or the ratio is within the resolution; unresolved: the resolution is too coarse to say. "
        "limit: share of the memory limit, the same bytes "
        "moved without arithmetic: a copy where results are written, a dot product where they are "
        "summed, and on a GPU a copy by its driver. Rows of a GPU are timed by its events, from a "
        "cold cache, with their arrays on it.",
        resolution_text(run.content),
        provenance(run),
    ]


def doubtful(comparison: Comparison) -> bool:
    """Whether the one that was entered twice differs from itself."""
    overall = comparison.overall
    return overall is not None and not overall.contains(1.0)


def resolution_text(comparison: Comparison) -> str:
    """What the one that was entered twice says of the run."""
    overall = comparison.overall
    if overall is None:
        return "No implementation was entered twice, so the resolution of this run is not known."
    found = [comparison.resolution(case) for case, _ in comparison.cases()]
    known = [interval for interval in found if interval is not None]
    held = sum(interval.contains(1.0) for interval in known)
    verdict = "does NOT hold 1: doubt this run" if doubtful(comparison) else "holds 1"
    each = sorted(interval.distance_from_one for interval in known)
    return (
        f"A/A: {comparison.control} was entered twice. Against itself it took {overall.value:.3f} "
        f"times as long, interval {overall.low:.3f} to {overall.high:.3f}, which {verdict}; "
        f"of {len(known)} single cases {held} hold it ({held / len(known):.0%}), by intervals of "
        f"{CONFIDENCE:.0%}; each was started {comparison.settings.get('processes', 1)}x. A single "
        f"case tells apart ±{statistics.median(each):.1%} (median), at worst ±{each[-1]:.1%}."
    )


def resolution_note(resolution: Interval | None) -> str:
    """What a case can tell apart; empty where that is not known."""
    if resolution is None:
        return ""
    said = f"resolution ±{resolution.distance_from_one:.1%}"
    return f"NO COMPARISON: {said}" if unresolved(resolution) else said


def unresolved(resolution: Interval | None) -> bool:
    """Whether the same one, entered twice, differs by so much that nothing can be compared."""
    return resolution is not None and resolution.distance_from_one > UNRESOLVED


def no_comparison(comparison: Comparison) -> list[Case]:
    """Cases in which nothing can be compared."""
    return [case for case, _ in comparison.cases() if unresolved(comparison.resolution(case))]


def work(case: Case) -> str:
    """What an element costs at the least: bytes, and the arithmetic of the formula."""
    functions, operations = case.table_entry.arithmetic
    return (
        f"{case.bytes_moved // case.size} bytes, {functions} "
        f"{'function' if functions == 1 else 'functions'} and {operations} operations an element"
    )


def provenance(run: Stored[Comparison]) -> str:
    """Name threads, load, machine, versions, commit, time and command."""
    simd, activity = run.content.numba["simd_bits"], run.content.activity
    return (
        f"{run.content.settings['threads']} threads, {f'{simd} bit' if simd else 'no'} SIMD, load "
        f"{activity['load']:.1f} before, {activity['steal_seconds']:.1f} s stolen by the host; "
        f"{run.provenance}"
    )


def show(run: Stored[Comparison], console: Console) -> None:
    """Print the tables, and what is to be known of them."""
    for case, rows in run.content.cases():
        show_case(case, rows, run.content.baseline, console)
    show_notes(run, console)


def show_case(case: Case, rows: Sequence[Row], baseline: str, console: Console) -> None:
    """Print the table of one case."""
    table.show(_table(case, rows, baseline), console)
    console.print()


def show_notes(run: Stored[Comparison], console: Console) -> None:
    """Print all at a glance, and what is to be known of the tables."""
    if whole := overview(run.content):
        table.show(whole, console)
        console.print()
    for line in notes(run.content) + legend(run):
        console.print(table.printable(line), markup=False, highlight=False)


def markdown(run: Stored[Comparison]) -> str:
    """Return the tables as Markdown."""
    lines = [f"{table.markdown(shown)}\n" for shown in _tables(run.content)]
    lines += [f"- {table.escape(note)}" for note in notes(run.content)]
    return "\n".join([*lines, "", "\n\n".join(map(table.prose, legend(run))), ""])


def html(run: Stored[Comparison]) -> str:
    """Return the tables as a part of a page."""
    said = [*notes(run.content), *legend(run)]
    return "\n".join(
        [*map(table.html, _tables(run.content)), *(f"<p>{escape(line)}</p>" for line in said)]
    )


def as_csv(run: Stored[Comparison]) -> str:
    """Return one line for each row, numbers as they were measured."""
    found = records(run)
    return table.as_csv(Table(list(found[0]), [list(record.values()) for record in found]))


def records(run: Stored[Comparison]) -> list[dict[str, Any]]:
    """Return the rows, each flat."""
    return [_record(row) for row in run.content.rows]


def _tables(comparison: Comparison) -> Iterator[Table]:
    if whole := overview(comparison):
        yield whole
    for case, rows in comparison.cases():
        yield _table(case, rows, comparison.baseline)


def _table(case: Case, rows: Sequence[Row], baseline: str) -> Table:
    resolution = next((r.ratio for r in rows if r.implementation.endswith(AGAIN)), None)
    order = ranked(rows)
    return Table(
        HEADERS,
        [cells(row, baseline, resolution) for row in order],
        right=range(2, len(HEADERS)),
        title=_heading(case, resolution),
        styles=[_style(row) for row in order],
    )


def _style(row: Row) -> str:
    return "italic" if row.implementation in LIMITS else _STYLE.get(row.preparation.status, "")


def _heading(case: Case, resolution: Interval | None) -> str:
    return "; ".join(filter(None, (title(case), work(case), resolution_note(resolution))))


def _record(row: Row) -> dict[str, Any]:
    record = dataclasses.asdict(row.case) | {"implementation": row.implementation}
    record |= dataclasses.asdict(row.preparation)
    for name in ("seconds", "speedup", "limit_share"):
        interval: Interval | None = getattr(row, name)
        value, low, high = interval or (None, None, None)
        record |= {name: value, f"{name}_low": low, f"{name}_high": high}
    return record | {
        "ns_per_element": row.ns_per_element,
        "gigabytes_per_second": row.gigabytes_per_second,
        "rounds": len(row.rounds),
    }


def _max_ulp(row: Row) -> float | None:
    errors = (row.preparation.max_ulp, row.preparation.max_ulp_gradient)
    return max((error for error in errors if error is not None), default=None)


def _short(value: float | None) -> str:
    """Three digits, and an exponent only where they do not reach."""
    if value is None:
        return ""
    if value != 0 and not 1e-3 <= value < 1e5:
        return f"{value:.1e}".replace("e+0", "e").replace("e-0", "e-").replace("e+", "e")
    return f"{value:.0f}" if value >= 100 else f"{value:.3g}"


def _time(seconds: float) -> str:
    unit, size = next((one for one in _UNITS if seconds >= one[1]), _UNITS[-1])
    return f"{_short(seconds / size)} {unit}"


def _spread(interval: Interval) -> str:
    """Distance of the farther end of the interval from the median."""
    far = max(interval.high - interval.value, interval.value - interval.low) / interval.value
    return f"±{far:.1%}" if far < 0.1 else f"±{far:.0%}"


def ratio(interval: Interval | None, resolution: Interval | None) -> str:
    """Text of a ratio, or that it is none: within its own interval, or that of the A/A row."""
    if interval is None:
        return ""
    if unresolved(resolution):
        return "unresolved"
    if resolution is not None and abs(interval.value - 1) <= resolution.distance_from_one:
        return "same"
    if interval.contains(1.0):
        return "same" if interval.relative_width <= INCONCLUSIVE_WIDTH else "inconclusive"
    return f"{_short(interval.value)} {_spread(interval)}"
