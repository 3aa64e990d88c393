"""The two sides of a run, and the benchmarks that both have."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

from xent_numba.gate import GateError, units
from xent_numba.gate.project import Side
from xent_numba.measurement.pool import Pool
from xent_numba.measurement.worker import NotApplicableError, Program, WorkerError

DISCOVERY_SECONDS = 600.0
"""The listing of benchmarks may take this long, or the project's own default if it is longer."""

BASELINE, CANDIDATE = SIDES = ("baseline", "candidate")


@dataclass(frozen=True, slots=True)
class Benchmark:
    """One set of parameters of a benchmark.

    Attributes
    ----------
    name : str
        With the parameters, as asv writes it.
    place : str
        As asv finds it.
    kind : str
        time, track, peak, or empty for anything else.
    unit : str
        Of its values.
    better : str
        Whether lower or higher values are better; empty if it does not say.
    timeout : float
        Seconds that it asks for, its setup included; 0 if it does not say.
    """

    name: str
    place: str
    kind: str
    unit: str
    better: str
    timeout: float


@dataclass(slots=True)
class Chosen:
    """What is compared, and what is not.

    Attributes
    ----------
    names : list of str
        Benchmarks that both sides have.
    left_out : dict of str to str
        Benchmarks and modules that are not compared, and why.
    broken : list of str
        Those of them that fail on the candidate alone.
    unknown : list of str
        Those of them that fail on both.
    """

    names: list[str] = field(default_factory=list)
    left_out: dict[str, str] = field(default_factory=dict)
    broken: list[str] = field(default_factory=list)
    unknown: list[str] = field(default_factory=list)

    def leave_out(self, name: str, reasons: Mapping[str, str]) -> None:
        """Take note of a benchmark that cannot be compared, and why it cannot on each side."""
        self.left_out[name] = "; ".join(f"{side} {reasons[side]}" for side in sorted(reasons))
        failed = [side for side in SIDES if reasons.get(side, "").startswith("could not")]
        if failed == [CANDIDATE]:
            self.broken.append(name)
        elif failed == list(SIDES):
            self.unknown.append(name)


@dataclass(frozen=True, slots=True)
class Profile:
    """What benchmarks load and open, on either side.

    Attributes
    ----------
    own : set of str
        Files of the sources, by their paths from the top of the repository.
    installed : set of str
        Names of other files, if what is run was built: they may be of the repository too.
    doubt : str
        Why there may be more; empty if there is not.
    """

    own: set[str]
    installed: set[str]
    doubt: str

    @classmethod
    def of(cls, files: set[Path], tops: Iterable[Path], built: bool, doubt: str) -> Self:
        """Tell files of the sources from others."""
        own, others = set[str](), {*files}
        for top in tops:
            inside = {path for path in others if path.is_relative_to(top)}
            own.update(path.relative_to(top).as_posix() for path in inside)
            others -= inside
        return cls(own, {path.name for path in others} if built else set(), doubt)

    def loads(self, path: str) -> bool:
        """Whether a file of the repository is one of them, or may be."""
        return path in self.own or path.rpartition("/")[2] in self.installed


