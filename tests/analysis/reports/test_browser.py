"""The report page in a browser: no error, nothing asked of the network, charts and tables that answer."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from fabricate import make_study, write_folder
from hpobench_fds.analysis.reports import page as report

sync_api = pytest.importorskip("playwright.sync_api", reason="pip install '.[browser]'")
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
WIDTHS = (1280, 390)

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(CHROMIUM is None, reason="no Chromium (Debian: apt-get install chromium)"),
]


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The page of a study of two problems, with a failed run."""
    folder = write_folder(make_study(), tmp_path_factory.mktemp("page") / "out")
    return report.write(folder).as_uri()


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with sync_api.sync_playwright() as play:
        found = play.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield found
        found.close()


@pytest.fixture(params=WIDTHS)
def page(request: pytest.FixtureRequest, browser: Any, address: str) -> Iterator[Any]:
    """The page at one width; afterwards it must have said nothing and asked for nothing."""
    opened = browser.new_page(viewport={"width": request.param, "height": 900})
    said: list[str] = []
    asked: list[str] = []
    opened.on("console", lambda message: said.append(message.text))
    opened.on("pageerror", lambda error: said.append(str(error)))
    opened.on("request", lambda made: asked.append(made.url))
    opened.goto(address)
    yield opened
    assert said == []
    assert [url for url in asked if url != address and not url.startswith("data:")] == []
    opened.close()


def test_nothing_is_wider_than_the_page(page: Any) -> None:
    assert page.evaluate("document.documentElement.scrollWidth") <= page.viewport_size["width"]
    assert page.locator(".chart svg").count() == 5  # the profile, and of two problems curves and times
    assert page.locator("h1").count() == 1


def test_no_two_texts_of_a_chart_overlap(page: Any) -> None:
    overlaps = page.evaluate(
        """() => [...document.querySelectorAll(".chart svg")].flatMap(svg => {
            const texts = [...svg.querySelectorAll("text")];
            const boxes = texts.map(t => [t.textContent, t.getBoundingClientRect()]);
            const beside = (a, b) => a.right <= b.left + 1 || b.right <= a.left + 1;
            const above = (a, b) => a.bottom <= b.top + 3 || b.bottom <= a.top + 3;
            const over = (a, b) => !beside(a, b) && !above(a, b);
            return boxes.flatMap(([one, a], i) =>
                boxes.slice(0, i).filter(([, b]) => over(a, b)).map(([other]) => [one, other]));
        })"""
    )
    assert overlaps == []


def test_a_method_is_brought_into_colour_and_back(page: Any) -> None:
    button = page.locator("#methods button", has_text="FDS")
    line = page.locator('.chart[data-chart=profile] path[data-method="fds"]')
    assert button.get_attribute("aria-pressed") == "true"
    colour = line.get_attribute("stroke")
    button.focus()
    page.keyboard.press("Enter")  # by keyboard, as by a click
    assert button.get_attribute("aria-pressed") == "false"
    assert line.get_attribute("stroke") != colour
    button.click()
    assert line.get_attribute("stroke") == colour


def test_another_target_and_axis_change_the_charts(page: Any) -> None:
    chart = page.locator(".chart[data-chart=times]").first
    goal, before = page.locator(".goal").first.text_content(), chart.inner_html()
    assert "95 % of the way" in goal
    page.select_option("#target", label="50 % of the way")
    assert "50 % of the way" in page.locator(".goal").first.text_content()
    other = chart.inner_html()
    assert other != before
    page.select_option("#against", "seconds")
    assert chart.inner_html() != other
    curves = page.locator(".chart[data-chart=curves]").first
    drawn = curves.inner_html()
    page.select_option("#upwards", "metric")
    linear = curves.inner_html()
    assert linear != drawn
    page.uncheck("#log")
    assert curves.inner_html() != linear


def test_the_pointer_and_the_arrow_keys_show_values(page: Any) -> None:
    svg = page.locator(".chart[data-chart=curves] svg").first
    svg.scroll_into_view_if_needed()
    box = svg.bounding_box()
    page.mouse.move(box["x"] + box["width"] * 0.6, box["y"] + 100)
    tip = page.locator(".chart[data-chart=curves] .tip").first
    assert "FDS: " in tip.text_content()
    page.mouse.move(0, 0)
    svg.focus()
    page.keyboard.press("ArrowRight")
    assert tip.is_visible()
    page.keyboard.press("Escape")
    assert tip.is_hidden()


def test_tables_sort_by_numbers_and_by_words(page: Any) -> None:
    head = page.locator("table.sortable").first.locator("th", has_text="Seconds: median")
    column = head.evaluate("cell => cell.cellIndex")
    for direction, way in (("ascending", 1), ("descending", -1)):
        head.locator("button").click()
        assert head.get_attribute("aria-sort") == direction
        cells = page.locator("table.sortable").first.locator(f"tbody td:nth-child({column + 1})")
        values = [float(text.replace(",", "")) for text in cells.all_text_contents() if text]
        assert values == sorted(values, reverse=way < 0)


def test_a_dark_page_draws_in_lighter_colours(page: Any) -> None:
    line = page.locator('.chart[data-chart=profile] path[data-method="random_search"]')
    page.locator("#methods button", has_text="Random search").click()
    light = line.get_attribute("stroke")
    page.emulate_media(color_scheme="dark")
    path = ".chart[data-chart=profile] path[data-method=random_search]"
    page.wait_for_function(
        "([path, old]) => document.querySelector(path).getAttribute('stroke') !== old", arg=[path, light]
    )


def test_images_have_texts_and_headings_go_down_by_one(page: Any) -> None:
    assert page.evaluate("[...document.images].every(image => image.alt.length > 20)")
    levels = page.evaluate("[...document.querySelectorAll('h1,h2,h3,h4')].map(h => +h.tagName[1])")
    assert levels[0] == 1
    assert all(next_ - level <= 1 for level, next_ in pairwise(levels))


def test_it_prints(page: Any, tmp_path: Path) -> None:
    page.pdf(path=tmp_path / "page.pdf", format="A4")
    assert (tmp_path / "page.pdf").stat().st_size > 10_000
