"""What an image holds: the versions of the local environment, and no more than its step needs."""

import re
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from tests.docker.lock_files import (
    EXTRAS,
    REQUIREMENTS,
    RUNNING,
    STEPS,
    lock_file,
    packages,
    pins,
    project,
)

ALL = ("kfp", "tensorflow", "train-gpu", *STEPS)


@pytest.mark.parametrize("name", ["kfp", "tensorflow", *STEPS])
def test_an_image_holds_the_versions_of_the_local_environment(name: str) -> None:
    local = pins(REQUIREMENTS)
    assert pins(lock_file(name)).items() <= local.items(), "run: make lock"


def test_what_runs_is_a_part_of_what_is_developed_with() -> None:
    running, developing = pins(RUNNING), pins(REQUIREMENTS)
    assert running.items() <= developing.items(), "run: make lock"
    assert not {"pytest", "mypy", "selenium", "polars", "onnxruntime"} & packages(RUNNING).keys()


def test_training_on_gpus_differs_by_what_tensorflow_needs_there() -> None:
    extra, local = pins(lock_file("train-gpu")), pins(REQUIREMENTS)
    own = {pin for pin in extra if pin not in local}
    assert own and all(pin.startswith("nvidia-") for pin in own)
    shared = extra.keys() & local.keys()
    assert {pin: extra[pin] for pin in shared} == {pin: local[pin] for pin in shared}


def test_training_on_gpus_asks_for_the_same_as_training() -> None:
    wanted = {Requirement(text) for text in project()["dependency-groups"]["train-gpu"]}
    train = {Requirement(text) for text in project()["project"]["optional-dependencies"]["train"]}
    others = {requirement for requirement in train if "tensorflow" not in requirement.name}
    assert others < wanted
    (tensorflow,) = wanted - others
    assert tensorflow.specifier == next(
        requirement.specifier for requirement in train if requirement.name == "tensorflow"
    )


@pytest.mark.parametrize("step", STEPS)
def test_an_image_holds_what_its_step_asks_for(step: str) -> None:
    asked = project()["project"]
    extras = [asked["optional-dependencies"][extra] for extra in EXTRAS.get(step, (step,))]
    requirements = [Requirement(text) for text in sum(extras, asked["dependencies"])]
    held = packages(lock_file(step))
    for requirement in requirements:
        if requirement.marker is None or requirement.marker.evaluate():
            assert held[requirement.name] in requirement.specifier, "run: make lock"


@pytest.mark.parametrize("step", ["train", "evaluate", "push"])
def test_the_layer_of_tensorflow_holds_nothing_that_a_step_does_not_need(step: str) -> None:
    assert pins(lock_file("tensorflow")).items() <= pins(lock_file(step)).items()


@pytest.mark.parametrize(
    ("step", "foreign"),
    [
        ("ingest", {"tensorflow", "tensorflow-cpu", "tensorboard", "kubernetes"}),
        ("train", {"apache-beam", "onnxruntime", "google-cloud-storage", "pyarrow"}),
        ("train-gpu", {"apache-beam", "tensorflow-cpu", "pyarrow"}),
        ("evaluate", {"apache-beam", "kubernetes", "onnxruntime"}),
        ("push", {"apache-beam", "kubernetes", "pyarrow"}),
    ],
)
def test_an_image_holds_nothing_of_other_steps(step: str, foreign: set[str]) -> None:
    held = packages(lock_file(step)).keys()
    assert not foreign & held
    assert not {"kfp", "pytest", "mypy", "pip", "uv"} & held


@pytest.mark.parametrize("path", [RUNNING, REQUIREMENTS, *map(lock_file, ALL)])
def test_every_version_has_hashes_and_no_lock_names_an_index(path: Path) -> None:
    assert all(pins(path).values())
    text = path.read_text(encoding="utf-8")
    assert not re.search(r"--(extra-)?index-url|--find-links|://", text)
