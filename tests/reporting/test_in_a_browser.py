"""The page of a report works in a browser, as somebody would use it."""

from __future__ import annotations

import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
COMMITTED = ROOT / "reports" / "index.html"


@pytest.fixture(params=["fabricated", pytest.param("committed", marks=pytest.mark.slow)])
def path(request, folder):
    return folder / "index.html" if request.param == "fabricated" else COMMITTED


@pytest.fixture
def visit(browser, path):
    """Open the page as somebody would; what it said and asked for is looked at when it closes."""
    contexts, said, asked = [], [], []

    def open_page(width=1280, height=900, scheme="light"):
        viewport = {"width": width, "height": height}
        contexts.append(browser.new_context(viewport=viewport, color_scheme=scheme))
        contexts[-1].set_default_timeout(120_000)  # machines may be slow, and pages are not
        page = contexts[-1].new_page()
        page.on("console", lambda message: said.append(message.text))
        page.on("pageerror", lambda error: said.append(str(error)))
        page.on("request", lambda request: asked.append(request.url))
        page.goto(path.as_uri())
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert said == []
    assert {url for url in asked if not url.startswith("data:")} == {path.as_uri()}


def in_both_widths(name, wide, narrow):
    """Two values, one in a wide and one in a narrow page; the other way round is slow."""
    both = [(1280, wide), (390, narrow), (1280, narrow), (390, wide)]
    slow = [pytest.param(*one, marks=pytest.mark.slow) for one in both[2:]]
    return pytest.mark.parametrize(("width", name), [*both[:2], *slow])


@in_both_widths("dtype", "float32", "float64")
def test_every_figure_is_visible(visit, width, dtype):
    page = visit(width=width)
    page.check(f"#pick-{dtype}", force=True)
    hidden = {"float32": ".float64", "float64": ".float32"}[dtype]
    hidden += ", .narrow" if width > 640 else ", .wideonly"
    figures = page.locator("figure svg")
    seen = 0
    for i in range(figures.count()):
        figure = figures.nth(i)
        if figure.evaluate("(svg, hidden) => svg.closest(hidden) !== null", hidden):
            assert not figure.is_visible()
            continue
        box = figure.bounding_box()
        assert box["width"] > 200
        assert box["height"] > 150
        seen += 1
    assert seen >= 7
    assert page.locator(".ratios:visible .dot").count() > 20


def test_the_table_sorts_by_what_is_measured(visit):
    page = visit()
    head = page.locator("#all thead th", has_text="ns/element")

    def values():
        cells = page.locator("#all tbody tr td:nth-child(5)")
        return [float(v) for v in cells.evaluate_all("all => all.map(c => c.dataset.sort)") if v]

    before = values()
    head.locator("button").click()
    assert values() == sorted(before)
    assert head.get_attribute("aria-sort") == "ascending"
    head.locator("button").press("Enter")
    assert values() == sorted(before, reverse=True)
    assert head.get_attribute("aria-sort") == "descending"
    assert before not in (sorted(before), sorted(before, reverse=True))


def test_the_table_can_be_filtered(visit):
    page = visit()
    page.fill("#filter", "sigmoid float64 scipy")
    shown = page.locator("#all tbody tr:visible")
    assert 0 < shown.count() < page.locator("#all tbody tr").count()
    assert page.inner_text("#count") == f"{shown.count()} rows"
    for text in shown.all_inner_texts():
        assert "sigmoid" in text
        assert "scipy" in text


def test_links_lead_somewhere(visit, path):
    page = visit()
    targets = page.locator("a").evaluate_all("all => all.map(a => a.getAttribute('href'))")
    assert len(targets) > 10
    for target in targets:
        if target.startswith("#"):
            assert page.locator(target).count() == 1, target
        elif not target.startswith("data:"):
            assert (path.parent / target).is_file(), target


def test_what_is_downloaded_is_the_data(visit, path):
    page = visit()
    with page.expect_download() as started:
        page.click("#download")
    with zipfile.ZipFile(started.value.path()) as archive:
        assert "compare/sizes.json" in archive.namelist()
        for name in archive.namelist():
            assert archive.read(name) == (path.parent / name).read_bytes()


