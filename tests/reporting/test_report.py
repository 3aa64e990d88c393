"""The report: its numbers are those of the files."""

from __future__ import annotations

import base64
import dataclasses
import io
import re
import shutil
import zipfile
from itertools import pairwise
from pathlib import Path
from xml.etree import ElementTree

import fabricated
import pytest

from xent_numba import cli
from xent_numba.measurement import crossover, roofline
from xent_numba.measurement.comparison import COMPARISON
from xent_numba.measurement.participant import Preparation
from xent_numba.measurement.statistics import Interval
from xent_numba.measurement.suite import PARTS
from xent_numba.reporting import charts, figure, headline, page, readme, sizes, tables
from xent_numba.reporting.sources import DTYPES, Sources
from xent_numba.results import store
from xent_numba.results.provenance import Provenance

ROOT = Path(__file__).parents[2]


@pytest.mark.slow
def test_the_page_says_what_the_files_say(html):
    # 4000 + 10 n against 4000 + 0.5 n nanoseconds, at n = 2^22.
    assert re.search(r">numpy_stable</span>(?:(?!</li>).)*>20\u00d7<small>", html, re.S)
    assert "faster at every size" in html
    assert "An &lt;abacus&gt; &amp; beads" in html
    assert "WRONG" in html
    assert "the tail is lost" in html


def test_crossovers_are_those_of_the_data(folder):
    sources = Sources.read(folder)
    found = {who: where for _, who, where in sizes.crossovers(sources.runs["sizes"].content)}
    # 500 + n = 4000 + n / 2 at n = 7000.
    match = re.fullmatch(
        r"between 4,096 and 16,384 samples, at about ([\d,]+)",
        found["numba_parallel against numba_parallel@1"],
    )
    assert 6000 < int(match[1].replace(",", "")) < 8000
    assert found["numba_cuda against numba_parallel"] == "not measured here"


def test_a_crossover_is_the_last_one():
    sure, unsure = Interval(2.0, 1.9, 2.1), Interval(1.0, 0.9, 1.1)
    slower = Interval(0.5, 0.4, 0.6)
    assert crossover.find({1: sure, 2: sure}) == (None, 1, None)
    assert crossover.find({1: sure, 2: unsure, 4: sure})[:2] == (2, 4)
    assert crossover.find({1: sure, 2: slower}) == (2, None, None)
    assert crossover.find({1: slower, 4: sure}).estimate == pytest.approx(2.0)


def test_without_a_part_the_page_says_so(tmp_path):
    fabricated.write(tmp_path, "operations")
    text = page.render(Sources.read(tmp_path))
    assert "Not measured: <code>xent-numba compare --suite sizes</code>" in text
    assert "Not measured: flights, labels, small, sizes, large." in text


@pytest.mark.parametrize("part", ["flights", "small"])
def test_any_part_alone_makes_a_page(tmp_path, part):
    fabricated.write(tmp_path, part)
    assert cli.main(["report", "--folder", str(tmp_path)]) == 0
    assert part in (tmp_path / "index.html").read_text()
    assert not (tmp_path / "headline.svg").exists()


def test_the_headline_is_a_table(folder):
    lines = (folder / "headline.md").read_text().splitlines()
    assert len({line.count("|") for line in lines}) == 1
    assert any(line.startswith("| `numpy_stable` | **20\u00d7** (") for line in lines)


def test_the_picture_brings_its_colours_along(folder):
    text = (folder / "headline.svg").read_text()
    used = set(re.findall(r"var\(--([\w-]+)\)", text))
    assert used <= set(re.findall(r"--([\w-]+):", text))
    assert "prefers-color-scheme" in text


@pytest.mark.parametrize("error", [2.0, float("inf")])
def test_infinity_is_no_place_on_the_axis_of_errors(error):
    """What is infinitely wrong stands beyond the axis, in a band that says so."""
    points = [charts.Point("numba_parallel", 0.8, 0.3), charts.Point("naive", error, 100.0)]
    drawn = charts.speed_against_accuracy(points, width=720, height=420, name="x")
    said = re.findall(r"<text[^>]*>([^<]*)</text>", drawn)
    assert "\u221e" not in said
    assert ("infinitely wrong" in said) == (error == float("inf"))


