"""The site in a browser: no error, nothing asked of the network, nothing wider than the page."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from fabricate import make_study, write_folder
from hpobench_fds.analysis.reports import page as report
from hpobench_fds.analysis.reports import site

sync_api = pytest.importorskip("playwright.sync_api", reason="pip install '.[browser]'")
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(CHROMIUM is None, reason="no Chromium (Debian: apt-get install chromium)"),
]


@pytest.mark.parametrize("width", [1280, 390])
def test_pages_open_lead_to_each_other_and_fit(
    width: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(report, "_pictures", lambda *_: ([], {}))
    write_folder(make_study(), tmp_path / "recorded" / "one")
    index = site.write(tmp_path / "recorded", tmp_path / "site")
    with sync_api.sync_playwright() as play:
        browser = play.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": width, "height": 900})
        said: list[str] = []
        asked: list[str] = []
        page.on("console", lambda message: said.append(message.text))
        page.on("pageerror", lambda error: said.append(str(error)))
        page.on("request", lambda made: asked.append(made.url))

        def fits(heading: str) -> None:
            assert page.evaluate("document.documentElement.scrollWidth") <= width
            assert page.locator("h1").text_content() == heading

        page.goto(index.as_uri())
        fits("Benchmarks on record")
        page.locator("th button", has_text="Method").click()  # sorts
        page.locator("table a", has_text="FDS").click()
        fits("FDS")
        page.locator("table a", has_text="digits").click()
        fits("digits")
        assert page.locator(".chart svg").count() == 2
        page.locator(".crumbs a", has_text="made").click()
        fits("made")
        page.locator("header a", has_text="All suites").click()
        fits("Benchmarks on record")
        assert said == []
        assert all(url.startswith(("file:", "data:")) for url in asked)
        browser.close()