def test_it_can_be_used_from_the_keyboard(visit):
    page = visit()
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.className") == "skip"
    page.focus("#pick-float32")
    page.keyboard.press("ArrowRight")
    assert page.is_checked("#pick-float64")
    assert page.locator(".card.float64").first.is_visible()
    assert not page.locator(".card.float32").first.is_visible()


def test_a_phone_does_not_scroll_sideways(visit):
    page = visit(width=360, height=740)
    assert page.evaluate("document.documentElement.scrollWidth") == 360


def test_a_desktop_shows_all_columns(visit):
    page = visit()
    for section in ("#rows", "#trust"):
        box = page.locator(f"{section} .scroll").first
        assert box.evaluate("box => box.scrollWidth <= box.clientWidth"), section


@pytest.mark.parametrize("width", [1100, 768, 390])
def test_a_narrow_page_shows_every_result_whole(visit, width):
    """Status and time are seen without scrolling sideways, each with the name of its column."""
    page = visit(width=width)
    box = page.locator("#rows .scroll").first
    assert box.evaluate("box => box.scrollWidth <= box.clientWidth")
    row = page.locator("#all tbody tr.ours").first
    for place, name in ((5, "ns/element"), (8, "status"), (13, "run")):
        cell = row.locator(f":nth-child({place})")
        bounds = cell.bounding_box()
        assert 0 <= bounds["x"] <= bounds["x"] + bounds["width"] <= width, name
        assert name in cell.evaluate("cell => getComputedStyle(cell, '::before').content")
    # The operation has a line of its own, which needs no name before it.
    operation = row.locator(".op").evaluate("cell => getComputedStyle(cell, '::before').content")
    assert operation == "none"
    page.fill("#filter", "numba_parallel sigmoid float64")
    for text in page.locator("#all tbody tr:visible").all_inner_texts():
        assert "numba_parallel" in text


@pytest.mark.parametrize("width", [1280, 390])
def test_the_whole_map_is_seen_and_is_not_white_in_the_dark(visit, path, width):
    page = visit(width=width, scheme="dark")
    if path != COMMITTED:
        assert page.locator(".map").count() == 0
        return
    drawn = page.locator(".map.float32 svg:visible")
    assert drawn.count() == 1
    box = drawn.bounding_box()
    assert box["x"] >= 0
    assert box["x"] + box["width"] <= width
    paper = drawn.locator("path").first
    assert paper.evaluate("path => getComputedStyle(path).fill") == "rgb(17, 26, 36)"


FEW_OF_EACH_KIND = """
    document.querySelectorAll('details').forEach(one => one.open = true);
    document.querySelectorAll('tbody').forEach(body => {
        const kept = {};
        for (const row of [...body.rows]) {
            const kind = [row, ...row.cells].map(part => part.className).join('|');
            kept[kind] = (kept[kind] || 0) + 1;
            if (kept[kind] > 2) row.remove();
        }
    });
"""
"""What is folded away would not be looked at; a thousand rows alike take axe minutes."""


@in_both_widths("scheme", "light", "dark")
def test_axe_finds_nothing(visit, scheme, width):
    axe_playwright = pytest.importorskip("axe_playwright_python.sync_playwright")
    page = visit(width=width, scheme=scheme)
    page.evaluate(FEW_OF_EACH_KIND)
    found = axe_playwright.Axe().run(page).response
    assert len(found["passes"]) > 20
    problems = [
        f"{one['id']}: {node['target']} {node['failureSummary'][:300]}"
        for one in found["violations"]
        for node in one["nodes"][:3]
    ]
    assert problems == []


@pytest.mark.slow
def test_axe_would_find_something(browser):
    """What cannot fail proves nothing."""
    axe_playwright = pytest.importorskip("axe_playwright_python.sync_playwright")
    page = browser.new_page()
    page.set_content("<p style='color:#ccc;background:#fff'>pale</p><img src='data:,'>")
    found = {one["id"] for one in axe_playwright.Axe().run(page).response["violations"]}
    page.close()
    assert {"color-contrast", "image-alt"} <= found
