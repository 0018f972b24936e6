"""What the fresh process finds in a SavedModel."""

import json
import shutil
from pathlib import Path

import pytest
import tensorflow as tf

from components.registry import probe
from components.registry.state import Validation
from components.shared.errors import StepError


@pytest.fixture
def samples(evaluation: Path) -> Path:
    return evaluation / "samples.npz"


def test_a_sound_model_is_measured(
    model: Path, samples: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    saved_model = model / "saved_model"
    probe.main(saved_model, samples)
    found = Validation.model_validate(json.loads(capsys.readouterr().out))
    assert found.samples == 100
    assert found.largest_difference < 1e-5
    assert set(found.latency_ms) == {1, 100}
    assert all(latency > 0 for latency in found.latency_ms.values())
    files = [path for path in saved_model.rglob("*") if path.is_file()]
    assert found.size_bytes == sum(path.stat().st_size for path in files)


def test_a_missing_signature_is_named(model: Path, samples: Path, tmp_path: Path) -> None:
    loaded = tf.saved_model.load(str(model / "saved_model"))
    signatures = {"serving_default": loaded.signatures["serving_default"]}
    tf.saved_model.save(loaded, str(tmp_path / "lame"), signatures=signatures)
    with pytest.raises(StepError, match="signatures serving_default, expected examples among"):
        probe.main(tmp_path / "lame", samples)


def test_a_truncated_model_does_not_load(model: Path, samples: Path, tmp_path: Path) -> None:
    broken = Path(shutil.copytree(model / "saved_model", tmp_path / "broken"))
    data = next((broken / "variables").glob("*.data*"))
    data.write_bytes(data.read_bytes()[:1_000])
    with pytest.raises(StepError, match="broken: does not load"):
        probe.main(broken, samples)


def test_a_directory_without_a_model_does_not_load(samples: Path, tmp_path: Path) -> None:
    with pytest.raises(StepError, match="does not load"):
        probe.main(tmp_path, samples)


def test_other_classes_are_refused(model: Path, samples: Path, tmp_path: Path) -> None:
    class Eleven(tf.Module):
        @tf.function(input_signature=[tf.TensorSpec([None, 28, 28], tf.uint8, "images")])
        def images(self, images: tf.Tensor) -> dict[str, tf.Tensor]:
            return {"probabilities": tf.zeros([tf.shape(images)[0], 11])}

        @tf.function(input_signature=[tf.TensorSpec([None], tf.string, "examples")])
        def examples(self, examples: tf.Tensor) -> dict[str, tf.Tensor]:
            return {"probabilities": tf.zeros([tf.shape(examples)[0], 11])}

    eleven = Eleven()
    signatures = {"serving_default": eleven.images, "examples": eleven.examples}
    tf.saved_model.save(eleven, str(tmp_path / "eleven"), signatures=signatures)
    with pytest.raises(StepError, match=r"serving_default gives \[100, 11\], expected \[100, 10\]"):
        probe.main(tmp_path / "eleven", samples)
