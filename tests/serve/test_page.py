"""The page in a real browser: what is drawn is what the model is asked, by mouse and by finger."""

import io
import json
import math
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from selenium.webdriver import ActionChains, Chrome
from selenium.webdriver.common.by import By
from selenium.webdriver.support.ui import WebDriverWait

from tests.conftest import MNIST
from tests.idx_files import read_mnist
from tests.serve.conftest import Ask

WAIT = 60  # seconds, more than any of it takes
Points = Iterable[tuple[int, int]]  # from the middle of the field, in its pixels

ONE = [(0, -100), (0, -50), (0, 0), (0, 50), (0, 100)]
ZERO = [
    (int(70 * math.sin(turn / 12 * math.tau)), int(-100 * math.cos(turn / 12 * math.tau)))
    for turn in range(13)
]


def draw(browser: Chrome, points: Points) -> None:
    field = browser.find_element(By.ID, "drawing")
    scale = field.size["width"] / 280
    first, *rest = [(int(x * scale), int(y * scale)) for x, y in points]
    actions = ActionChains(browser, duration=10)
    actions.move_to_element_with_offset(field, *first).click_and_hold()
    for point in rest:
        actions.move_to_element_with_offset(field, *point)
    actions.release().perform()


def answer(browser: Chrome) -> str:
    return browser.find_element(By.ID, "answer").text


def await_answer(browser: Chrome, digit: int) -> None:
    WebDriverWait(browser, WAIT).until(lambda _: answer(browser) == f"It looks like {digit}")


def open_page(browser: Chrome, server: str) -> None:
    """Opens the page and waits until it knows its model: before that, nothing is drawn."""
    browser.get(server)
    WebDriverWait(browser, WAIT).until(lambda _: browser.find_element(By.ID, "version").text)


def assert_quiet(browser: Chrome, server: str) -> None:
    """No errors on the console, and nothing asked of anybody but the server."""
    logged: list[dict[str, Any]] = browser.get_log("browser")
    assert logged == []
    asked = browser.execute_script(
        "return performance.getEntriesByType('resource').map((entry) => entry.name)"
    )
    assert asked
    assert all(name.startswith(server) for name in asked), asked


def test_drawing_with_the_mouse(browser: Chrome, server: str) -> None:
    open_page(browser, server)
    assert answer(browser) == "Nothing drawn yet"
    draw(browser, ONE)
    await_answer(browser, 1)
    browser.find_element(By.ID, "clear").click()
    assert answer(browser) == "Nothing drawn yet"
    draw(browser, ZERO)
    await_answer(browser, 0)
    shares = browser.execute_script(
        "return [...document.querySelectorAll('output')].map((share) => parseFloat(share.value))"
    )
    assert len(shares) == 10
    assert abs(sum(shares) - 100) < 1
    WebDriverWait(browser, WAIT).until(
        lambda _: browser.find_element(By.ID, "version").text == "version 1"
    )
    assert "Production serves" in browser.find_element(By.TAG_NAME, "footer").text
    assert_quiet(browser, server)


