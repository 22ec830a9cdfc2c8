"""The manual as a reader sees it: nothing overflows at any width, and a search leads to the page.

FASTMLP_MANUAL names the folder that sphinx-build filled. Where FASTMLP_REQUIRE_BROWSER is set, a missing Chromium is a
failure. ``python tests/browser.py`` photographs pages.
"""

import os
from pathlib import Path

import pytest

pytest.importorskip("fcntl", reason="Chromium is driven by pipes that this system does not have")

import browser

MANUAL = os.environ.get("FASTMLP_MANUAL")
PAGES = ["index.html", "api/index.html", "api/generated/fastmlp.Model.html", "gallery/index.html", "gallery/xor.html"]
PAGES += ["genindex.html"]
# What is wider than its place, or lies off the screen: the page, its columns, and what is in them. What scrolls in a
# box of its own, as code and tables do, does not count.
OVERFLOWS = """(() => {
    const wide = [], width = window.innerWidth;
    if (document.documentElement.scrollWidth > width) wide.push("page: " + document.documentElement.scrollWidth);
    for (const name of [".content", ".main", ".toc-drawer", ".sidebar-drawer"])
        for (const each of document.querySelectorAll(name)) {
            const box = each.getBoundingClientRect();
            if (getComputedStyle(each).position == "fixed") continue;  // slides in when it is asked for
            if (box.left < 0 || box.right > width + 0.5) wide.push(`${name}: ${box.left} to ${box.right}`);
            if (name == ".content" && each.scrollWidth > each.clientWidth)
                wide.push(`${name} holds ${each.scrollWidth}`);
        }
    const scrolls = each => /auto|scroll/.test(getComputedStyle(each).overflowX);
    const column = document.querySelector(".content");
    for (const each of column.querySelectorAll("article *")) {
        let inside = false;
        for (let up = each; up != column; up = up.parentElement) inside ||= scrolls(up);
        const box = each.getBoundingClientRect();
        if (!inside && box.width > 1 && box.right > width + 0.5) wide.push(`${each.tagName} ends at ${box.right}`);
    }
    return wide;
})()"""
# Of two colours: their contrast as the web's guidelines for accessibility (WCAG 2.1) define it.
CONTRAST = """(() => {
    const parts = text => text.match(/[0-9.]+/g).map(Number);
    const light = ([r, g, b]) => [r, g, b].map(c => c / 255)
        .map(c => c <= 0.03928 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4)
        .reduce((sum, c, i) => sum + c * [0.2126, 0.7152, 0.0722][i], 0);
    const text = getComputedStyle(document.querySelector("article p")).color;
    const [a, b] = [text, getComputedStyle(document.body).backgroundColor].map(parts).map(light);
    return [(Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05), b];
})()"""


@pytest.fixture(scope="module")
def address():
    if not MANUAL:
        pytest.skip("FASTMLP_MANUAL names no manual: sphinx-build docs FOLDER")
    with browser.served(Path(MANUAL)) as found:
        yield found


@pytest.fixture(scope="module")
def window(address):
    if browser.program() is None:
        if os.environ.get("FASTMLP_REQUIRE_BROWSER"):
            pytest.fail("FASTMLP_REQUIRE_BROWSER is set, and there is no Chromium")
        pytest.skip("Chromium is not installed")
    with browser.Browser() as found:
        yield found


@pytest.mark.parametrize("page", PAGES)
@pytest.mark.parametrize("width", [*browser.WIDTHS, 1100, 1312, 1536])
def test_nothing_overflows(page, width, window, address):
    window.look(width)
    window.open(address + page)
    assert window.evaluate("window.innerWidth") == width
    assert window.evaluate(OVERFLOWS) == []


@pytest.mark.parametrize("width", [1350, 1536, 1920])
def test_the_right_column_is_on_the_screen(width, window, address):
    window.look(width)
    window.open(address + "api/generated/fastmlp.Model.html")
    left, right = window.evaluate(
        "(box => [box.left, box.right])(document.querySelector('.toc-drawer').getBoundingClientRect())"
    )
    assert 0 < left < right <= width
    assert right - left > 150


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_texts_can_be_read(dark, window, address):
    window.look(1280, dark)
    window.open(address + "index.html")
    contrast, background = window.evaluate(CONTRAST)
    assert contrast >= 7
    assert (background < 0.2) == dark


def test_pictures_are_there(window, address):
    window.look(1280)
    for page, least in (("index.html", 2), ("gallery/index.html", 20)):
        window.open(address + page)
        # Those that are not seen yet are fetched when they are.
        window.evaluate("document.querySelectorAll('article img').forEach(each => each.loading = 'eager')")
        window.wait("[...document.querySelectorAll('article img')].every(each => each.complete)")
        widths = window.evaluate("[...document.querySelectorAll('article img')].map(each => each.naturalWidth)")
        assert len(widths) >= least
        assert min(widths) > 100
    shown = "[...document.querySelectorAll('.sphx-glr-thumbcontainer img')].map(each => each.clientWidth)"
    assert min(window.evaluate(shown)) >= 200


def test_the_landing_page_says_how_to_install(window, address):
    window.look(375)
    window.open(address + "index.html")
    assert "pip install" in window.evaluate("document.querySelector('article').innerText.slice(0, 600)")


def test_every_name_of_the_reference_has_a_line(window, address):
    window.look(1280)
    window.open(address + "api/index.html")
    rows = window.evaluate(
        "[...document.querySelectorAll('article tr')].map(row => [...row.cells].map(cell => cell.innerText.trim()))"
    )
    assert len(rows) > 80
    assert [name for name, text in rows if len(text) < 5] == []


@pytest.mark.parametrize(
    ("words", "page"),
    [
        ("string labels", "recipes.html"),
        ("early stopping", "recipes.html"),
        ("EarlyStopping", "api/generated/fastmlp.EarlyStopping.html"),
        ("batch normalization", "api/generated/fastmlp.BatchNorm.html"),
        ("learning rate schedule", "api/schedules.html"),
        ("class weights", "api/generated/fastmlp.Model.html"),
        ("custom loss", "api/generated/fastmlp.losses.Custom.html"),
        ("load model", "api/generated/fastmlp.load.html"),
        ("confusion matrix", "api/generated/fastmlp.plotting.confusion_matrix.html"),
    ],
)
def test_a_search_leads_to_the_page(words, page, window, address):
    window.look(1280)
    window.open(f"{address}search.html?q={words.replace(' ', '+')}")
    window.wait("document.querySelector('#search-results .search-summary')?.innerText.match(/found|did not match/)")
    window.wait("document.querySelector('#search-results li a') != null")
    found = window.evaluate(
        "[...document.querySelectorAll('#search-results li > a')].slice(0, 3).map(each => each.href)"
    )
    assert [each.removeprefix(address).partition("#")[0].partition("?")[0] for each in found].count(page), found
    assert window.evaluate(OVERFLOWS) == []
