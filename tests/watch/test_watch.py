"""Watch: quiet on nights of what the model was trained for, an alarm on what is something else."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given

from bench import drift as changed_nights
from components.config import Predict, Push, Watch
from components.predict.predict import predict
from components.push.push import push
from components.shared.errors import StepError
from components.shared.evaluation import Verdict
from components.shared.manifests import Evaluation, Manifest
from components.shared.predictions import Drift, Predictions, Reference
from components.shared.profile import Profile
from components.shared.storage import sha256_of_directory
from components.watch.watch import watch
from tests.conftest import MNIST, TEST, VALIDATION, Command, Outcomes
from tests.idx_files import Array, encode_idx, read_mnist
from tests.shared.test_manifests import Json, changed

NIGHT = 800  # images


def _clothes(images: Array, _: Array) -> Array:
    """Blocks of grey, as shirts are, where Fashion-MNIST is not installed."""
    blocks = np.zeros_like(images)
    blocks[:, 2:26, 6:22] = 180
    return blocks


CHANGES = {name: change for name, change in changed_nights.CHANGES.items() if name != "as it is"}
if not changed_nights.FASHION.exists():
    CHANGES["Fashion-MNIST"] = _clothes
    CHANGES["Fashion-MNIST, one in ten"] = lambda images, labels: changed_nights.one_in_ten(
        _clothes(images, labels), images
    )


def night(images: Array, published: Path, directory: Path) -> Path:
    """Has the champion score images, and returns what it hands on."""
    directory.mkdir(exist_ok=True)
    source = directory / "night-images-idx3-ubyte"
    source.write_bytes(encode_idx(images))
    predict(Predict(source=str(source), destination=str(published)), directory / "predictions")
    return directory / "predictions"


@pytest.fixture(scope="module")
def quiet(published: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A night of digits, scored; not to be written to."""
    images, _ = read_mnist(MNIST, "t10k", NIGHT)
    return night(images, published, tmp_path_factory.mktemp("night"))


@pytest.mark.parametrize("change", CHANGES)
def test_an_alarm_says_what_happened_what_moved_and_what_to_do(
    change: str,
    published: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    outcomes: Outcomes,
) -> None:
    changed = CHANGES[change](*read_mnist(MNIST, "t10k", NIGHT))[:NIGHT]
    came = night(changed, published, tmp_path)
    drift = watch(Watch(), came, tmp_path / "watch")
    assert not drift.quiet
    assert Drift.read(tmp_path / "watch") == drift
    failed = [verdict.reason for verdict in drift.verdicts if not verdict.passed]
    last = capsys.readouterr().out.splitlines()[-1]
    found = drift.diagnosis
    assert found
    assert last.startswith(f"Alarm: {drift.source}: {found.sentence}; {failed[0]}")
    assert last.endswith(f"; what to do: {found.to_do}")
    reported = outcomes("watch")
    assert reported and (reported.result, reported.message) == ("alarm", last)
    assert f"DESTINATION={published}" in found.to_do


