"""A run is kept in one form, and whatever is not that form is said to be none in one sentence."""

import dataclasses
import enum
import json
import math
import random
from typing import Any, NamedTuple

import numpy as np
import pytest

from xent_numba.errors import ResultFileError
from xent_numba.results import store
from xent_numba.results.machine import Machine
from xent_numba.results.provenance import Provenance


class Grade(enum.IntEnum):
    GOOD = 0
    BAD = 1


class Interval(NamedTuple):
    low: float
    high: float


@dataclasses.dataclass(frozen=True)
class Row:
    name: str
    seconds: Interval | None
    rounds: dict[int, float]
    grades: list[Grade]


@dataclasses.dataclass(frozen=True)
class Run:
    rows: list[Row]
    settings: dict[str, Any]
    worst: float = 0.0


KIND = store.Kind("run", 3, Run)
MACHINE = Machine(cpu="a processor", caches={"L2": "1M"}, affinity=[0, 1], versions={"numpy": "2"})
PROVENANCE = Provenance("xent-numba run", "2026-01-01T00:00:00+00:00", "0" * 40, False, MACHINE)
RUN = Run(
    [
        Row("first", Interval(1.0, 2.5), {0: 1.0, 10: 0.1}, [Grade.GOOD, Grade.BAD]),
        Row('a "second" | é\n', None, {}, []),
        Row("Infinity", Interval(-math.inf, math.inf), {1: math.inf}, [Grade.BAD]),
    ],
    {"budget": 60, "quick": False, "names": ["a", None]},
)


def test_what_was_kept_is_what_is_read(tmp_path):
    path = tmp_path / "run.json"
    store.write(path, KIND, PROVENANCE, RUN)
    assert store.read(path, KIND) == store.Stored(PROVENANCE, RUN)


def test_a_file_is_strict_json_that_names_its_schema_and_has_a_line_for_a_row():
    text = store.dumps(KIND, PROVENANCE, RUN)
    document = json.loads(text, parse_constant=lambda name: pytest.fail(f"a bare {name}"))
    assert document["schema"] == "xent-numba/run/3"
    assert sum(json.dumps(row) in text for row in document["content"]["rows"]) == len(RUN.rows)
    assert document["content"]["rows"][2]["seconds"] == ["-Infinity", "Infinity"]


def test_numbers_of_numpy_are_kept_as_numbers():
    run = Run([], {"size": np.int64(3), "small": np.float32(0.5)}, np.float64(2))
    assert json.loads(store.dumps(KIND, PROVENANCE, run))["content"] == {
        "rows": [],
        "settings": {"size": 3, "small": 0.5},
        "worst": 2.0,
    }


def test_not_a_number_is_read_as_one():
    text = store.dumps(KIND, PROVENANCE, dataclasses.replace(RUN, worst=math.nan))
    assert math.isnan(store.loads(text, KIND).content.worst)


def refused(text):
    """The sentence that a text is refused with."""
    with pytest.raises(ResultFileError) as error:
        store.loads(text, KIND)
    sentence = str(error.value)
    assert sentence.startswith("holds no run of this version: ")
    assert "\n" not in sentence
    return sentence


@pytest.mark.parametrize("text", ["", " ", "null", "[]", "3", '"run"', "{}", "\0", b"\xff\xfe\x00"])
def test_what_is_no_result_is_refused(text):
    refused(text)


def changed(change):
    document = json.loads(store.dumps(KIND, PROVENANCE, RUN))
    change(document)
    return json.dumps(document)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda d: d.update(schema="xent-numba/run/2"), "'xent-numba/run/2'"),
        (lambda d: d.update(schema="xent-numba/other/3"), "'xent-numba/other/3'"),
        (lambda d: d.update(schema=3), "no schema"),
        (lambda d: d.pop("schema"), "schema"),
        (lambda d: d.pop("content"), "content"),
        (lambda d: d.pop("provenance"), "provenance"),
        (lambda d: d.update(more=1), "not known"),
        (lambda d: d["content"].update(more=1), "not known"),
        (lambda d: d["content"].pop("worst"), "missing"),
        (lambda d: d["content"].update(worst="1"), "missing or not known"),
        (lambda d: d["content"].update(worst=10**400), "range"),
        (lambda d: d["content"]["rows"][0].update(grades=[7]), "Grade|enum|Invalid"),
        (lambda d: d["content"]["rows"][0].update(rounds={"x": 1}), "int"),
        (lambda d: d["content"]["rows"][0].update(seconds=[1]), "length"),
        (lambda d: d["provenance"].update(machine={}), "missing"),
        (lambda d: d["provenance"].update(command=None), "str"),
    ],
)
def test_other_versions_kinds_and_fields_are_refused_with_the_reason(change, said):
    with pytest.raises(ResultFileError, match=said):
        store.loads(changed(change), KIND)


def test_bare_infinity_and_endless_nesting_are_refused():
    text = store.dumps(KIND, PROVENANCE, RUN)
    assert "Infinity" in refused(text.replace('"Infinity"', "Infinity", 1))
    assert "nested" in refused("[" * 100_000)


def test_the_file_is_named(tmp_path):
    path = tmp_path / "cut.json"
    path.write_bytes(b"{")
    with pytest.raises(ResultFileError, match=r"cut\.json' holds no run of this version: "):
        store.read(path, KIND)


def test_mutated_files_are_read_or_refused_with_a_sentence():
    """Bytes flipped, cut, doubled; tokens swapped: 2,000 of them, and no other exception."""
    draw = random.Random(1)
    whole = store.dumps(KIND, PROVENANCE, RUN).encode()
    tokens = [b"null", b"-1", b"1e999", b"{}", b"[]", b'"x"', b"true", b"NaN", b"9" * 5000]
    kept = 0
    sentences = []
    for _ in range(2000):
        data = bytearray(whole)
        start = draw.randrange(len(data))
        kind = draw.randrange(4)
        if kind == 0:
            data[start] ^= 1 << draw.randrange(8)
        elif kind == 1:
            del data[start:]
        elif kind == 2:
            data[start:start] = data[start : start + draw.randrange(40)]
        else:
            values = [i for i, byte in enumerate(data) if byte in b":[,"]
            start = draw.choice(values) + 1
            end = min(i for i, byte in enumerate(data) if i >= start and byte in b",]}\n")
            data[start:end] = draw.choice(tokens)
        try:
            kept += store.loads(bytes(data), KIND).content is not None
        except ResultFileError as error:
            sentences.append(str(error))
    assert 0 < kept < 1000
    assert not any("\n" in sentence for sentence in sentences)