def test_strokes_are_seen_whatever_colours_come_while_one_draws(
    browser: Chrome, server: str
) -> None:
    open_page(browser, server)
    for scheme in ("light", "dark", "light"):
        features = [{"name": "prefers-color-scheme", "value": scheme}]
        browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})
        if scheme == "light":
            draw(browser, ONE)
        field = browser.find_element(By.ID, "drawing").screenshot_as_png
        seen = np.asarray(Image.open(io.BytesIO(field)).convert("L"), int)
        background, stroke = seen[20, 20], seen[seen.shape[0] // 2, seen.shape[1] // 2]
        assert abs(background - stroke) > 150, scheme
        assert (background > 128) == (scheme == "light")


def test_drawing_with_a_finger_on_a_phone(browser: Chrome, server: str) -> None:
    phone = {"width": 360, "height": 740, "deviceScaleFactor": 2, "mobile": True}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", phone)
    browser.execute_cdp_cmd("Emulation.setTouchEmulationEnabled", {"enabled": True})
    dark = [{"name": "prefers-color-scheme", "value": "dark"}]
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": dark})
    open_page(browser, server)
    width = browser.execute_script("return document.documentElement.scrollWidth")
    assert width <= 360
    field = browser.find_element(By.ID, "drawing").rect
    points = [
        {
            "x": field["x"] + field["width"] * (140 + x) / 280,
            "y": field["y"] + field["height"] * (140 + y) / 280,
        }
        for x, y in ONE
    ]
    for kind, touches in [
        ("touchStart", points[:1]),
        *(("touchMove", [point]) for point in points[1:]),
        ("touchEnd", []),
    ]:
        event = {"type": kind, "touchPoints": touches}
        browser.execute_cdp_cmd("Input.dispatchTouchEvent", event)
    await_answer(browser, 1)
    assert browser.execute_script("return scrollY") == 0
    assert_quiet(browser, server)


def test_a_drawing_becomes_what_mnist_would_have_made_of_it(
    browser: Chrome, server: str, ask: Ask
) -> None:
    images, labels = read_mnist(MNIST, "t10k", 100)
    open_page(browser, server)
    script = """
        const [images, done] = arguments;
        import("/page/mnist.js").then(({ toMnist }) => done(images.map((image) => {
          const drawing = new ImageData(280, 280);
          for (let y = 0; y < 280; y++) for (let x = 0; x < 280; x++)
            drawing.data[4 * (280 * y + x) + 3] = image[Math.floor(y / 10)][Math.floor(x / 10)];
          return toMnist(drawing);
        })));
    """
    redrawn = browser.execute_async_script(script, images.tolist())

    def precision(pixels: list) -> float:
        said = [ask("/v1/models/digits:predict", {"instances": [image]}) for image in pixels]
        return float(np.mean([row[1]["predictions"][0]["class"] for row in said] == labels))

    difference = np.abs(np.asarray(redrawn, float) - images).mean()
    assert difference < 1, f"mean difference of a pixel: {difference:.1f} of 255"
    assert precision(redrawn) > precision(images.tolist()) - 0.05


def test_a_picture_is_taken_as_it_is_or_inverted(
    browser: Chrome, server: str, ask: Ask, tmp_path: Path
) -> None:
    images, _ = read_mnist(MNIST, "t10k", 1)
    (said,) = ask("/v1/models/digits:predict", {"instances": images.tolist()})[1]["predictions"]
    open_page(browser, server)
    for name, pixels in (("light", images[0]), ("dark", 255 - images[0])):
        larger = Image.fromarray(pixels).resize((280, 280), Image.Resampling.NEAREST)
        larger.convert("RGB").save(tmp_path / f"{name}.png")
        if name == "dark":
            browser.find_element(By.ID, "clear").click()
            browser.find_element(By.ID, "invert").click()
        browser.find_element(By.ID, "picture").send_keys(str(tmp_path / f"{name}.png"))
        await_answer(browser, said["class"])
        best = browser.find_element(By.CSS_SELECTOR, "#probabilities .best output").text
        assert float(best.removesuffix(" %")) == pytest.approx(
            100 * max(said["probabilities"]), abs=1
        )
    (tmp_path / "no.png").write_bytes(b"no picture")
    browser.find_element(By.ID, "picture").send_keys(str(tmp_path / "no.png"))
    WebDriverWait(browser, WAIT).until(
        lambda _: answer(browser) == "No answer: no.png is no picture that this browser reads"
    )
    assert_quiet(browser, server)


def test_a_field_of_other_proportions_is_shrunk_to_the_models_pixels(
    browser: Chrome, server: str
) -> None:
    script = """
        const [done] = arguments;
        import("/page/pixels.js").then(({ fromDrawing }) => {
          const drawing = new ImageData(60, 100);
          for (let pixel = 0; pixel < 60 * 50; pixel++) drawing.data[4 * pixel + 3] = 200;
          const size = { width: 3, height: 4 };
          done([fromDrawing(drawing, size), fromDrawing(new ImageData(60, 100), size)]);
        });
    """
    open_page(browser, server)
    image, blank = browser.execute_async_script(script)
    assert image == [[200] * 3] * 2 + [[0] * 3] * 2
    assert blank is None


def test_an_answer_that_fails_is_shown(browser: Chrome, server: str) -> None:
    open_page(browser, server)
    browser.execute_script("document.body.dataset.model = 'x'; window.fetch = null")
    draw(browser, ONE)
    WebDriverWait(browser, WAIT).until(lambda _: answer(browser).startswith("No answer: "))
    assert json.dumps(answer(browser))
