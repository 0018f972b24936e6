"""What is locked: one version of a package everywhere, and no more in an image than it needs."""

import re
import tomllib
from urllib.parse import urlsplit

import pytest
from packaging.requirements import Requirement

from tests.conftest import ROOT
from tests.docker.lock_files import (
    IMAGES,
    STEPS,
    developing,
    lock_of,
    packages,
    pins,
    running,
    uv,
    uv_lock,
)


def test_the_lock_is_what_the_project_asks_for() -> None:
    process = uv("lock", "--check", "--offline", "--no-cache")
    assert process.returncode == 0, f"run: make lock\n{process.stderr}"


def test_the_file_for_pip_says_what_the_lock_says() -> None:
    export = ["export", "--frozen", "--no-default-groups", "--no-emit-project", "--extra", "all"]
    what_runs = uv(*export).stdout
    everything = uv(*export, "--extra", "export", "--group", "dev").stdout
    assert pins(running()) == pins(what_runs) != {}, "run: make lock"
    assert pins(developing()) == pins(everything), "run: make lock"
    assert not {"pytest", "mypy", "selenium", "polars", "onnxruntime"} & packages(running()).keys()


@pytest.mark.parametrize("image", ["kfp", "tensorflow", *STEPS])
def test_an_image_holds_the_versions_of_the_local_environment(image: str) -> None:
    assert pins(lock_of(image))
    assert pins(lock_of(image)).items() <= pins(developing()).items()


def test_training_on_gpus_differs_by_what_tensorflow_needs_there() -> None:
    extra, local = pins(lock_of("train-gpu")), pins(developing())
    own = {pin for pin in extra if pin not in local}
    assert own and all(pin.startswith("nvidia-") for pin in own)
    shared = extra.keys() & local.keys()
    assert {pin: extra[pin] for pin in shared} == {pin: local[pin] for pin in shared}


def test_training_on_gpus_asks_for_the_same_as_training() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    extras = project["project"]["optional-dependencies"]
    train = set(extras["train"]) - {"mnist-pipeline[tensorflow]"}
    wanted = set(project["dependency-groups"]["train-gpu"])
    assert train < wanted
    (tensorflow,) = map(Requirement, wanted - train)
    assert {tensorflow.specifier} == {Requirement(one).specifier for one in extras["tensorflow"]}


@pytest.mark.parametrize("image", sorted({*STEPS} - {"ingest"}))
def test_the_layer_of_tensorflow_holds_nothing_that_a_step_does_not_need(image: str) -> None:
    assert pins(lock_of("tensorflow")).items() <= pins(lock_of(image)).items()


@pytest.mark.parametrize(
    ("image", "foreign"),
    [
        ("ingest", {"tensorflow", "tensorflow-cpu", "tensorboard", "kubernetes"}),
        ("train", {"apache-beam", "onnxruntime", "google-cloud-storage", "pyarrow"}),
        ("train-gpu", {"apache-beam", "tensorflow-cpu", "pyarrow"}),
        ("evaluate", {"apache-beam", "kubernetes", "onnxruntime"}),
        ("push", {"apache-beam", "kubernetes", "pyarrow"}),
    ],
)
def test_an_image_holds_nothing_of_other_steps(image: str, foreign: set[str]) -> None:
    held = packages(lock_of(image)).keys()
    assert not foreign & held
    assert not {"kfp", "pytest", "mypy", "pip", "uv"} & held


def test_what_installs_names_no_index_and_has_a_hash_for_everything() -> None:
    texts = [developing(), *map(lock_of, IMAGES)]
    assert all(all(pins(text).values()) for text in texts)
    assert not any(re.search(r"index-url|--find-links|://", text) for text in texts)


def test_the_lock_is_of_the_public_index_and_of_no_mirror() -> None:
    packages = [one for one in uv_lock()["package"] if "registry" in one["source"]]
    files = [file for one in packages for file in (*one.get("wheels", ()), one.get("sdist", {}))]
    urls = {one["source"]["registry"] for one in packages} | {file.get("url") for file in files}
    hosts = {urlsplit(url).hostname for url in urls if url}
    assert hosts == {"pypi.org", "files.pythonhosted.org"}, "run make lock without a mirror"


def test_only_one_package_that_is_installed_is_built_here() -> None:
    # Which install.sh does with the setuptools that is locked.
    sources = {one["name"] for one in uv_lock()["package"] if "wheels" not in one}
    assert sources & packages(developing()).keys() == {"kfp-server-api"}
    assert not any(sources & packages(lock_of(image)).keys() for image in IMAGES)
    assert "setuptools" in packages(running())
