r"""What a project asks of its benchmarks, in its ``asv.conf.json``.

Three keys, all of them optional, and unknown to asv::

    "gate_better": {"it/s": "higher"},
    "gate_thresholds": {"io\\.": 0.1},
    "gate_accepted": [{"benchmark": "sort\\.", "up_to": 0.3, "reason": "it is stable now"}]

which have values of a unit counted, and say which are better; say what change matters for
benchmarks whose names match a regular expression, the first that does; and accept a change for the
worse, up to a size. What is accepted is committed with what it is about: who reviews sees it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from xent_numba.gate import GateError

BETTER = ("lower", "higher")


@dataclass(frozen=True, slots=True)
class Accepted:
    """A change for the worse that is known.

    Attributes
    ----------
    benchmark : str
        Regular expression, which names of benchmarks match.
    up_to : float
        The largest change that is accepted; 0.3 is 30 %.
    reason : str
        Why.
    """

    benchmark: str
    up_to: float
    reason: str


@dataclass(frozen=True, slots=True)
class Rules:
    """All that is asked.

    Attributes
    ----------
    better : dict of str to str
        By unit, whether lower or higher values are better.
    thresholds : dict of str to float
        By regular expression, the change that matters.
    accepted : list of Accepted
        Changes for the worse that are none.
    """

    better: dict[str, str] = field(default_factory=dict)
    thresholds: dict[str, float] = field(default_factory=dict)
    accepted: list[Accepted] = field(default_factory=list)

    def threshold(self, name: str, default: float) -> float:
        """The change of a benchmark that matters."""
        found = (value for pattern, value in self.thresholds.items() if re.search(pattern, name))
        return next(found, default)

    def accepts(self, name: str, change: float) -> str:
        """Why a change for the worse is accepted, and how large a one; empty if it is not."""
        for one in self.accepted:
            if re.search(one.benchmark, name) and change <= one.up_to:
                return f"up to {one.up_to:+.1%}: {one.reason}"
        return ""


def read(configuration: Any, file: str) -> Rules:
    """Read the keys.

    Parameters
    ----------
    configuration : asv.config.Config
        Has them as attributes.
    file : str
        Its name, for errors.

    Returns
    -------
    Rules
        What they say.

    Raises
    ------
    GateError
        If one says what cannot be.
    """
    better = _mapping(configuration, file, "gate_better")
    for unit, way in better.items():
        if way not in BETTER:
            raise GateError(
                f"gate_better of {file} says {way!r} of the unit {unit!r}; accepted are "
                f"{' and '.join(BETTER)}"
            )
    thresholds = _mapping(configuration, file, "gate_thresholds")
    for pattern, value in thresholds.items():
        _check(file, "gate_thresholds", pattern, value)
    given = getattr(configuration, "gate_accepted", [])
    return Rules(better, thresholds, list(_accepted(given, file)))


def _mapping(configuration: Any, file: str, key: str) -> dict[str, Any]:
    found = getattr(configuration, key, {})
    if not isinstance(found, Mapping):
        raise GateError(f"{key} of {file} is {found!r}; accepted is an object")
    return dict(found)


def _accepted(given: Any, file: str) -> Iterable[Accepted]:
    for one in given if isinstance(given, list) else [given]:
        if not isinstance(one, Mapping) or set(one) != {"benchmark", "up_to", "reason"}:
            raise GateError(
                f"gate_accepted of {file} holds {one!r}; accepted are objects with benchmark, "
                "up_to and reason"
            )
        _check(file, "gate_accepted", one["benchmark"], one["up_to"])
        yield Accepted(one["benchmark"], float(one["up_to"]), str(one["reason"]))


def _check(file: str, key: str, pattern: str, value: Any) -> None:
    try:
        re.compile(pattern)
    except (re.error, TypeError) as error:
        raise GateError(
            f"{key} of {file} names {pattern!r} ({error}); accepted is a regular expression"
        ) from None
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < 1000:
        raise GateError(f"{key} of {file} says {value!r}; accepted is a share, as 0.1 for 10 %")
