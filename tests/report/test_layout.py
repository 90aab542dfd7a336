"""What only a browser knows of the report: that it fits, and that what it shows can be read."""

from pathlib import Path
from typing import Any

import pytest

from tests.report.conftest import Changed

WIDTHS = [320, 400, 700, 1000, 1200, 1920]


def opened(browser: Any, page: Path, width: int, **options: Any) -> Any:
    made = browser.new_page(viewport={"width": width, "height": 900}, **options)
    made.goto(page.as_uri())
    made.locator("details").evaluate_all("all => all.forEach(each => each.open = true)")
    return made


@pytest.mark.parametrize("width", WIDTHS)
def test_what_does_not_fit_scrolls_in_a_marked_place_that_the_keyboard_reaches(
    browser: Any, finished: Path, width: int
) -> None:
    page = opened(browser, finished / "report.html", width)
    assert page.evaluate("document.documentElement.scrollWidth") == width
    spilling = page.evaluate("""() => [...document.querySelectorAll("main *")].filter(each => each.scrollWidth > each.clientWidth
        && getComputedStyle(each).overflowX !== "visible").map(each => [each.tabIndex, each.getAttribute("role"),
        getComputedStyle(each).backgroundImage.split("linear-gradient").length - 1])""")
    assert {tuple(each) for each in spilling} <= {(0, "region", 4)}
    results = page.locator("[aria-label=Results]")
    if width >= 1200:
        assert results.evaluate("each => each.scrollWidth - each.clientWidth") == 0
    if width == 400:
        assert results.evaluate("each => each.scrollWidth - each.clientWidth") > 0
        results.focus()
        assert results.evaluate("each => getComputedStyle(each).outlineStyle") == "solid"
        page.keyboard.press("ArrowRight")
        # It scrolls smoothly. Not `wait_for_function`, whose script the page's policy forbids.
        for _ in range(100):
            if results.evaluate("each => each.scrollLeft") > 0:
                break
            page.wait_for_timeout(50)
        assert results.evaluate("each => each.scrollLeft") > 0
    page.close()


@pytest.mark.parametrize("width", WIDTHS)
def test_the_text_of_figures_is_no_smaller_than_11_pixels_and_no_larger_than_the_titles(
    browser: Any, finished: Path, width: int
) -> None:
    page = opened(browser, finished / "report.html", width)
    sizes = page.evaluate("""() => [...document.querySelectorAll("figure svg text")].map(
        each => parseFloat(getComputedStyle(each).fontSize) * Math.hypot(each.getScreenCTM().a, each.getScreenCTM().b))""")
    assert len(sizes) > 50
    assert min(sizes) >= 11
    assert max(sizes) <= 17
    page.close()


@pytest.mark.parametrize("width", [400, 1200])
def test_a_legend_lies_over_no_data(browser: Any, finished: Path, width: int) -> None:
    page = opened(browser, finished / "report.html", width)
    gaps = page.evaluate("""() => [...document.querySelectorAll("figure svg g[id*=legend]")].map(each => {
        const tops = [...each.ownerSVGElement.querySelectorAll("g[id*=axes]")].map(axes => axes.getBoundingClientRect().top)
        return Math.min(...tops) - each.getBoundingClientRect().bottom })""")
    assert len(gaps) == 7
    assert min(gaps) > 0
    # Nor does it reach beyond its figure.
    beyond = page.evaluate("""() => [...document.querySelectorAll("figure svg text")].map(each =>
        each.getBoundingClientRect().right - each.ownerSVGElement.getBoundingClientRect().right)""")
    assert max(beyond) <= 1
    page.close()


@pytest.mark.parametrize("width", [400, 1200])
def test_no_band_is_blank_above_the_results(browser: Any, finished: Path, width: int) -> None:
    page = opened(browser, finished / "report.html", width)
    gap = page.evaluate("""document.getElementById("results").getBoundingClientRect().top
        - document.querySelector("header > :last-child").getBoundingClientRect().bottom""")
    assert 0 < gap <= 32
    page.close()


def test_on_paper_everything_is_there_and_nothing_is_cut_off(browser: Any, finished: Path) -> None:
    page = browser.new_page(viewport={"width": 1000, "height": 900})
    page.goto((finished / "report.html").as_uri())
    closed = page.locator("details#calibration table").first
    assert not closed.is_visible()
    page.emulate_media(media="print")
    assert closed.is_visible()
    assert page.locator(".scroll").first.evaluate("each => getComputedStyle(each).overflowX") == "visible"
    page.close()


def test_a_text_of_another_direction_stays_in_its_place(browser: Any, changed: Changed, tmp_path: Path) -> None:
    def turn(content: Any) -> None:
        content["texts"] = dict.fromkeys(content["texts"], "\u202eشكرا، فيلم جميل!")

    changed("examples.json", turn)
    page = opened(browser, tmp_path / "changed" / "report.html", 400)
    quoted = page.locator("blockquote").first
    assert quoted.evaluate("each => getComputedStyle(each).direction") == "rtl"
    assert page.evaluate("document.documentElement.scrollWidth") == 400
    page.close()


def test_a_column_of_text_beside_numbers_keeps_its_words_whole(browser: Any, finished: Path) -> None:
    page = opened(browser, finished / "report.html", 400)
    cells = '<td class="text">gradient clipping</td><td class="text limit">falls to chance</td>' + "<td>0.5000</td>" * 7
    page.locator("main").evaluate(
        "(main, row) => main.innerHTML = `<div class='scroll'><table class='numbers'><tr><th>LSTM</th>${row}</tr></table></div>`",
        cells,
    )
    assert page.locator("td.text").first.evaluate("each => each.clientHeight") < 60
    page.close()