@pytest.mark.slow
def test_the_roofline_has_both_ceilings(tmp_path):
    fabricated.write(tmp_path, "operations")
    text = page.render(Sources.read(tmp_path))
    assert "Not measured: <code>python -m tools.measure_roofline</code>" in text
    point = roofline.Point("sigmoid", "float32", 30, 8, 4e-10, 2e-10, 3e-10)
    other = roofline.Point("logistic_loss", "float64", 43, 9, 1e-9, 8e-10, 4e-10)
    found = roofline.Roofline(2, {"float32": 4e11, "float64": 2e11}, [point, other])
    store.write(tmp_path / "roofline.json", roofline.ROOFLINE, Provenance.now("x"), found)
    text = page.render(Sources.read(tmp_path))
    assert "tools.measure_roofline</code>" not in text
    drawn = [
        re.findall(r"<text[^>]*>([^<]*)</text>", figure)
        for figure in re.findall(r'<figure role="img" aria-label="Roofline.*?</figure>', text, re.S)
    ]
    for said, dtype, bandwidth, peak in zip(drawn, DTYPES, (26.7, 22.5), (400, 200), strict=True):
        expected = {"sigmoid" if dtype == "float32" else "logistic_loss"}
        expected |= {f"memory, {bandwidth} GB/s", f"fma, {peak}", "Gflop/s", "operations a byte"}
        assert expected <= set(said)


def test_the_picture_says_what_it_is_of():
    said = (ROOT / "reports" / "headline.svg").read_text()
    for part in ("logistic_loss", "4,194,304", "float32", "2 threads", "AMD EPYC"):
        assert part in said


@pytest.mark.slow
def test_the_same_files_make_the_same_page(folder, html):
    assert page.render(Sources.read(folder)) == html


