"""The page: everything that a folder holds, in one file; ``page.html`` says how it looks."""

from __future__ import annotations

import base64
import datetime
import io
import zipfile
from collections import ChainMap
from collections.abc import Iterator
from typing import Any

from xent_numba.accuracy.study import Study
from xent_numba.measurement.suite import PARTS, SUBJECT
from xent_numba.reporting import (
    charts,
    headline,
    overview,
    panels,
    roofline,
    sizes,
    stability,
    tables,
)
from xent_numba.reporting.sources import DTYPES, Sources

_EPOCH = (1980, 1, 1, 0, 0, 0)


def render(sources: Sources) -> str:
    """Render the page.

    Parameters
    ----------
    sources : Sources
        What was measured.

    Returns
    -------
    str
        HTML that needs no other file and no network.
    """
    from jinja2 import Environment, PackageLoader, StrictUndefined
    from markupsafe import Markup

    environment: Any = Environment(
        loader=PackageLoader("xent_numba", "reporting"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    content = _content(sources)
    content["svg"] = Markup
    content["light"], content["dark"] = map(charts.css_variables, ("light", "dark"))
    content["map_light"], content["map_dark"] = map(stability.css_variables, (False, True))
    text: str = environment.get_template("page.html").render(content)
    return text


def _content(sources: Sources) -> dict[str, Any]:
    runs = sources.runs
    first = next(iter(runs.values()))
    shown = panels.panels(sources)
    started = datetime.datetime.fromisoformat(first.provenance.started)
    notes = dict.fromkeys(note for run in runs.values() for note in tables.notes(run.content))
    return {
        "subject": SUBJECT,
        "tiles": list(headline.tiles(sources, shown)),
        "panels": shown,
        "roofline": sources.roofline and roofline.pictures(sources.roofline.content),
        "roofline_machine": sources.roofline and str(sources.roofline.provenance),
        "dtypes": DTYPES,
        "sizes": sizes.lines(sources),
        "small": sizes.small_calls(sources),
        "heat": overview.heat(sources),
        "stability_maps": dict(_stability_maps(sources)),
        "rows": list(overview.records(runs)),
        "notes": list(notes),
        "machine": overview.machine(first),
        "versions": first.provenance.machine.versions,
        "quality": list(overview.quality(runs)),
        "calls": dict(ChainMap(*(run.content.calls for run in reversed([*runs.values()])))),
        "archive": _archive(sources),
        "files": [str(path.relative_to(sources.folder)) for path in sources.files()],
        "missing": [name for name in PARTS if name not in runs],
        "date": f"{started.day} {started:%B %Y}",
        "commits": sorted({run.provenance.revision for run in runs.values()}),
    }


def _archive(sources: Sources) -> str:
    """All files as one, so that the page alone is enough; the same bytes for the same files."""
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
        for path in sources.files():
            entry = zipfile.ZipInfo(str(path.relative_to(sources.folder)), _EPOCH)
            archive.writestr(entry, path.read_bytes(), zipfile.ZIP_DEFLATED)
    return "data:application/zip;base64," + base64.b64encode(stream.getvalue()).decode()


def _stability_maps(sources: Sources) -> Iterator[tuple[str, dict[str, str]]]:
    """Yield by dtype the map of the first study that has one, for a wide page and a narrow one."""
    for dtype in DTYPES:
        if found := next(filter(None, (_map(study, dtype) for study in sources.studies)), None):
            yield dtype, found


def _map(study: Study, dtype: str) -> dict[str, str]:
    return {
        width: stability.themed(charts.inline(drawn, f"stability-{dtype}-{width}"))
        for width, columns in (("wideonly", 2), ("narrow", 1))
        if (drawn := stability.draw(study, dtype, gradients=False, columns=columns))
    }