class Sides:
    """The two sides, and the benchmarks that each has.

    Parameters
    ----------
    baseline, candidate : Side
        The sides.
    benchmarks : Path or str
        The folder that both run, a command line, or the arguments of pytest.
    timeout : float
        Seconds that an answer may take.
    directions : mapping of str to str, optional
        By unit, whether lower or higher values are better; what is not in it, the unit tells.

    Raises
    ------
    GateError
        If a side cannot say which benchmarks it has.
    """

    def __init__(
        self,
        baseline: Side,
        candidate: Side,
        benchmarks: Path | str,
        timeout: float,
        directions: Mapping[str, str] | None = None,
    ) -> None:
        self._directions = directions or {}
        self._sides = dict(zip(SIDES, (baseline, candidate), strict=True))
        self._benchmarks = benchmarks
        self._programs = {
            name: Program(
                Path(__file__).with_name(side.commands),
                (str(benchmarks),),
                side.python,
                side.variables,
                side.cpus,
                timeout,
                aside=True,
            )
            for name, side in self._sides.items()
        }
        self.known: dict[str, dict[str, Benchmark]] = {}
        self._packages: dict[str, dict[str, str]] = {}
        self._unimportable: dict[str, dict[str, str]] = {}
        self._own_sources: dict[str, bool] = {}
        with self.pool() as pool:
            for name in SIDES:
                # Large projects take long to import; a benchmark has a time of its own.
                pool[name].timeout = max(timeout, DISCOVERY_SECONDS)
                pool[name].start("discover")
            for name in SIDES:
                try:
                    found = pool[name].receive()
                    self._packages[name] = pool[name].do("packages")
                except WorkerError as error:
                    raise GateError(
                        f"the benchmarks of the {name} cannot be listed: {error}"
                    ) from None
                self.known[name] = {x["name"]: Benchmark(**x) for x in found["benchmarks"]}
                self._unimportable[name] = found["unimportable"]

    @contextlib.contextmanager
    def pool(self, padding: Mapping[str, int] | None = None) -> Iterator[Pool]:
        """A pool with a worker for each side, started in the order of `padding`."""
        with self.idle_pool(padding) as pool:
            for name in padding or SIDES:
                pool[name]
            yield pool

    def idle_pool(self, padding: Mapping[str, int] | None = None) -> Pool:
        """A pool that starts a worker for a side when it is asked for."""
        return Pool(self._programs, padding)

    def start(self, pool: Pool, command: str, name: str) -> None:
        """Send a command about a benchmark to both sides, and give it the time it asks for."""
        for side in SIDES:
            found = self.known[side][name]
            pool[side].timeout = max(self._programs[side].timeout, found.timeout)
            pool[side].start(command, found.place)

    @property
    def from_sources(self) -> bool:
        """Whether both import their sources, and nothing that was built of them."""
        return all("PYTHONPATH" in side.variables for side in self._sides.values())

    def profile(self, names: Sequence[str], idle: Pool) -> Profile:
        """Run benchmarks once on both sides, in processes that have run nothing else."""
        files, doubts = set[Path](), []
        with idle as pool:
            for side in SIDES:
                known = [self.known[side][name] for name in names]
                times = (max(self._programs[side].timeout, one.timeout) for one in known)
                pool[side].timeout = sum(times)
                pool[side].start("profile", [one.place for one in known])
            for side in SIDES:
                try:
                    found = pool[side].receive()
                except WorkerError as error:
                    doubts.append(f"{side} {why('run', error)}")
                    continue
                files.update(map(Path, found["files"]))
                if found["started"]:
                    doubts.append(f"{side} starts other processes by {found['started']}")
        tops = [side.sources.resolve() for side in self._sides.values()]
        return Profile.of(files, tops, not self.from_sources, "; ".join(doubts))

    def unit(self, name: str) -> str:
        """Of what is measured of a benchmark."""
        known = self.known[CANDIDATE][name]
        return "s" if known.kind == "time" else known.unit

    def better(self, name: str) -> str:
        """Whether lower or higher values of a benchmark are better."""
        known = self.known[CANDIDATE][name]
        return known.better or self._directions.get(known.unit) or units.better(known.unit)

    def choose(self, exact: bool, patterns: Sequence[str]) -> Chosen:
        """Choose what both sides have.

        Parameters
        ----------
        exact : bool
            Whether what is counted is chosen, or what is measured.
        patterns : sequence of str
            Regular expressions, one of which a benchmark's name must match; none for all.

        Returns
        -------
        Chosen
            Names in the order of the candidate.

        Raises
        ------
        GateError
            If they share none.
        """
        asked = {side: self._asked(side, exact, patterns) for side in SIDES}
        chosen = Chosen([name for name in asked[CANDIDATE] if name in asked[BASELINE]])
        for side, other in ((CANDIDATE, BASELINE), (BASELINE, CANDIDATE)):
            for name in asked[side]:
                if name not in asked[other]:
                    chosen.leave_out(name, {other: self._why_missing(other, name)})
        self._leave_out_modules(chosen)
        if not (chosen.names or chosen.broken or chosen.unknown):
            raise self._nothing_shared(exact, patterns)
        return chosen

    def _nothing_shared(self, exact: bool, patterns: Sequence[str]) -> GateError:
        what = "that are counted" if exact else "to be timed"
        match = f" and match {' or '.join(patterns)}" if patterns else ""
        others = self._asked(CANDIDATE, not exact, patterns).keys()
        where = "without --exact" if exact else "with --exact"
        hint = f" ({len(others)} can be compared {where})" if others else ""
        return GateError(
            f"the two revisions share no benchmarks {what}{match}{hint}; accepted are "
            "those that asv run --bench would select"
        )

    def note_sources(self, pool: Pool, name: str, sides: Iterable[str] = SIDES) -> None:
        """Take note of which sides have imported their own sources, now that a benchmark has run.

        Only where they are put before the packages of a Python, which may hold another revision.
        """
        for side in sides:
            if "PYTHONPATH" in self._sides[side].variables and not self._own_sources.get(side):
                with contextlib.suppress(WorkerError):
                    loaded = pool[side].do("loaded_from", str(self._sides[side].sources))
                    # What starts a Python for itself imports nothing in this one.
                    self._own_sources[side] = loaded or "timeraw_" in name

    def check_sources(self) -> None:
        """Raise `GateError` if what a side has run was not its own, but a package installed."""
        for side, own in self._own_sources.items():
            if not own:
                raise GateError(
                    f"--python: the benchmarks import nothing from the sources of the {side}; "
                    "accepted is a project that needs no building"
                )

    def differing_packages(self) -> dict[str, dict[str, str]]:
        """Packages with another version on one side, the project itself apart."""
        every = sorted(set().union(*self._packages.values()))
        versions = {p: {side: self._packages[side].get(p, "none") for side in SIDES} for p in every}
        return {p: found for p, found in versions.items() if len(set(found.values())) > 1}

    def _asked(self, side: str, exact: bool, patterns: Sequence[str]) -> dict[str, None]:
        return {
            one.name: None
            for one in self.known[side].values()
            if one.kind
            and (not patterns or any(re.search(pattern, one.name) for pattern in patterns))
            and exact == self._is_counted(one)
        }

    def _is_counted(self, one: Benchmark) -> bool:
        by_clock = units.by_clock(one.unit) and one.unit not in self._directions
        return one.kind == "track" and not by_clock

    def _leave_out_modules(self, chosen: Chosen) -> None:
        """Take note of the modules that neither side can import."""
        both = self._unimportable[BASELINE].keys() & self._unimportable[CANDIDATE].keys()
        for module in sorted(both):
            # What the baseline's own module has, and the candidate's has no more, is broken.
            guilty = (CANDIDATE,) if self._is_changed(module) else SIDES
            reasons = {x: f"could not import it: {self._unimportable[x][module]}" for x in guilty}
            chosen.leave_out(f"the module {module or 'of all benchmarks'}", reasons)

    def _is_changed(self, module: str) -> bool:
        """Whether the two revisions differ in a module of the benchmarks that both have."""
        sources = [side.sources for side in self._sides.values()]
        if isinstance(self._benchmarks, str) or not self._benchmarks.is_relative_to(sources[1]):
            return False  # of a repository of their own, and the same for both
        names = self._benchmarks.relative_to(sources[1]) / module.replace(".", "/")
        for name in (names.with_suffix(".py"), names / "__init__.py"):
            own, other = (folder / name for folder in sources)
            if own.is_file() and other.is_file():
                return own.read_bytes() != other.read_bytes()
        return False

    def _why_missing(self, side: str, name: str) -> str:
        for module, error in self._unimportable[side].items():
            if not module or name.startswith(f"{module}."):
                return f"could not import {module or 'the benchmarks'}: {error}"
        return "has no such benchmark"


def why(what: str, error: WorkerError) -> str:
    """Why a benchmark cannot be compared, after the name of a side."""
    if isinstance(error, NotApplicableError):
        return f"does not apply: {error}"
    return f"could not {what}: {error}"
