"""The one form in which a run is kept.

A file is strict JSON::

    {"schema": "xent-numba/<kind>/<version>", "provenance": {...}, "content": {...}}

`provenance` is a `Provenance`; `content` is what the dataclass of the kind holds, field by field.
Numbers that JSON lacks are the words ``Infinity``, ``-Infinity`` and ``NaN``. A version is raised
when a field comes, goes or changes its meaning: an older file is measured again, not guessed at.
"""

from __future__ import annotations

import json
import math
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Generic, NoReturn, TypeVar

import msgspec

from xent_numba.errors import ResultFileError
from xent_numba.results import files
from xent_numba.results.provenance import Provenance

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Kind(Generic[T]):
    """What a file can hold.

    Attributes
    ----------
    name : str
        In the schema, and in sentences about the file.
    version : int
        Of the form of its content.
    content : type
        A dataclass. Its annotations, and those of the dataclasses, named tuples and enumerations in
        it, are what a reader accepts; they are looked up while the program runs, so that none of
        them may be imported for type checkers alone.
    """

    name: str
    version: int
    content: type[T]

    @property
    def schema(self) -> str:
        """Kind and version, as they stand in a file."""
        return f"xent-numba/{self.name}/{self.version}"


@dataclass(frozen=True, slots=True)
class Stored(Generic[T]):
    """What a file holds."""

    provenance: Provenance
    content: T


def write(path: Path, kind: Kind[T], provenance: Provenance, content: T) -> None:
    """Keep a run.

    Parameters
    ----------
    path : pathlib.Path
        Where; see `files.write`.
    kind : Kind
        What it is.
    provenance : Provenance
        Where it comes from.
    content : object
        An instance of `kind.content`.
    """
    files.write(path, dumps(kind, provenance, content))


def read(path: Path, kind: Kind[T]) -> Stored[T]:
    """Read what `write` kept.

    Parameters
    ----------
    path : pathlib.Path
        Where.
    kind : Kind
        What it should be.

    Returns
    -------
    Stored
        Provenance and content.

    Raises
    ------
    ResultFileError
        If the file holds anything else.
    OSError
        If it cannot be read.
    """
    try:
        return loads(path.read_bytes(), kind)
    except ResultFileError as error:
        raise ResultFileError(f"{str(path)!r} {error}") from None


def dumps(kind: Kind[T], provenance: Provenance, content: T) -> str:
    """Return the text of a file: a line for each item, so that two can be compared by lines."""
    document = {
        "schema": kind.schema,
        "provenance": _plain(provenance),
        "content": _plain(content),
    }
    return _text(document) + "\n"


def loads(text: str | bytes, kind: Kind[T]) -> Stored[T]:
    """Read the text of a file; see `read`."""
    try:
        document = json.loads(text, parse_constant=_refuse)
        schema = document["schema"] if isinstance(document, dict) else None
        if schema != kind.schema:
            found = f"says {schema!r}" if isinstance(schema, str) else "says no schema"
            raise ValueError(f"it {found} where {kind.schema!r} is read")
        provenance = _typed(document["provenance"], Provenance)
        content = _typed(document["content"], kind.content)
        if set(document) != {"schema", "provenance", "content"}:
            raise ValueError("it has parts that are not known")
    except KeyError as error:
        reason = f"it has no {error}"
    except RecursionError:
        reason = "it is nested without end"
    except (ValueError, OverflowError) as error:
        reason = str(error).replace("\n", " ")
    else:
        return Stored(provenance, content)
    raise ResultFileError(f"holds no {kind.name} of this version: {reason}")


def _plain(value: Any) -> Any:
    """What JSON knows; non-finite numbers by their names."""
    return _named(msgspec.to_builtins(asdict(value), str_keys=True, enc_hook=_numpy))


def _numpy(value: Any) -> Any:
    return value.item()


def _named(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _named(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_named(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
    return value


def _typed(value: Any, kind: type[T]) -> T:
    # Lax, as the names of numbers are text where a number is asked for. That the result is kept
    # as what was read refuses all else that is lax, fields that are not known among it.
    found = msgspec.convert(value, kind, strict=False, str_keys=True)
    if _plain(found) != value:
        raise ValueError(f"its {kind.__name__.lower()} has parts that are missing or not known")
    return found


def _refuse(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is no JSON")


def _text(value: Any, depth: int = 0) -> str:
    """JSON of which each line holds an item of the outermost lists."""
    inside = value.values() if isinstance(value, dict) else value
    nested = isinstance(value, dict | list) and any(isinstance(v, dict | list) for v in inside)
    if not nested or depth == 3:
        return json.dumps(value, allow_nan=False)
    items = [_text(item, depth + 1) for item in inside]
    if isinstance(value, dict):
        items = [f"{json.dumps(key)}: {item}" for key, item in zip(value, items, strict=True)]
    first, last = "{}" if isinstance(value, dict) else "[]"
    # Within a string JSON spells a new line otherwise.
    return "\n ".join([first, ",\n".join(items).replace("\n", "\n ")]) + f"\n{last}"
