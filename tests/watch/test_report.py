"""The page of a night: what it shows of each manifest, and that it needs nothing but itself."""

import base64
import io
import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from components.config import Watch
from components.shared.evaluation import Verdict
from components.shared.manifests import Rejected
from components.shared.predictions import Advice, Labelled, LeastSure, Predictions, Reference
from components.shared.profile import Profile, as_text
from components.watch import report
from components.watch.watch import compare
from tests.watch.test_figures import profile, reference

FOREIGN = '<script src="x">alert(1)</script>'
SQUARE = np.pad(np.full((2, 2), 200, np.uint8), 3)


def predictions(came: Profile, stands: Reference, **changes: object) -> Predictions:
    """What predict hands on of a night."""
    found = Predictions(
        source="nights/tuesday",
        source_fingerprint="f" * 64,
        registry="gs://team/registry",
        model_name="letters",
        version=7,
        model_sha256="0" * 64,
        class_names=stands.class_names,
        metrics={"rejected": 0},
        rejected=[],
        files=[],
        class_shares={},
        mean_confidence=came.mean_confidence,
        labelled=None,
        least_sure=[],
        profile=came,
    )
    return found.model_copy(update=changes)


def page(
    tmp_path: Path,
    came: Profile | None = None,
    stands: Reference | None = None,
    to_do: str = "",
    **changes: object,
) -> str:
    """Renders the page of a night as a watch does, by default of one that is quiet."""
    stands = stands or reference()
    found = predictions(came or profile(400, 3), stands, **changes)
    drift = compare(Watch(), found, stands)
    if drift.diagnosis and to_do:
        advice = [Advice(text=to_do, command=to_do)]
        said = drift.diagnosis.model_copy(update={"advice": advice, "sentence": to_do})
        drift = drift.model_copy(update={"diagnosis": said})
    report.write(tmp_path / report.FILE, drift, found, stands)
    return (tmp_path / report.FILE).read_text(encoding="utf-8")


def inverted() -> Profile:
    images = 255 - profile(400, 3).decoded_samples()
    answers = np.tile(np.array([[1, 0, 0, 0]], np.float32), (len(images), 1))
    return Profile.of(np.tile(images, (9, 1, 1)), np.tile(answers, (9, 1)))


def test_a_quiet_night_says_so_and_whose_it_is(tmp_path: Path) -> None:
    found = page(tmp_path)
    assert "✓ Quiet" in found and "All 6 rules hold" in found
    assert '<b id="headline">400</b>' in found
    assert "nights/tuesday" in found
    assert "Version 7 of letters in <code>gs://team/registry</code>" in found
    assert 'id="diagnosis' not in found and 'id="precision"' not in found
    assert 'id="rejected"' not in found and 'id="unsure"' not in found


def test_an_alarm_has_its_reasons_and_the_command(tmp_path: Path) -> None:
    found = page(tmp_path, inverted(), to_do="make local SOURCE='a b'")
    assert "✗ Alarm" in found and re.search(r"[2-6] of 6 rules are broken", found)
    assert "<code>make local SOURCE=&#39;a b&#39;</code>" in found
    assert "the mean image lies" in found
    row = found.split('<th scope="row">max_pixel_distance</th>')[1].split("</tr>")[0]
    assert 'class="bad"' in row and "<td>10</td>" in row


def test_one_broken_rule_is_one(tmp_path: Path) -> None:
    stands = reference()
    night = predictions(profile(400, 3), stands)
    drift = compare(Watch(), night, stands)
    verdicts = [
        Verdict(rule=one.name, passed=place > 0, reason="so")
        for place, one in enumerate(drift.figures)
    ]
    drift = drift.model_copy(update={"verdicts": verdicts})
    report.write(tmp_path / report.FILE, drift, night, stands)
    assert "1 of 4 rules is broken" in (tmp_path / report.FILE).read_text(encoding="utf-8")


def test_precision_stands_there_where_labels_came(tmp_path: Path) -> None:
    labelled = Labelled(images=300, correct=270, precision_at_1=0.9, interval=(0.86, 0.93))
    found = page(tmp_path, labelled=labelled)
    assert ">0.9000</b>" in found and "0.8600 – 0.9300" in found and "on 300 with labels" in found


def test_the_first_images_of_both_are_shown_as_they_are(tmp_path: Path) -> None:
    came, stands = profile(400, 3), reference()
    found = page(tmp_path, came, stands)
    for title, held in (("What came in", came), ("Training split", stands.train)):
        shown = re.findall(rf'<img src="data:image/png;base64,([^"]+)" alt="{title}, image', found)
        read = [np.array(Image.open(io.BytesIO(base64.b64decode(png)))) for png in shown]
        assert np.array_equal(read, held.decoded_samples())