def test_twenty_random_halves_of_the_test_split_are_quiet(
    model: Path, evaluation: Path, quiet: Path, tmp_path: Path
) -> None:
    from components.scoring.classifier import classifier, load

    images, _ = read_mnist(MNIST, "t10k", TEST)
    answers = classifier(load(model / "saved_model", (28, 28), 10), "it")(images)
    before, reference = Predictions.read(quiet), Reference.read(evaluation)
    for seed in range(20):
        half = np.random.default_rng(seed).permutation(TEST)[: TEST // 2]
        profile = Profile.of(images[half], answers[half])
        (tmp_path / "half").mkdir(exist_ok=True)
        before.model_copy(update={"profile": profile}).write(tmp_path / "half")
        reference.write(tmp_path / "half")
        drift = watch(Watch(), tmp_path / "half", tmp_path / "watch")
        assert drift.quiet, [v.reason for v in drift.verdicts if not v.passed]


def test_the_command_line(
    quiet: Path, tmp_path: Path, command: Command, outcomes: Outcomes
) -> None:
    given = ["components.watch", "--predictions", quiet, "--output", tmp_path / "watch"]
    told = command(*given)
    assert told.stdout.splitlines()[-1] == f"Quiet: all 6 rules hold for {NIGHT:,} images"
    reported = outcomes("watch")
    assert reported and (reported.result, reported.version) == ("quiet", 1)
    assert sorted(path.name for path in (tmp_path / "watch").iterdir()) == [
        "drift.html",
        "drift.json",
    ]
    told = command(*given, "--low-confidence", 1, "--max-low-confidence", 0, "--max-ink-psi", 1e-9)
    assert "% by chance" not in told.stdout
    assert f"but {NIGHT:,} images reach" in told.stdout


def test_bounds_are_options(published: Path, quiet: Path, tmp_path: Path) -> None:
    images, labels = read_mnist(MNIST, "t10k", NIGHT)
    came = night(images[labels != 1], published, tmp_path)

    def class_change(config: Watch) -> Verdict:
        verdicts = watch(config, came, tmp_path / "watch").verdicts
        return next(verdict for verdict in verdicts if verdict.rule == "max_class_change")

    assert not class_change(Watch()).passed
    assert "'1' is 0.0" in class_change(Watch()).reason
    assert class_change(Watch(max_class_change=0.5)).passed


def test_a_champion_of_before_textures_is_watched_without_them(quiet: Path, tmp_path: Path) -> None:
    reference = Reference.read(quiet).model_dump(exclude={"texture", "options"})
    for split in ("train", "test"):
        for name in ("sampled", "texture_sum", "unusual"):
            del reference[split][name]
    (tmp_path / Reference.FILE).write_text(json.dumps(reference))
    Predictions.read(quiet).write(tmp_path)
    drift = watch(Watch(), tmp_path, tmp_path / "watch")
    assert drift.quiet
    without = {verdict.rule for verdict in drift.verdicts if "not compared" in verdict.reason}
    assert without == {"max_texture_distance", "max_unusual"}
    assert "the champion was published before" in (tmp_path / "watch" / "drift.html").read_text()


def test_a_model_that_an_earlier_release_evaluated_is_watched(
    model: Path, evaluation: Path, tmp_path: Path
) -> None:
    """Its reference has another sum of the same model than the registry."""
    shutil.copytree(evaluation, tmp_path / "evaluation")
    earlier = {"model_sha256": sha256_of_directory(model / "saved_model")}
    for kind in (Evaluation, Reference):
        kind.read(evaluation).model_copy(update=earlier).write(tmp_path / "evaluation")
    registry = str(tmp_path / "registry")
    push(Push(destination=registry, max_serving_ms=5_000), model, tmp_path / "evaluation")
    images, _ = read_mnist(MNIST, "t10k", NIGHT)
    came = night(images, Path(registry), tmp_path / "night")
    assert watch(Watch(), came, tmp_path / "watch").quiet


def test_a_version_of_before_is_refused_in_one_line(quiet: Path, tmp_path: Path) -> None:
    Predictions.read(quiet).write(tmp_path)
    with pytest.raises(StepError, match=r"no reference.json: version 1 of digits was published"):
        watch(Watch(), tmp_path, tmp_path / "watch")
    assert not (tmp_path / "watch").exists()


@pytest.mark.parametrize("name", [Predictions.FILE, Reference.FILE])
def test_a_damaged_file_is_named(name: str, quiet: Path, tmp_path: Path) -> None:
    for file in (Predictions.FILE, Reference.FILE):
        (tmp_path / file).write_bytes((quiet / file).read_bytes())
    (tmp_path / name).write_text(json.dumps({"source": 1}))
    with pytest.raises(StepError, match=name):
        watch(Watch(), tmp_path, tmp_path / "watch")
    assert not (tmp_path / "watch").exists()


@pytest.mark.fuzz
@pytest.mark.parametrize("kind", [Predictions, Reference])
def test_a_changed_file_gives_a_decision_or_one_line(
    kind: type[Manifest], quiet: Path, tmp_path: Path
) -> None:
    for file in (Predictions.FILE, Reference.FILE):
        (tmp_path / file).write_bytes((quiet / file).read_bytes())
    manifest = json.loads((quiet / kind.FILE).read_bytes())

    @given(changed(manifest))
    def check(found: Json) -> None:
        (tmp_path / kind.FILE).write_text(json.dumps(found))
        try:
            drift = watch(Watch(), tmp_path, tmp_path / "watch")
        except StepError as error:
            assert str(error).isprintable()
        else:
            assert Drift.read(tmp_path / "watch") == drift

    check()


def test_what_ingest_train_and_evaluate_were_given_travels_with_the_model(quiet: Path) -> None:
    assert Reference.read(quiet).options == {
        "validation_size": VALIDATION,
        "shard_size": 1_000,
        "max_steps": 300,
        "min_precision": 0.5,
        "min_class_recall": 0.2,
        "max_gap": 0.5,
    }
