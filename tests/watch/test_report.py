"""drift.html: what came in beside what the model was trained on, on a page of its own."""

import base64
import re
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

from components.config import Watch
from components.shared.manifests import Rejected
from components.shared.predictions import Labelled, LeastSure, Predictions, Reference
from components.shared.profile import Profile, as_text
from components.watch.report import FILE
from components.watch.watch import watch

EVIL = "<script>alert('x')</script>"
CLASSES, SHAPE = 47, (32, 20)


class Page(HTMLParser):
    """The tags of a page, and its text."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text += data


def _profile(count: int, seed: int, brightest: int = 256) -> Profile:
    generator = np.random.default_rng(seed)
    images = generator.integers(0, brightest, (count, *SHAPE), np.uint8)
    return Profile.of(images, generator.dirichlet([0.1] * CLASSES, count).astype(np.float32))


@pytest.fixture
def night(tmp_path: Path) -> Path:
    """A night as predict writes it: darker images, 47 classes, names that are more than text."""
    names = [EVIL, *(f"class {number}" for number in range(1, CLASSES))]
    came = _profile(200, 1, brightest=100)
    image = as_text(np.zeros(SHAPE, np.uint8))
    Reference(
        source="gs://team/digits",
        dataset_fingerprint="1" * 64,
        model_sha256="2" * 64,
        class_names=names,
        pixel_variance=5_000,
        train=_profile(500, 2),
        test=_profile(300, 3),
    ).write(tmp_path)
    Predictions(
        source=f"in/{EVIL}",
        source_fingerprint="3" * 64,
        registry="gs://team/registry",
        model_name="letters",
        version=7,
        model_sha256="2" * 64,
        class_names=names,
        metrics={"read": 201, "written": 200, "rejected": 1, "bytes": 9},
        rejected=[Rejected(split="all", where=f"{EVIL}.png", reason="no picture")],
        files=[],
        class_shares=dict(zip(names, came.class_shares, strict=True)),
        mean_confidence=came.mean_confidence,
        labelled=Labelled(images=200, correct=150, precision_at_1=0.75, interval=(0.68, 0.8)),
        least_sure=[
            LeastSure(
                source=f"{EVIL}.idx", position=17, predicted=0, probability=0.125, image=image
            )
        ],
        profile=came,
    ).write(tmp_path)
    return tmp_path


def _render(night: Path) -> Page:
    watch(Watch(), night, night / "watch")
    return Page((night / "watch" / FILE).read_text(encoding="utf-8"))


def test_it_shows_the_night_and_the_model(night: Path) -> None:
    page = _render(night)
    for told in (
        "200",
        "letters version 7 of gs://team/registry",
        "precision@1 0.7500, 95 % interval 0.6800 – 0.8000",
        "class 46",
        "0.125",
        "17",
        "no picture",
        "1 records could not be used",
    ):
        assert told in re.sub(r"\s+", " ", page.text), told
    pictures = [attributes["src"] or "" for tag, attributes in page.tags if tag == "img"]
    assert len(pictures) == 14 + 14 + 3 + 1
    for picture in pictures:
        assert base64.b64decode(picture.partition("base64,")[2]).startswith(b"\x89PNG")


def test_what_others_named_is_shown_and_does_nothing(night: Path) -> None:
    page = _render(night)
    assert "script" not in {tag for tag, _ in page.tags}
    assert page.text.count(EVIL) >= 4


def test_it_needs_nothing_but_itself(night: Path) -> None:
    for tag, attributes in _render(night).tags:
        assert tag not in ("script", "iframe", "object")
        for name in ("src", "href"):
            address = attributes.get(name)
            assert address is None or address.startswith("data:"), (tag, address)


@pytest.mark.parametrize(
    ("bound", "badge", "title"), [(99.0, "✓ Quiet", "looks like"), (9.0, "✗ Alarm", "has moved")]
)
def test_it_says_in_words_what_was_decided(
    bound: float, badge: str, title: str, night: Path
) -> None:
    config = Watch(max_class_change=1, max_ink_psi=99, max_ink_js=1, max_pixel_distance=bound)
    watch(config, night, night / "watch")
    page = Page((night / "watch" / FILE).read_text(encoding="utf-8"))
    assert badge in page.text
    assert title in page.text
    assert ("make local SOURCE=gs://team/digits" in page.text) == (bound < 99)