def test_a_difference_tells_brighter_from_darker_and_how_much() -> None:
    uri = report.difference(np.array([[0.0, 10.0], [-20.0, 0.0]]))
    read = np.array(Image.open(io.BytesIO(base64.b64decode(uri.partition(",")[2]))))
    assert read[..., 3].tolist() == [[0, 128], [255, 0]]
    assert tuple(read[0, 1, :3]) == report.BRIGHTER
    assert tuple(read[1, 0, :3]) == report.DARKER


def test_large_images_are_shown_smaller() -> None:
    uri = report.grey(np.zeros((1000, 400), np.uint8))
    assert Image.open(io.BytesIO(base64.b64decode(uri.partition(",")[2]))).size == (38, 96)


def test_the_least_sure_have_class_probability_file_and_position(tmp_path: Path) -> None:
    least = LeastSure(
        source="day/images.gz", position=12, predicted=3, probability=0.31, image=as_text(SQUARE)
    )
    found = page(tmp_path, least_sure=[least])
    assert "The 1 least sure" in found and "0.310" in found and "images.gz № 12" in found
    assert 'alt="Taken for 3, image 12 of day/images.gz"' in found
    assert "<code>day/images.gz</code>" in found


def test_a_picture_among_the_least_sure_is_named_by_its_file(tmp_path: Path) -> None:
    least = LeastSure(
        source="day/000123.png", position=0, predicted=3, probability=0.31, image=as_text(SQUARE)
    )
    found = page(tmp_path, least_sure=[least])
    assert "<br>000123.png</span>" in found


def test_rejected_records_are_named(tmp_path: Path) -> None:
    gone = Rejected(split="all", where="day/a.png", reason="no picture")
    found = page(tmp_path, rejected=[gone], metrics={"rejected": 1_200})
    assert "1,200 rejected" in found
    assert "<dt><code>day/a.png</code></dt><dd>no picture</dd>" in found


@pytest.mark.parametrize(("classes", "folded"), [(20, 0), (47, 27)])
def test_many_classes_are_folded_and_those_that_changed_come_first(
    classes: int, folded: int, tmp_path: Path
) -> None:
    def drawn(count: int, last: int) -> Profile:
        labels = np.r_[np.arange(count - last) % classes, np.full(last, classes - 1)]
        answers = np.eye(classes, dtype=np.float32)[labels]
        return Profile.of(np.full((count, 8, 8), 9, np.uint8), answers)

    stands = reference().model_copy(
        update={
            "class_names": [f"class {number}" for number in range(classes)],
            "train": drawn(940, 0),
            "test": drawn(940, 0),
        }
    )
    found = page(tmp_path, drawn(940, 400), stands)
    assert (f"The other {folded}" in found) == bool(folded)
    assert found.count("--share:") == 2 * classes
    first = found.split('id="classes-title">')[1].split('<th scope="row">')[1]
    assert first.startswith(f"class {classes - 1 if folded else 0}<")


def test_names_of_others_are_seen_and_do_nothing(tmp_path: Path) -> None:
    names = [FOREIGN + str(number) for number in range(4)]
    stands = reference().model_copy(update={"class_names": names, "source": FOREIGN})
    least = LeastSure(
        source=FOREIGN, position=0, predicted=0, probability=0.4, image=as_text(SQUARE)
    )
    found = page(
        tmp_path,
        inverted(),
        stands,
        to_do=FOREIGN,
        source=FOREIGN,
        registry=FOREIGN,
        model_name=FOREIGN,
        source_fingerprint=FOREIGN,
        least_sure=[least],
        rejected=[Rejected(split=FOREIGN, where=FOREIGN, reason=FOREIGN)],
    )
    assert "<script" not in found
    assert found.count("&lt;script") >= 10


def test_the_page_needs_nothing_but_itself(tmp_path: Path) -> None:
    found = page(tmp_path, inverted())
    assert not re.search(r"https?:|@import|url\(|<link(?! rel=\"icon\" href=\"data:,\")", found)
    assert all(address.startswith("data:") for address in re.findall(r'src="([^"]*)"', found))
    assert "prefers-color-scheme: dark" in found


def test_the_run_is_named_and_led_to(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("RUN_ID", raising=False)
    assert "run <" not in page(tmp_path)
    monkeypatch.setenv("RUN_ID", "predict-1")
    assert "run <code>predict-1</code>" in page(tmp_path)
    monkeypatch.setenv("RUN_PAGE", "../../index.html")
    assert 'run <a href="../../index.html"><code>predict-1</code></a>' in page(tmp_path)


def test_one_flat_image_without_samples_is_a_page(tmp_path: Path) -> None:
    one = Profile.of(np.full((1, 8, 8), 255, np.uint8), np.full((1, 4), 0.25, np.float32))
    found = page(tmp_path, one.model_copy(update={"samples": []}), metrics={})
    assert "image of 8 × 8 pixels" in found
    assert "nan" not in found and "inf," not in found
