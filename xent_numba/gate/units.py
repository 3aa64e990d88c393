"""What a unit says of a value: whether it is a clock's, and which direction is better."""

from __future__ import annotations

import re

_TIME = re.compile(
    r"(time|days?|h|hrs?|hours?|min|mins|minutes?|s|secs?|seconds?"
    r"|[munpµμ]s|[mun]secs?|(milli|micro|nano|pico)(secs?|seconds?))$"
)
_RATE = re.compile(r"([kmgt]?hz|hertz|[kmgt]?bps|fps|qps|rps|tps|iops|[kmgtp]flops|throughput)$")
_SAYS = re.compile(r"\b(lower|higher|less|more) is better\b")


def by_clock(unit: str) -> bool:
    """Whether values in a unit are times or rates, of which no two measurements agree.

    Parameters
    ----------
    unit : str
        As a benchmark gives it: ``"s"``, ``"Seconds (lower is better)"``, ``"MB/s"``.
    """
    value, per = _parts(unit)
    return bool(_TIME.match(value) or _RATE.match(value) or _TIME.match(per))


def better(unit: str) -> str:
    """Which values in a unit are better: what it says itself, higher if a rate, else lower.

    Parameters
    ----------
    unit : str
        As a benchmark gives it.

    Returns
    -------
    {"lower", "higher"}
        The direction.
    """
    if said := _SAYS.search(unit.lower()):
        return "higher" if said[1] in ("higher", "more") else "lower"
    value, per = _parts(unit)
    is_rate = bool(_RATE.match(value) or _TIME.match(per)) and not _TIME.match(value)
    return "higher" if is_rate else "lower"


def plain(unit: str) -> str:
    """Return a unit without what stands in brackets, which is a remark."""
    return " ".join(re.sub(r"\(.*?\)|\[.*?\]", " ", unit).split())


def _parts(unit: str) -> tuple[str, str]:
    """Last word of what is measured, and what it is per."""
    value, *per = re.split(r"/|\bper\b", plain(unit.lower()), maxsplit=1)
    return (value.split() or [""])[-1], "".join(per).strip()