@pytest.mark.parametrize("spoil", ["empty", "text"])
def test_a_folder_that_cannot_be_reported_on_gets_one_sentence(tmp_path, capsys, spoil):
    if spoil == "text":
        (tmp_path / "compare").mkdir()
        (tmp_path / "compare" / "sizes.json").write_text("[]")
    assert cli.main(["report", "--folder", str(tmp_path)]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    said = {
        "empty": "holds no comparison of the suite",
        "text": "holds no comparison of this version",
    }
    assert said[spoil] in line
    assert not (tmp_path / "index.html").exists()


def test_names_beside_lines_do_not_touch():
    values = [1.0, 1.01, 1.02, 50.0, 99.0, 99.5, 0.1]
    places = charts.apart(values, (0.1, 100), 300)
    gap = 13.0 / (0.84 * 300)
    in_order = [place for _, place in sorted(zip(values, places, strict=True))]
    for below, above in pairwise(in_order):
        assert (above / below) >= (1000**gap) * 0.999
    assert all(0.0999 <= place <= 100.1 for place in places)
    assert charts.apart([1.0, 50.0], (0.1, 100), 300) == pytest.approx([1.0, 50.0])


@pytest.mark.slow
@pytest.mark.parametrize("part", PARTS)
def test_every_part_can_be_drawn(part):
    """Not every implementation takes part in each of its cases."""
    run = fabricated.comparison(part)
    assert "numba_parallel" in tables.markdown(run)
    assert ElementTree.fromstring(figure.draw(run)).tag.endswith("svg")


@pytest.mark.slow
def test_a_case_that_nobody_got_right_has_a_page(tmp_path):
    run = fabricated.comparison("operations")
    wrong = [
        dataclasses.replace(row, seconds=None, preparation=Preparation("wrong", "of no use"))
        if row.case.operation == "sigmoid"
        else row
        for row in run.content.rows
    ]
    fabricated.write(tmp_path, "flights")
    content = dataclasses.replace(run.content, rows=wrong)
    path = tmp_path / "compare" / "operations.json"
    store.write(path, COMPARISON, run.provenance, content)
    assert "of no use" in page.render(Sources.read(tmp_path))


@pytest.mark.slow
def test_a_run_that_failed_its_control_is_not_published(tmp_path):
    fabricated.write(tmp_path, "operations")
    for part, overall in (("labels", Interval(0.9, 0.8, 0.95)), ("small", Interval(1, 0.9, 1.1))):
        run = fabricated.comparison(part, overall=overall)
        path = tmp_path / "compare" / f"{part}.json"
        store.write(path, COMPARISON, run.provenance, run.content)
    shutil.copytree(ROOT / "reports" / "accuracy", tmp_path / "accuracy")
    sources = Sources.read(tmp_path)
    html = page.render(sources)
    assert "compare/small.json" in html
    assert "compare/labels.json" not in html
    assert set(sources.runs) == {"operations", "small"}


def test_text_can_be_read_on_either_page():
    def luminance(color):
        parts = [int(color[i : i + 2], 16) / 255 for i in (1, 3, 5)]
        linear = [p / 12.92 if p <= 0.03928 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    for colors in charts.THEMES.values():
        for name in set(colors) - {"surface", "grid"}:
            light, dark = sorted((luminance(colors[name]), luminance(colors["surface"])))[::-1]
            # WCAG 2.1, 1.4.11 for graphics, 1.4.3 for what is written.
            assert (light + 0.05) / (dark + 0.05) >= (4.5 if name in ("text", "muted") else 3), name


def test_a_run_that_compare_kept_is_shown(folder, capsys):
    run = str(folder / "compare" / "labels.json")
    assert cli.main(["report", run]) == 0
    shown = capsys.readouterr().out
    assert cli.main(["compare", "--from-json", run]) == 0
    assert capsys.readouterr().out == shown
    assert "numba_parallel" in shown


@pytest.mark.slow
def test_nothing_live_is_in_a_report(folder, html, monkeypatch):
    """Neither the implementations of today nor the machine that draws."""

    def fail(*arguments):
        raise AssertionError("asked for")

    for name in ("registry.implementations", "registry.get", "results.machine.describe"):
        monkeypatch.setattr(f"xent_numba.{name}", fail)
    monkeypatch.setattr("scipy.stats.bootstrap", fail)
    assert page.render(Sources.read(folder)) == html
    assert "1 / (1 + exp(-s)), &lt;folded&gt;" in html


def test_readme_and_headline_are_those_of_the_runs():
    """Or else `xent-numba report --readme PAGE` was not run."""
    sources = Sources.read(ROOT / "reports")
    for path in ("README.md", "docs/accuracy.md"):
        text = (ROOT / path).read_text()
        assert readme.updated(text, sources) == text, path
    assert (ROOT / "reports" / "headline.md").read_text() == headline.markdown(sources) + "\n"


def test_a_readme_without_marks_is_left_alone(tmp_path, capsys):
    text = tmp_path / "README.md"
    text.write_text("# words\n")
    reports = tmp_path / "reports"
    shutil.copytree(ROOT / "reports" / "accuracy", reports / "accuracy")
    fabricated.write(reports, "operations")
    assert cli.main(["report", "--folder", str(reports), "--readme", str(text)]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "has no mark" in line
    assert text.read_text() == "# words\n"
    assert not (reports / "index.html").exists()


def test_the_committed_page_is_of_the_committed_runs():
    page = (ROOT / "reports" / "index.html").read_text()
    sources = Sources.read(ROOT / "reports")
    for run in sources.runs.values():
        assert run.provenance.started in page
    kept = page_archive(page)
    assert kept.keys() == {str(path.relative_to(sources.folder)) for path in sources.files()}
    for name, content in kept.items():
        assert (sources.folder / name).read_bytes() == content, f"{name}: make the page again"


def page_archive(page):
    (data,) = re.findall(r'href="data:application/zip;base64,([^"]+)"', page)
    with zipfile.ZipFile(io.BytesIO(base64.b64decode(data))) as archive:
        return {name: archive.read(name) for name in archive.namelist()}
