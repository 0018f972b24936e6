"""The report in a real browser: whole by itself, legible, and with the numbers of the manifest."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from selenium.webdriver.common.by import By

from components.shared.evaluation import ClassFigures
from components.shared.manifests import Evaluation
from tests.browser import Browser, open_browser

# WCAG 2's contrast of every text on its nearest opaque background; returns what is below 4.5.
CONTRAST = """
const parse = c => c.match(/[\\d.]+/g).map(Number).concat(1).slice(0, 4);
const over = (a, b) => [0, 1, 2].map(i => a[i] * a[3] + b[i] * (1 - a[3])).concat(1);
const lum = c => { const [r, g, b] = c.slice(0, 3).map(v => v / 255)
  .map(v => v <= .03928 ? v / 12.92 : ((v + .055) / 1.055) ** 2.4);
  return .2126 * r + .7152 * g + .0722 * b; };
const background = e => { const own = parse(getComputedStyle(e).backgroundColor);
  return own[3] == 1 || !e.parentElement ? own : over(own, background(e.parentElement)); };
const low = [];
for (const e of document.querySelectorAll("body *")) {
  if (![...e.childNodes].some(n => n.nodeType == 3 && n.textContent.trim())) continue;
  if (["STYLE", "SCRIPT", "TITLE", "title"].includes(e.tagName)) continue;
  const style = getComputedStyle(e), back = background(e);
  const front = over(parse(e instanceof SVGElement ? style.fill : style.color), back);
  const [a, b] = [lum(front), lum(back)].sort((x, y) => y - x);
  const contrast = (a + .05) / (b + .05);
  if (contrast < 4.5) low.push(`${e.tagName} ${e.textContent.trim()}: ${contrast}`);
}
return low;
"""


@pytest.fixture(scope="module")
def browser(evaluation: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    """A browser that has the report open."""
    with open_browser(tmp_path_factory.mktemp("profile")) as opened:
        opened.emulate(1_200)
        opened.driver.get((evaluation / "report.html").as_uri())
        yield opened


@pytest.fixture(scope="module")
def loading(browser: Browser) -> tuple[list[str], list[str]]:
    """What loading the page wrote to the console, and what it asked for."""
    return browser.console(), browser.requests()


def rows(browser: Browser, table: str) -> list[list[str]]:
    script = (
        "return [...document.querySelectorAll(arguments[0])].map(row => [...row.cells]"
        ".map(cell => cell.innerText.trim()))"
    )
    return browser.driver.execute_script(script, f"#{table} tbody tr")


def test_it_loads_without_a_console_message(loading: tuple[list[str], list[str]]) -> None:
    assert loading[0] == []


def test_it_asks_for_nothing_but_itself(
    loading: tuple[list[str], list[str]], evaluation: Path
) -> None:
    asked = [url for url in loading[1] if not url.startswith("data:")]
    assert asked == [(evaluation / "report.html").as_uri()]


def test_every_image_shows_and_says_what_it_is(browser: Browser, figures: Evaluation) -> None:
    images = browser.driver.find_elements(By.TAG_NAME, "img")
    assert all(image.get_attribute("alt") for image in images)
    single = [image for image in images if image.get_attribute("class") != "shown"]
    assert len(single) == len(images) - 1 == len(figures.mistakes) + len(figures.robustness) + 1
    for image in single:
        assert int(str(image.get_property("naturalWidth"))) == 28
        assert image.size["width"] == pytest.approx(image.size["height"], abs=1)
    for chart in browser.driver.find_elements(By.CSS_SELECTOR, "svg[role=img]"):
        assert chart.get_attribute("aria-label")
        assert chart.size["height"] > 100


def test_the_headline_is_the_decision_and_the_precision(
    browser: Browser, figures: Evaluation
) -> None:
    decision = browser.driver.find_element(By.ID, "decision").text
    assert decision == ("✓ Blessed" if figures.blessed else "✗ Not blessed")
    headline = browser.driver.find_element(By.ID, "headline").text
    assert headline == f"{figures.splits['test'].precision_at_1:.4f}"
    rules = browser.driver.find_elements(By.CSS_SELECTOR, "#rules li")
    for rule, verdict in zip(rules, figures.verdicts, strict=True):
        assert verdict.reason in rule.text
        assert ("✓" in rule.text) is verdict.passed


def test_the_splits_are_those_of_the_manifest(browser: Browser, figures: Evaluation) -> None:
    expected = [
        [
            name,
            f"{split.precision_at_1:.4f}",
            f"{split.interval[0]:.4f} – {split.interval[1]:.4f}",
            f"{split.examples:,}",
            f"{split.correct:,}",
            f"{split.precision_at_k[2]:.4f}",
            f"{split.precision_at_k[3]:.4f}",
            f"{split.balanced_accuracy:.4f}",
            f"{split.macro_f1:.4f}",
            f"{split.log_loss:.4f}",
            f"{split.calibration_error:.4f}",
        ]
        for name, split in figures.splits.items()
    ]
    assert rows(browser, "splits") == expected


def interval(one: ClassFigures) -> str:
    low, high = one.recall_interval or (0, 0)
    return f"{low:.4f} – {high:.4f}"


def test_confusion_and_classes_are_those_of_the_manifest(
    browser: Browser, figures: Evaluation
) -> None:
    test = figures.splits["test"]
    assert [[int(cell) for cell in row[1:]] for row in rows(browser, "confusion")] == test.confusion
    assert [row[2:] for row in rows(browser, "classes")] == [
        [f"{one.recall:.4f}", interval(one), f"{one.precision:.4f}", f"{one.f1:.4f}"]
        for one in test.classes
    ]
    widths = browser.driver.execute_script(
        "return [...document.querySelectorAll('#classes .bar')].map("
        "bar => bar.firstChild.offsetWidth / bar.offsetWidth)"
    )
    assert np.argsort(widths)[0] == np.argmin([one.recall for one in test.classes])


def test_mistakes_robustness_and_slices_are_those_of_the_manifest(
    browser: Browser, figures: Evaluation
) -> None:
    mistakes = browser.driver.find_elements(By.CSS_SELECTOR, "#mistakes li")
    for shown, mistake in zip(mistakes, figures.mistakes, strict=True):
        assert mistake.where.endswith(f"/t10k-images-idx3-ubyte, record {mistake.index}")
        number = mistake.where.rpartition(", ")[2]
        expected = f"{mistake.label} → {mistake.predicted}\n{mistake.probability:.3f}\n{number}"
        assert shown.text == expected
    robustness = browser.driver.find_element(By.ID, "robustness").text
    for part in figures.robustness:
        assert f"{part.slice}\n{part.value}\n{part.precision_at_1:.4f}" in robustness
    by_ink = [part for part in figures.splits["test"].slices if part.slice != "class"]
    assert [(row[1], row[3], row[4]) for row in rows(browser, "slices")] == [
        (f"{part.precision_at_1:.4f}", f"{part.examples:,}", f"{part.correct:,}") for part in by_ink
    ]


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_every_text_stands_out_from_its_background(browser: Browser, dark: bool) -> None:
    browser.emulate(1_200, dark)
    assert browser.driver.execute_script(CONTRAST) == []


@pytest.mark.parametrize("width", [320, 390, 768])
def test_no_width_makes_the_page_scroll_sideways(browser: Browser, width: int) -> None:
    browser.emulate(width)
    script = "return [document.documentElement.scrollWidth, window.innerWidth]"
    scroll, inner = browser.driver.execute_script(script)
    assert inner == width
    assert scroll <= width
